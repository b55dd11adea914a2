"""What the commands on the files of a store do: compaction, and the check that names or moves away what is damaged."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

import typer

from vmi.monitor import lock
from vmi.monitor.lock import Heartbeat
from vmi.monitor.status import studies_in
from vmi.results.fsck import QUARANTINE, check, check_sealed
from vmi.results.quarantine import move, quarantine
from vmi.results.schema import TABLES
from vmi.results.store import Store
from vmi.spec.errors import ABSENT, InputError, Problem, StoreError, near, printable
from vmi.storage.checksum import IN_RESULTS
from vmi.storage.paths import AnyPath, below


def compact_study(folder: AnyPath) -> int:
    """Merge the small parts of a study, or of every study of a folder, beside whoever reads or writes it."""
    from vmi.results.compaction import compact

    need_study(folder)
    wrong: list[str] = []
    for path in studies_in(folder):
        try:
            done = [compact(path / table, table) for table in TABLES]
        except StoreError as error:
            wrong.append(str(error))
            continue
        said = ", ".join(f"{table} {before} -> {after}" for table, before, after in done)
        typer.echo(printable(f"{path}: parts before and after: {said}"))
    if wrong:
        raise StoreError("\n".join(wrong))
    return 0


def check_studies(folder: AnyPath, move_away: bool) -> int:
    """Say what is damaged in a study, or in every study of a folder; with `move_away` move it below quarantine/."""
    need_study(folder)
    wrong: list[str] = []
    places = studies_in(folder)
    if move_away:
        without_drivers(places)
    for path in places:
        if move_away:
            _quarantined(path)
        found = check(path)
        wrong += found.lines()
        things = ", ".join(f"{count} {name}" for name, count in found.counts.items() if count)
        typer.echo(printable(f"{path}: {'sound' if found.sound else 'not sound'}: {things or 'nothing there'}"))
    if folder not in places:
        beside = check_sealed(folder, IN_RESULTS)
        if move_away:
            move(folder, [path for path, _ in beside])
            beside = check_sealed(folder, IN_RESULTS)
        wrong += [f"{path}: {why}" for path, why in beside]
    wrong += _images(folder.absolute().parent if folder in places else folder, move_away)
    if wrong:
        hint = "" if move_away else "\n`vmi fsck --quarantine` moves them away, and the next run trains what is missing"
        lines = "\n".join(f"  {line}" for line in wrong)
        raise StoreError(printable(f"damaged or newer, kept as they are:\n{lines}{hint}"))
    return 0


def _images(root: AnyPath, move_away: bool) -> list[str]:
    """What is wrong with images of one's own that are kept beside these results; the next run keeps anew what is moved.

    Of a data set all files go: what is left of it would be taken for whole.
    """
    from vmi.sources import kept

    wrong = kept.damaged(root)
    if move_away:
        for folder in wrong:
            move(root, list(folder.iterdir()))
            typer.echo(printable(f"moved into {root / QUARANTINE}: {below(root, folder)}"))
        wrong = kept.damaged(root)
    return list(wrong.values())


def _quarantined(path: AnyPath) -> None:
    with Heartbeat(path, path.absolute().name):  # nobody else may start meanwhile
        for moved in quarantine(path):
            typer.echo(printable(f"moved into {path / QUARANTINE}: {below(path, moved)}"))


def without_drivers(places: Sequence[AnyPath]) -> None:
    """Raises InputError naming every living driver."""
    problems = []
    for path in places:
        driver = lock.read(path, time.time())
        if driver and driver.alive:
            problems.append(Problem("study", path.name, f"no driver that runs it: {driver}", "stop it first"))
    if problems:
        raise InputError(problems)


def one_study(folder: AnyPath) -> Store:
    """The store of one study's folder. Raises InputError where it is none, or one of several studies."""
    need_study(folder)
    if studies_in(folder) != [folder]:
        raise InputError([Problem("folder", str(folder), "one study's results, not a folder of them")])
    return Store(folder.absolute().parent, folder.absolute().name)


def need_yes(to_do: str, done: str) -> None:
    """Ask on a terminal. Raises InputError where nobody can be asked, and where the answer is no."""
    if not sys.stdin.isatty():
        raise InputError([Problem("--yes", ABSENT, f"needed without a terminal, to {to_do}")])
    try:
        agreed = typer.confirm(printable(f"{to_do[0].upper()}{to_do[1:]}?"))
    except typer.Abort:
        agreed = False
    if not agreed:
        raise InputError([Problem("answer", ABSENT, f"not yes: nothing {done}")])


def need_study(folder: AnyPath) -> None:
    """Raises InputError where a folder is neither a study's nor one of studies."""
    if not folder.is_dir() or not studies_in(folder):
        beside = [path.name for path in studies_in(folder.absolute().parent)]
        hint = near(folder.name, beside)
        raise InputError([Problem("folder", str(folder), "a study's results, or a folder of them", hint)])
