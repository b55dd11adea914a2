"""Save and restore a pack, or extract one member of it: tensors and plain values only, never pickled code.

A checkpoint taken between two steps holds everything, members that are at different steps included: a restored pack
goes on bitwise as the saved one would have.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import torch

from vmi.config import TrialConfig
from vmi.pack import Pack
from vmi.trial import Trial

# 2: every member has its own step, position and window.
FORMAT = 2


class Place(Protocol):
    """Where a checkpoint lies: a path of this machine, or an object in a store, which is put whole by itself."""

    def read_bytes(self) -> bytes: ...

    def write_bytes(self, data: bytes, /) -> int: ...


class CheckpointError(RuntimeError):
    """The file is not a whole checkpoint of this version; the message names it."""


def save(pack: Pack, path: Place, notes: str = "") -> None:
    """Write the pack and the caller's notes to `path`; a crash leaves the file that was there, or the new one."""
    content = {
        "format": FORMAT,
        "notes": notes,
        "dtype": str(pack.dtype).removeprefix("torch."),
        "trials": json.dumps([[*trial[:2], asdict(trial.config)] for trial in pack.trials]),
        "tensors": {name: tensor.cpu() for name, tensor in pack.tensors().items()},
        "counters": {name: list(counts) for name, counts in pack.counters().items()},
        "generators": {name: [g.get_state() for g in gs] for name, gs in pack.generators().items()},
    }
    if not isinstance(path, Path):
        torch.save(content, data := io.BytesIO())
        path.write_bytes(data.getvalue())
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".tmp-{os.getpid()}-{path.name}")
    with temporary.open("wb") as file:
        torch.save(content, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def restore(path: Place, device: str | torch.device = "cpu") -> tuple[Pack, str]:
    """The saved pack and its notes. Raises FileNotFoundError; CheckpointError when it is not whole."""
    content = _load(path)
    pack = Pack(_trials(content["trials"]), device, getattr(torch, content["dtype"]))
    for name, tensor in pack.tensors().items():
        tensor.copy_(content["tensors"][name])
    for name, generators in pack.generators().items():
        for generator, state in zip(generators, content["generators"][name], strict=True):
            generator.set_state(state)
    for name, counts in pack.counters().items():
        counts[:] = content["counters"][name]
    return pack, content["notes"]


def extract(path: Place, trial_id: str, device: str | torch.device = "cpu") -> Pack:
    """One member of a saved pack, as a pack of one. Raises KeyError naming the trials that are there."""
    pack, _ = restore(path, device)
    ids = [trial.trial_id for trial in pack.trials]
    if trial_id not in ids:
        raise KeyError(f"{trial_id} is not in {path}, which holds {', '.join(ids)}")
    return pack.keep([ids.index(trial_id)])


def _load(path: Place) -> dict[str, Any]:
    try:
        # weights_only: tensors and plain containers; a file that holds code is refused.
        data = io.BytesIO(path.read_bytes())
        content = torch.load(data, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise
    except Exception as error:  # torch.load raises half a dozen types for a damaged file
        raise CheckpointError(f"{path} cannot be read as a checkpoint: {type(error).__name__}") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise CheckpointError(f"{path} is not a checkpoint of format {FORMAT}")
    return content


def _trials(text: str) -> Sequence[Trial]:
    return [
        Trial(trial_id, suggestion_id, TrialConfig(**config)) for trial_id, suggestion_id, config in json.loads(text)
    ]
