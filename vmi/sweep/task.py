"""What travels between the driver and a worker: a task there, updates back. Loads no torch."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import NamedTuple

from vmi.config import TrialConfig
from vmi.sweep.ledger import Ended
from vmi.trial import PackSpec, Trial


@dataclass(frozen=True, kw_only=True)
class Task:
    """One pack and where its results go. `layouts` are the whole study's: they fix the columns."""

    pack: PackSpec
    root: str
    study: str
    layouts: tuple[str, ...]
    attempt: int
    wandb_mode: str
    device: str
    data_folder: str
    keep_models: bool = False

    def to_json(self) -> str:
        return json.dumps(
            {
                **asdict(self),
                "pack": [self.pack.pack_id, [[*t[:2], asdict(t.config)] for t in self.pack.trials]],
            }
        )

    @classmethod
    def from_json(cls, text: str) -> Task:
        content = json.loads(text)
        pack_id, trials = content.pop("pack")
        spec = PackSpec(pack_id, tuple(Trial(i, s, TrialConfig(**config)) for i, s, config in trials))
        return cls(pack=spec, **{**content, "layouts": tuple(content["layouts"])})


class Update(NamedTuple):
    """How far a pack is (steps of all), what to be warned of, and in its last update how each trial ended."""

    pack_id: str
    step: int
    steps: int
    ended: tuple[Ended, ...] = ()
    warning: str = ""

    def to_json(self) -> str:
        return json.dumps([*self[:3], [ended._asdict() for ended in self.ended], self.warning])

    @classmethod
    def from_json(cls, text: str) -> Update:
        pack_id, step, steps, ended, warning = json.loads(text)
        return cls(pack_id, step, steps, tuple(Ended(**fields) for fields in ended), warning)
