"""Save and restore a pack, or members of it: tensors and plain values only, never pickled code.

A checkpoint taken between two steps holds everything, members that are at different steps included: a restored pack
goes on bitwise as the saved one would have.
"""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Collection, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from vmi.spec.config import TrialConfig
from vmi.spec.trial import Trial
from vmi.training.out_of_memory import is_out_of_memory
from vmi.training.pack import Pack

# 2: every member has its own step, position and window.
FORMAT = 2
_FIELDS: Mapping[str, type] = {
    "notes": str, "dtype": str, "trials": str, "tensors": dict, "counters": dict, "generators": dict,
}  # fmt: skip
_DTYPES = ("float32", "float64")


class Place(Protocol):
    """Where a checkpoint lies: a path of this machine, or an object in a store, which is put whole by itself."""

    def read_bytes(self) -> bytes: ...

    def write_bytes(self, data: bytes, /) -> int: ...


class CheckpointError(RuntimeError):
    """The file is not a whole checkpoint of this version; the message names it."""


class Saved:
    """What a checkpoint holds, read and checked but not yet a pack. `name` is for messages.

    Raises CheckpointError when the bytes are not a whole checkpoint of this version.
    """

    def __init__(self, data: bytes, name: str = "checkpoint") -> None:
        self._name = name
        self._content = self._checked(_loaded(data, name))
        self.notes: str = self._content["notes"]
        self.trials = self._parsed()

    @property
    def steps(self) -> dict[str, int]:
        """How many steps each trial has been trained, by its id."""
        ids = [trial.trial_id for trial in self.trials]
        return dict(zip(ids, self._content["counters"]["steps"], strict=True))

    def pack(self, device: str | torch.device = "cpu", members: Collection[str] | None = None) -> Pack:
        """The pack as it was, or only these members of it (by trial id), bitwise as they were.

        Raises CheckpointError when what the pack needs is not there; KeyError naming the trials that are.
        """
        ids = [trial.trial_id for trial in self.trials]
        for trial_id in members or ():
            if trial_id not in ids:
                raise KeyError(f"{trial_id} is not in {self._name}, which holds {', '.join(ids)}")
        chosen = [k for k, trial_id in enumerate(ids) if members is None or trial_id in members]
        dtype = getattr(torch, self._content["dtype"])
        pack = Pack([self.trials[k] for k in chosen], device, dtype, given=len(chosen))
        for name, tensor in pack.tensors().items():
            tensor.copy_(self._tensor(name, tensor, chosen))
        # A CPU draws from generators that a card, which draws from the step's own number, has no states of.
        same = self._content.get("device", "cpu") == pack.device.type
        for name, generators in pack.generators().items() if same else [("order", pack.generators()["order"])]:
            states = self._part("generators", name)
            for generator, k in zip(generators, chosen, strict=True):
                generator.set_state(states[k])
        for name, counts in pack.counters().items():
            counts[:] = [self._part("counters", name)[k] for k in chosen]
        return pack

    def _tensor(self, name: str, like: Tensor, chosen: list[int]) -> Tensor:
        saved: Tensor = self._part("tensors", name)
        whole = (len(self.trials), *like.shape[1:])
        if tuple(saved.shape) != whole or saved.dtype != like.dtype:
            # Copying would broadcast or convert in silence.
            got = f"{saved.dtype} {tuple(saved.shape)}"
            raise CheckpointError(f"{self._name}: {name} is {got}, not {like.dtype} {whole}")
        return saved if len(chosen) == len(self.trials) else saved[chosen]

    def _part(self, kind: str, name: str) -> Any:
        try:
            found = self._content[kind][name]
            complete = len(found) == len(self.trials)
        except (KeyError, TypeError):
            complete = False
        if not complete:
            raise CheckpointError(f"{self._name} is not whole: {kind} lack {name} of every member")
        return found

    def _checked(self, content: Any) -> dict[str, Any]:
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise CheckpointError(f"{self._name} is not a checkpoint of format {FORMAT}")
        wrong = [name for name, kind in _FIELDS.items() if not isinstance(content.get(name), kind)]
        if wrong or content["dtype"] not in _DTYPES:
            raise CheckpointError(f"{self._name} is not whole: {', '.join(wrong) or 'dtype'}")
        return content

    def _parsed(self) -> list[Trial]:
        try:
            saved = json.loads(self._content["trials"])
            return [Trial(trial_id, suggestion_id, TrialConfig(**config)) for trial_id, suggestion_id, config in saved]
        except (ValueError, TypeError) as error:
            raise CheckpointError(f"{self._name} is not whole: its trials cannot be read") from error


def encode(pack: Pack, notes: str = "") -> bytes:
    """The pack and the caller's notes as bytes that `decode` takes."""
    content = {
        "format": FORMAT,
        "notes": notes,
        "dtype": str(pack.dtype).removeprefix("torch."),
        "device": pack.device.type,
        "trials": json.dumps([[*trial[:2], asdict(trial.config)] for trial in pack.trials]),
        "tensors": {name: tensor.cpu() for name, tensor in pack.tensors().items()},
        "counters": {name: list(counts) for name, counts in pack.counters().items()},
        "generators": {name: [g.get_state() for g in gs] for name, gs in pack.generators().items()},
    }
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def decode(data: bytes, device: str | torch.device = "cpu", name: str = "checkpoint") -> tuple[Pack, str]:
    """The encoded pack and its notes. Raises CheckpointError, with `name`, when the bytes are not whole."""
    saved = Saved(data, name)
    return saved.pack(device), saved.notes


def save(pack: Pack, path: Place, notes: str = "") -> None:
    """Write the pack and the caller's notes to `path`; a crash leaves the file that was there, or the new one."""
    if not isinstance(path, Path):
        path.write_bytes(encode(pack, notes))
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".tmp-{os.getpid()}-{path.name}")
    with temporary.open("wb") as file:
        file.write(encode(pack, notes))
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def restore(path: Place, device: str | torch.device = "cpu") -> tuple[Pack, str]:
    """The saved pack and its notes. Raises FileNotFoundError; CheckpointError when it is not whole."""
    return decode(path.read_bytes(), device, str(path))


def extract(path: Place, trial_id: str, device: str | torch.device = "cpu") -> Pack:
    """One member of a saved pack, as a pack of one. Raises KeyError naming the trials that are there."""
    return Saved(path.read_bytes(), str(path)).pack(device, [trial_id])


def _loaded(data: bytes, name: str) -> Any:
    try:
        # torch.load does not look at the checksums that torch.save has written.
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            damaged = archive.testzip()
        if damaged is not None:
            raise CheckpointError(f"{name} cannot be read as a checkpoint: {damaged} is damaged")
        # weights_only: tensors and plain containers; a file that holds code is refused.
        return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except CheckpointError:
        raise
    except Exception as error:  # both raise half a dozen types for a damaged file
        if is_out_of_memory(error):
            raise
        raise CheckpointError(f"{name} cannot be read as a checkpoint: {type(error).__name__}") from error
