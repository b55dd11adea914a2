"""`vmi drop`: takes trials out of a study, by a condition on their columns, once somebody has agreed."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from vmi.cli.arguments import Debug
from vmi.cli.run import guarded
from vmi.spec.errors import InputError, Problem, printable
from vmi.storage.paths import AnyPath, opened

if TYPE_CHECKING:
    from vmi.results.drop import Matching
    from vmi.results.store import Store


def drop(
    folder: Annotated[str, typer.Argument(help="A study's results, such as results/lambda.")],
    where: Annotated[
        str, typer.Option("--where", help="Which trials, by the columns of trials: \"preset = 'paper'\".")
    ],
    yes: Annotated[
        bool, typer.Option("--yes", help="Drop them without asking; all of a study only off a terminal.")
    ] = False,
    debug: Debug = False,
) -> None:
    """Take the trials that meet a condition out of a study; their files go into quarantine/, and are kept there."""

    def action() -> int:
        return _dropped(opened(folder), where, yes)

    raise typer.Exit(guarded(action, debug))


def _dropped(folder: AnyPath, condition: str, yes: bool) -> int:
    from vmi.cli.store import one_study, without_drivers  # loads pyarrow
    from vmi.driver.stopping import asked_for
    from vmi.monitor.lock import Heartbeat
    from vmi.results.drop import drop as take_out
    from vmi.results.drop import matching

    store = one_study(folder)
    without_drivers([folder])
    found = matching(store, condition, asked_for(store))
    _agreed(store, condition, found, yes)
    with Heartbeat(folder, store.study):  # no driver may start meanwhile
        now = matching(store, condition, asked_for(store))
        if (now.stored, now.finished) != (found.stored, found.finished):
            raise InputError([Problem("study", store.study, "no change since the question; repeat the command")])
        less = _shrink(store, found)
        if found.stored:
            take_out(store, found.stored, condition, datetime.now(UTC))
    kept = f"; their files are kept in {folder / 'quarantine'}" if found.stored else ""
    typer.echo(printable(f"{store.study}: dropped {_counted(found)}{kept}"))
    if less:
        typer.echo(printable(f"asked for no more, unless a next run names it: {'; '.join(less)}"))
    typer.echo("The next run trains again what the study still asks for. Kept models and W&B runs stay.")
    return 0


def _shrink(store: Store, found: Matching) -> list[str]:
    """Let the study ask no more for what only these trials have, else its next run would bring them; what that is.

    Before they go: whoever is killed in between may repeat the command.
    """
    from vmi.search.trial_count import planned_trials
    from vmi.study.shrinking import removed, shrunk
    from vmi.study.study_json import study_of

    spec = store.read_study()
    if spec is None or not spec.get("space"):
        return []
    less = shrunk(spec, found.gone, found.left)
    if less != spec:
        store.write_study({**less, "planned": planned_trials(study_of(less))})
    return list(removed(spec, less))


def _agreed(store: Store, condition: str, found: Matching, yes: bool) -> None:
    """Raises InputError where nothing matches, where nobody can be asked, and where the answer is no."""
    from vmi.cli.store import need_yes

    if not found.gone:
        raise InputError([Problem("--where", condition, f"met by none of the {found.finished} finished trials")])
    if not yes or (sys.stdin.isatty() and len(found.stored) == found.finished):
        need_yes(f"drop {_counted(found)} from {store.folder}", "was dropped")


def _counted(found: Matching) -> str:
    asked = len(found.gone) - len(found.stored)
    more = f" and {asked} that {'was' if asked == 1 else 'were'} only asked for" if asked else ""
    return f"{len(found.stored)} of {found.finished} trials{more}"
