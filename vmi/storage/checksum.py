"""JSON files with a checksum: a member "sha256" over the canonical JSON of all their other members.

A bit that flipped, a file that was cut short or changed by hand does not match its checksum: it is damaged, and kept.
Canonical JSON: keys sorted, no blanks, ASCII only, numbers as Python writes them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

SEAL = "sha256"
# What the project keeps so, beside the parts of a study and in the folder of all results.
IN_STUDY = ("study.json", "driver.json", "dropped.json", "prediction.json", "wandb-online.json", "wandb-report.json")
IN_RESULTS = ("calibration.json",)


def digest(content: Mapping[str, Any]) -> str:
    """The checksum of a JSON object, 64 hexadecimal digits; one that it has is left out. Raises ValueError on NaN."""
    rest = {name: value for name, value in content.items() if name != SEAL}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def sealed(content: Mapping[str, Any], sort_keys: bool = False) -> bytes:
    """The bytes of a file with its checksum last. Raises ValueError on NaN or a member of the checksum's name."""
    if SEAL in content:
        raise ValueError(f"{SEAL!r} is the name of the checksum")
    # As it will be read: keys are text, tuples are lists.
    plain = json.loads(json.dumps(content, sort_keys=sort_keys, allow_nan=False))
    return f"{json.dumps({**plain, SEAL: digest(plain)}, indent=2, ensure_ascii=False)}\n".encode()


def unsealed(data: bytes) -> dict[str, Any]:
    """The content of such a file without its checksum. Raises ValueError saying what is wrong with it."""
    try:
        content = json.loads(data)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(content, dict):
        raise ValueError("not a JSON object")
    seal = content.pop(SEAL, None)
    if seal is None:
        raise ValueError(f"no checksum: its member {SEAL!r} is missing")
    if seal != digest(content):
        raise ValueError(f"its content does not match its checksum ({SEAL!r})")
    return content
