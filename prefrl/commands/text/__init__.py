"""`prefrl text VERB`: one file a verb."""

from dataclasses import dataclass
from typing import Annotated

import tyro

from prefrl.commands.text.best_of import BestOf
from prefrl.commands.text.compare import Compare
from prefrl.commands.text.pretrain import Pretrain
from prefrl.commands.text.reward import Reward
from prefrl.commands.text.sample import Sample
from prefrl.commands.text.sft import SFT
from prefrl.commands.text.train import TrainText

TextVerb = (
    Annotated[Pretrain, tyro.conf.subcommand("pretrain", prefix_name=False)]
    | Annotated[SFT, tyro.conf.subcommand("sft", prefix_name=False)]
    | Annotated[Reward, tyro.conf.subcommand("reward", prefix_name=False)]
    | Annotated[TrainText, tyro.conf.subcommand("train", prefix_name=False)]
    | Annotated[Sample, tyro.conf.subcommand("sample", prefix_name=False)]
    | Annotated[Compare, tyro.conf.subcommand("compare", prefix_name=False)]
    | Annotated[BestOf, tyro.conf.subcommand("best-of", prefix_name=False)]
)


@dataclass(frozen=True)
class Text:
    """Language models: pretrain a tiny one, fine-tune, learn a reward and from it, sample, compare."""

    verb: tyro.conf.OmitSubcommandPrefixes[TextVerb]
    """What to do."""

    def run(self) -> int:
        return self.verb.run()
