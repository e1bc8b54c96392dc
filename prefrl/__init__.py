"""Prefrl: reinforcement learning from human preferences, one core for control, text and AI feedback."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prefrl.acquisition import Acquisition as Acquisition
    from prefrl.acquisition import disagreement as disagreement
    from prefrl.acquisition import entropy as entropy
    from prefrl.acquisition import information_gain as information_gain
    from prefrl.acquisition import mixture as mixture
    from prefrl.acquisition import uniform as uniform
    from prefrl.choice import choice_log_probs as choice_log_probs
    from prefrl.choice import choice_loss as choice_loss
    from prefrl.comparisons import Comparison as Comparison
    from prefrl.comparisons import Query as Query
    from prefrl.comparisons import Ranking as Ranking
    from prefrl.comparisons import from_ranking as from_ranking
    from prefrl.comparisons import propose as propose
    from prefrl.comparisons import select as select
    from prefrl.ensemble import RewardEnsemble as RewardEnsemble
    from prefrl.ensemble import RewardFn as RewardFn
    from prefrl.errors import Interrupted as Interrupted
    from prefrl.errors import PrefrlError as PrefrlError
    from prefrl.fitting import FitConfig as FitConfig
    from prefrl.fitting import FitReport as FitReport
    from prefrl.fitting import fit as fit
    from prefrl.labelers import Labeler as Labeler
    from prefrl.labelers import Oracle as Oracle
    from prefrl.labelers import People as People
    from prefrl.labelers import Recorded as Recorded
    from prefrl.loop import Experience as Experience
    from prefrl.loop import Learner as Learner
    from prefrl.loop import LoopConfig as LoopConfig
    from prefrl.loop import train as train
    from prefrl.loop import train_baseline as train_baseline
    from prefrl.runs import Run as Run
    from prefrl.schedule import label_plan as label_plan
    from prefrl.segments import Frames as Frames
    from prefrl.segments import GameReplay as GameReplay
    from prefrl.segments import Replay as Replay
    from prefrl.segments import Segment as Segment
    from prefrl.segments import SegmentBatch as SegmentBatch
    from prefrl.segments import SimulatorStates as SimulatorStates
    from prefrl.segments import Text as Text
    from prefrl.segments import collate as collate
    from prefrl.store import PreferenceStore as PreferenceStore

# Where each public name lives. Names are imported when they are first used, so that `prefrl --help` needs no torch.
_HOME = {
    "acquisition": ["Acquisition", "disagreement", "entropy", "information_gain", "mixture", "uniform"],
    "choice": ["choice_log_probs", "choice_loss"],
    "comparisons": ["Comparison", "Query", "Ranking", "from_ranking", "propose", "select"],
    "ensemble": ["RewardEnsemble", "RewardFn"],
    "errors": ["Interrupted", "PrefrlError"],
    "fitting": ["FitConfig", "FitReport", "fit"],
    "labelers": ["Labeler", "Oracle", "People", "Recorded"],
    "loop": ["Experience", "Learner", "LoopConfig", "train", "train_baseline"],
    "runs": ["Run"],
    "schedule": ["label_plan"],
    "segments": ["Frames", "GameReplay", "Replay", "Segment", "SegmentBatch", "SimulatorStates", "Text", "collate"],
    "store": ["PreferenceStore"],
}
_MODULE = {name: module for module, names in _HOME.items() for name in names}
__all__ = sorted(_MODULE)


def __getattr__(name: str) -> Any:
    if name not in _MODULE:
        raise AttributeError(f"module 'prefrl' has no attribute {name!r}")
    return getattr(importlib.import_module(f"prefrl.{_MODULE[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
