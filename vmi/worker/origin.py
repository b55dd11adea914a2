"""What a row says of where it comes from: the device, and the versions that decide its numbers."""

from __future__ import annotations

import json

import torch

import vmi


def versions() -> str:
    """What trained it, as JSON."""
    return json.dumps({"vmi-sweeps": vmi.__version__, "torch": torch.__version__})


def device_name(device: str) -> str:
    """What the trial ran on: "cpu", or the name of the card."""
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else device
