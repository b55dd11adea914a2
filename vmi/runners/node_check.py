"""Whether every node of a cluster sees what a study needs: the same code, the results folder, the data sets.

Light to load: `look` runs on each node before any trial. Without it a node that writes to a disk of its own
would train for hours, and its rows would be nowhere.
"""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from vmi.spec.datasets import data_folder, spec_of
from vmi.spec.errors import InputError, Problem
from vmi.spec.version import version
from vmi.storage.paths import AnyPath, hasty, local, path_of

# A network file system may show what another node wrote a moment later.
PATIENCE_SECONDS = 5.0
SHARED = "a folder that every node of the cluster shares"
REACHED = "an object store that every node of the cluster reaches, at the same address and with credentials to write"
SAME_DATA = "a folder with the same data sets on every node of the cluster"
SAME_CODE = "the same code on every node of the cluster"


class Needs(NamedTuple):
    """What each node must see. `data`: bytes by path, of those data sets that are not embedded."""

    results: str
    data: Mapping[str, int]
    code: str


class Seen(NamedTuple):
    """What a node has to say: its problems (field, value, allowed, what is wrong there), and the file it wrote."""

    problems: tuple[tuple[str, str, str, str], ...]
    answer: str


# Runs a function on every node: each node's name with what the function returned, or the exception that came instead.
Everywhere = Callable[..., Iterable[tuple[str, Any]]]


def needs_of(results: AnyPath, datasets: Iterable[str]) -> Needs:
    """What a study with these data sets needs, as this node has it."""
    specs = [spec_of(name) for name in datasets]
    files = [data_folder().absolute() / spec.folder / name for spec in specs for name in spec.md5]
    return Needs(str(results.absolute()), {str(path): path.stat().st_size for path in files}, code())


def check_nodes(needs: Needs, everywhere: Everywhere) -> None:
    """Raises InputError that names each node with what it does not see; leaves nothing behind."""
    problems = []
    with _marked(path_of(needs.results)) as mark:
        for node, seen in everywhere(look, needs, str(mark)):
            if not isinstance(seen, Seen):
                said = (str(seen).strip() or type(seen).__name__).splitlines()[-1]
                problems.append(Problem("node", node, "a node that answers and runs this code", said))
            elif seen.problems:
                problems += [
                    Problem(field, value, f"{allowed}; {node} {said}") for field, value, allowed, said in seen.problems
                ]
            elif not _appears(hasty(path_of(seen.answer)), mark.name):
                allowed = f"{_shared(needs.results)}; what {node} writes is not seen here"
                problems.append(Problem("--results", needs.results, allowed))
    if problems:
        raise InputError(problems, "cluster")


def look(needs: Needs, mark: str) -> Seen:
    """On a node: read the driver's mark, write an answer beside it, compare code and data sets."""
    there, answer = (hasty(path_of(path)) for path in (mark, f"{mark}-{secrets.token_hex(4)}"))
    problems, shared = [], _shared(needs.results)
    if code() != needs.code:
        problems.append(("vmi", version(), SAME_CODE, "has other code (its setup runs again with `ray up`)"))
    if not _appears(there, there.name):
        problems.append(("--results", needs.results, shared, f"does not see it{_why(there)}"))
    else:
        try:
            answer.write_text(there.name, encoding="utf-8")
        except OSError as error:
            problems.append(("--results", needs.results, shared, f"cannot write to it: {error.strerror}"))
    wrong = [path for path, size in needs.data.items() if not _is_size(Path(path), size)]
    if wrong:
        folder = str(Path(wrong[0]).parents[2])
        problems.append(("VMI_DATA_DIR", folder, SAME_DATA, f"lacks {', '.join(Path(path).name for path in wrong)}"))
    return Seen(tuple(problems), str(answer))


@cache
def code() -> str:
    """SHA-256 (16 digits) over the package's own source files."""
    digest, root = hashlib.sha256(), Path(__file__).parents[1]
    for path in sorted(root.rglob("*.py")):
        digest.update(f"{path.relative_to(root)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


@contextlib.contextmanager
def _marked(results: AnyPath) -> Iterator[AnyPath]:
    """A file of a new name in the folder; it, the answers beside it and what folders it took are gone afterwards."""
    own = local(results)
    made = [folder for folder in (own, *own.parents) if not folder.exists()] if own else []
    mark = results / f".vmi-probe-{secrets.token_hex(8)}"
    try:
        if own:
            own.mkdir(parents=True, exist_ok=True)
        mark.write_text(mark.name, encoding="utf-8")
        yield mark
    finally:
        for path in results.glob(f"{mark.name}*"):
            path.unlink(missing_ok=True)
        for folder in made:
            with contextlib.suppress(OSError):
                folder.rmdir()


def _shared(results: str) -> str:
    return SHARED if local(path_of(results)) else REACHED


def _why(path: AnyPath) -> str:
    """What an object store has to say about it; a folder only lacks the file."""
    if local(path):
        return ""
    try:
        path.read_bytes()
    except OSError as error:
        return f": {error.strerror}"
    return ""


def _appears(path: AnyPath, content: str) -> bool:
    """Whether the file has the content within a moment."""
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        with contextlib.suppress(OSError):
            if path.read_text(encoding="utf-8") == content:
                return True
        if time.monotonic() > end:
            return False
        time.sleep(0.1)


def _is_size(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except OSError:
        return False
