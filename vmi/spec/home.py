"""The user's home folder, which not everybody has."""

from __future__ import annotations

from pathlib import Path


def home() -> Path:
    """By HOME, else by the system's users; "/" for whom neither knows, as containers have it."""
    try:
        return Path.home()
    except RuntimeError:
        return Path("/")
