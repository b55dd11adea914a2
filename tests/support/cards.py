"""A program in place of the driver's own, which lists GPUs and slices of GPUs as it does: no card is at hand."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

# A UUID, the free MiB, and of a GPU in MIG mode the same of each slice.
Gpu = tuple[str, int, Sequence[tuple[str, int]] | None]


def nvidia_smi(folder: Path, gpus: Sequence[Gpu]) -> Path:
    """The program, in this folder of PATH."""
    csv = [f"{uuid}, {'[N/A]' if slices is None else 'Enabled'}, {free}" for uuid, free, slices in gpus]
    names, elements = [], []
    for i, (uuid, free, slices) in enumerate(gpus):
        names.append(f"GPU {i}: NVIDIA H100 80GB HBM3 (UUID: {uuid})")
        names += [f"  MIG 1g.10gb     Device  {k}: (UUID: {name})" for k, (name, _) in enumerate(slices or ())]
        own = "".join(
            f"<mig_device><index>{k}</index><fb_memory_usage><total>9728 MiB</total><free>{mib} MiB</free>"
            "</fb_memory_usage></mig_device>"
            for k, (_, mib) in enumerate(slices or ())
        )
        memory = f"<fb_memory_usage><free>{free} MiB</free></fb_memory_usage>"
        elements.append(f"<gpu><uuid>{uuid}</uuid>{memory}<mig_devices>{own or 'None'}</mig_devices></gpu>")
    xml = f"<?xml version='1.0' ?><nvidia_smi_log>{''.join(elements)}</nvidia_smi_log>"
    said = {"--query-gpu": "\n".join(csv), "-L": "\n".join(names), "-q": xml}
    program = folder / "nvidia-smi"
    program.write_text(f"#!{sys.executable}\nimport sys\nprint({said!r}[sys.argv[1].partition('=')[0]])\n")
    program.chmod(0o755)
    return program
