"""Requests to a running driver to train more of its study: sealed files steer/ask-<time>-<hash>.json.

Another start of the study writes one. The driver removes it once study.json has what it asks for, so what is still
there is taken up by the next driver.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from vmi.in_flight.checkpoints import HASH_DIGITS
from vmi.in_flight.steering import FOLDER, put_request, whoever
from vmi.results.store import Store
from vmi.results.study_file import flaw
from vmi.spec.errors import StoreError
from vmi.storage.checksum import unsealed
from vmi.storage.paths import AnyPath, hasty

_ASK = re.compile(rf"ask-\d{{8}}T\d{{12}}Z-[0-9a-f]{{{HASH_DIGITS}}}\.json")


@dataclass(frozen=True, kw_only=True)
class Ask:
    """What another start of a study asks for.

    Attributes:
        path: the file
        spec: the description of the study as it was asked for, as study.json has one
        at: when, in UTC, as ISO 8601 has it
        user: who asks
        host: where
    """

    path: AnyPath
    spec: Mapping[str, Any]
    at: str
    user: str
    host: str


def put_ask(store: Store, spec: Mapping[str, Any], at: datetime) -> AnyPath:
    """Make a request durable: the file. Raises OSError."""
    user, host = whoever()
    content = {"spec": dict(spec), "at": at.astimezone(UTC).isoformat(), "user": user, "host": host}
    return put_request(store, "ask", content)


def asks(store: Store) -> tuple[Ask, ...]:
    """The requests that are there, the oldest first. Raises StoreError naming a damaged one, and OSError."""
    folder = hasty(store.folder / FOLDER)
    try:
        names = store.files.names(folder)
    except (FileNotFoundError, NotADirectoryError):
        return ()
    found = (_read(store, folder / name) for name in sorted(names) if _ASK.fullmatch(name))
    return tuple(ask for ask in found if ask)


def remove(store: Store, ask: Ask) -> None:
    """It was taken up, or refused."""
    with contextlib.suppress(OSError):  # then the next driver finds that it asks for nothing more
        store.files.unlink(ask.path)


def _read(store: Store, path: AnyPath) -> Ask | None:
    """None where it is gone."""
    try:
        content = unsealed(store.files.read(path))
        if wrong := flaw(content["spec"]):
            raise ValueError(wrong)
        return Ask(path=path, **content)
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        said = f"{path}: damaged, kept as it is: {error}: `vmi fsck --quarantine` moves it away"
        raise StoreError(said) from error
