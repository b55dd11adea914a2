"""The user's home folder, which not everybody has."""

from __future__ import annotations

from pathlib import Path

from vmi.spec.errors import InputError, Problem


def home() -> Path:
    """By HOME, else by the system's users; "/" for whom neither knows, as containers have it."""
    try:
        return Path.home()
    except RuntimeError:
        return Path("/")


def cache_folder() -> Path:
    """Where data sets are downloaded to, and k-means references are kept."""
    return home() / ".cache" / "vmi-sweeps"


def expanded(text: str, name: str) -> Path:
    """The path that a user named, "~" for a home. Raises InputError naming `name` for none, or for nobody's home."""
    if not text.strip():  # as of a variable of the shell that is not set: Path would take it for the current folder
        raise InputError([Problem(name, text, "a path; '.' is the current folder")])
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise InputError(
            [Problem(name, text, "a path; ~ and ~NAME are homes of users that the system knows")]
        ) from error
