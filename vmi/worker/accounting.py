"""What a row says of its making: the device, the versions that decide its numbers, and the seconds that it has cost."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping

import torch

from vmi.spec.version import version


class Shares:
    """Seconds of training steps by trial; those of a pack are charged to its members in equal parts.

    Members of a pack take every step together, so a member's sum is its share by steps.
    """

    def __init__(self, seconds: Mapping[str, float] | None = None) -> None:
        self.seconds = dict(seconds or {})

    def charge(self, trial_ids: Collection[str], seconds: float) -> None:
        """Charge seconds to these trials; to nobody where there are none."""
        for trial_id in trial_ids:
            self.seconds[trial_id] = self.seconds.get(trial_id, 0.0) + seconds / len(trial_ids)


def versions() -> str:
    """What trained it, as JSON."""
    return json.dumps({"vmi-sweeps": version(), "torch": torch.__version__})


def gpu_bytes(device: str) -> int:
    """The most bytes of a GPU's memory that tensors have held since `forget_gpu_bytes`; 0 without a GPU."""
    return torch.cuda.max_memory_allocated(device) if _is_used(device) else 0


def forget_gpu_bytes(device: str) -> None:
    """Another pack begins in this process."""
    if _is_used(device):
        torch.cuda.reset_peak_memory_stats(device)


def _is_used(device: str) -> bool:
    return device.startswith("cuda") and torch.cuda.is_initialized()  # type: ignore[no-untyped-call]


def device_name(device: str) -> str:
    """What the trial ran on: "cpu", or the name of the GPU."""
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else device
