"""Streams of random numbers: one for each seed and purpose."""

from __future__ import annotations

import hashlib

import torch
from torch import Generator


def seeded(seed: int, purpose: str, device: str | torch.device = "cpu") -> Generator:
    """A generator for one purpose of one trial: streams of different purposes are independent."""
    value = int.from_bytes(hashlib.sha256(f"{seed}/{purpose}".encode()).digest()[:8], "little") >> 1
    # torch's meta device, on which tests run the steps of a card, has no numbers and no generators.
    kind = "cpu" if torch.device(device).type == "meta" else device
    return Generator(device=kind).manual_seed(value)
