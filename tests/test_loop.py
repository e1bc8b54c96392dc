"""The loop, apart from what it drives: what it asks for in each round."""

from pathlib import Path
from typing import Any

import pytest
from worlds import ensemble, learner

from prefrl import loop
from prefrl.acquisition import disagreement
from prefrl.fitting import FitConfig
from prefrl.labelers import Oracle
from prefrl.runs import Run
from prefrl.store import PreferenceStore


def test_later_questions_are_chosen_among_candidates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first ones, before any fit, are drawn by lot; of a round of two, with seven each, 14 are."""
    asked: list[int] = []
    stages: list[str] = []
    real = loop.propose

    def noting(segments: Any, n: int, **how: Any) -> Any:
        asked.append(n)
        return real(segments, n, **how)

    monkeypatch.setattr(loop, "propose", noting)
    trained = learner("ppo")
    with PreferenceStore(tmp_path / "p.db") as store:
        loop.train(
            trained,
            ensemble(trained),
            store,
            Oracle(seed=0),
            plan=[6, 2, 1],
            acquisition=disagreement,
            config=loop.LoopConfig(200, 200, candidates_per_query=7, fit=FitConfig(first_epochs=1, updates=1)),
            run=Run(tmp_path, seed=0, say=lambda row: None, stage=stages.append),
        )
    assert asked == [6, 14, 7]
    assert stages[0] == "acting, for the first questions"
    assert stages[1::3] == [f"asking {questions} questions" for questions in (6, 2, 1)]
    assert stages[2::3] == [f"fitting the reward to {answers} answers" for answers in (6, 8, 9)]
    assert stages[3::3] == ["acting and learning"] * 3
