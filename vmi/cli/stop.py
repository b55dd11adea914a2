"""`vmi stop`: asks that trials of a study, which runs or will, are trained no further."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from vmi.cli.arguments import Debug
from vmi.cli.run import guarded
from vmi.spec.errors import InputError, Problem, printable
from vmi.storage.paths import AnyPath, opened

if TYPE_CHECKING:
    from vmi.in_flight.steering import StopRequest
    from vmi.results.store import Store


def stop(
    folder: Annotated[str, typer.Argument(help="A study's results, such as results/lambda.")],
    where: Annotated[
        str, typer.Option("--where", help='Which trials, by their configuration and ids: "mi_weight = 8".')
    ],
    yes: Annotated[
        bool, typer.Option("--yes", help="Do not ask where all that is left of the study would end.")
    ] = False,
    debug: Debug = False,
) -> None:
    """End trials of a study, running or waiting, that meet a condition: seconds later, with what they have reached."""

    def action() -> int:
        return _asked(opened(folder), where, yes)

    raise typer.Exit(guarded(action, debug))


def _asked(folder: AnyPath, condition: str, yes: bool) -> int:
    from vmi.cli.store import need_yes, one_study  # loads pyarrow
    from vmi.driver.own_data import register_beside
    from vmi.in_flight.steering import put_stop, stop_request
    from vmi.monitor import lock

    store = one_study(folder)
    register_beside(folder)
    request = stop_request(condition, datetime.now(UTC))
    count, total = _fitting(store, request)
    if count == total and not yes:
        need_yes(f"stop {count} of {count} trials without a result in {store.folder}", "is stopped")
    put_stop(store, request)
    driver = lock.read(folder, time.time())
    runs = driver is not None and driver.alive
    typer.echo(printable(f"{store.study}: asked to stop {count} of {total} trials without a result, where {condition}"))
    typer.echo("They end within seconds." if runs else "No driver runs the study: its next start stops them.")
    typer.echo("The request holds for trials that are asked for later, too; --retry-stopped lifts it.")
    return 0


def _fitting(store: Store, request: StopRequest) -> tuple[int, int]:
    """How many trials without a row meet the condition, and how many there are. Raises InputError where none does."""
    from vmi.driver.stopping import without_row

    request.met_by(())  # a condition that is none is refused before the store is read
    left, ended = without_row(store)
    if not left:
        raise InputError([Problem("--where", request.where, f"a trial to stop: each of the {ended} has a row")])
    count = len(request.met_by(left))
    if not count:
        allowed = f"met by none of the {len(left)} trials that have no row; {ended} have one, and are not touched"
        raise InputError([Problem("--where", request.where, allowed)])
    return count, len(left)
