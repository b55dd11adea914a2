"""The GPUs of this node that a process may use, as their driver's own program and CUDA_VISIBLE_DEVICES have them.

A slice of a GPU in MIG mode counts as a GPU of its own memory. What the variable names is what CUDA makes of it:
numbers and UUIDs, or the first letters of one, up to the first that is none; nothing where one is named twice. Without
it a process has all GPUs, and of one in MIG mode the first slice. Loads neither torch nor Ray.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from xml.etree import ElementTree

VARIABLE = "CUDA_VISIBLE_DEVICES"
_PROGRAM = "nvidia-smi"


class Card(NamedTuple):
    """A GPU, or a slice of one; its free bytes, and its slices where it is in MIG mode."""

    uuid: str
    free: int
    slices: tuple[Card, ...] | None = None


def free_on_cards(environ: Mapping[str, str] = os.environ) -> list[int]:
    """Free bytes of each GPU, or slice, of this node that this process may use.

    Empty where the driver's program is not there, or nothing is to be seen (an empty CUDA_VISIBLE_DEVICES).
    """
    wanted = environ.get(VARIABLE)
    if wanted is not None and not wanted.strip():
        return []
    return [card.free for card in visible(_cards(), wanted)]


def names_slices(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether CUDA_VISIBLE_DEVICES names slices, of which Ray counts no more than there are GPUs."""
    return "MIG-" in environ.get(VARIABLE, "")


def visible(cards: Sequence[Card], wanted: str | None) -> list[Card]:
    """Of all cards of a node those that a process sees with this CUDA_VISIBLE_DEVICES (None: it is not set)."""
    if wanted is None:
        return [found for card in cards for found in _usable(card)]
    named: list[Card] = []
    for name in (part.strip() for part in wanted.split(",")):
        card = _named(cards, name)
        if card is None:
            break
        named.append(card)
    return named if len({card.uuid for card in named}) == len(named) else []


def _named(cards: Sequence[Card], name: str) -> Card | None:
    if name.isdecimal():
        usable = _usable(cards[int(name)]) if int(name) < len(cards) else []
    else:
        every = [*cards, *(part for card in cards for part in card.slices or ())]
        fitting = [card for card in every if name and card.uuid.startswith(name)]
        usable = _usable(fitting[0]) if len(fitting) == 1 else []
    return usable[0] if usable else None


def _usable(card: Card) -> list[Card]:
    """It, or its first slice, as CUDA gives a process no more than one; a GPU in MIG mode without a slice is none."""
    return [card] if card.slices is None else list(card.slices[:1])


def _cards() -> list[Card]:
    """All GPUs of this node, in the driver's order."""
    lines = _said("--query-gpu=uuid,mig.mode.current,memory.free", "--format=csv,noheader,nounits").splitlines()
    rows = [[part.strip() for part in line.split(",")] for line in lines]
    rows = [row for row in rows if len(row) == 3 and row[0].startswith("GPU-")]
    slices = _slices() if any(mode == "Enabled" for _, mode, _ in rows) else {}
    return [
        Card(uuid, _mebibytes(free), slices.get(uuid, ()) if mode == "Enabled" else None) for uuid, mode, free in rows
    ]


def _slices() -> dict[str, tuple[Card, ...]]:
    """The slices of each GPU by its UUID: their UUIDs are in one list of the program, their memory in another."""
    uuids: dict[str, list[str]] = {}
    for line in _said("-L").splitlines():
        uuid = line.partition("(UUID: ")[2].rstrip(") \r")
        if uuid.startswith("GPU-"):
            own = uuids.setdefault(uuid, [])
        elif uuid.startswith("MIG-") and uuids:
            own.append(uuid)
    try:
        gpus = ElementTree.fromstring(_said("-q", "-x")).findall("gpu")
    except ElementTree.ParseError:
        return {}
    found = {}
    for gpu in gpus:
        devices = sorted(gpu.findall("mig_devices/mig_device"), key=lambda one: _mebibytes(one.findtext("index", "0")))
        free = [_mebibytes(device.findtext("fb_memory_usage/free", "")) for device in devices]
        own = uuids.get(gpu.findtext("uuid", "").strip(), [])
        found[gpu.findtext("uuid", "").strip()] = tuple(Card(*pair) for pair in zip(own, free, strict=False))
    return found


def _mebibytes(text: str) -> int:
    """ "9719 MiB" in bytes; 0 of what is no number."""
    number = text.split()[0] if text.split() else ""
    return int(number) * 2**20 if number.isdecimal() else 0


def _said(*arguments: str) -> str:
    """What the driver's program prints; nothing where it is not there or fails."""
    try:
        done = subprocess.run([_PROGRAM, *arguments], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout if not done.returncode else ""
