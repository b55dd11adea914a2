"""The command line that every study file gets from `main(study)`."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from vmi.errors import InputError, StoreError, printable
from vmi.record.paths import path_of
from vmi.sweep.options import DEFAULT_PACK_SIZE, RESULTS, SEEDS, RunOptions, parse_seeds
from vmi.sweep.override import override
from vmi.sweep.signals import exit_code
from vmi.sweep.study import Study

BROKEN, BAD_INPUT, DAMAGED_STORE = 1, 2, 3


def main(study: Study) -> NoReturn:
    """Run the study as the command line asks, and exit: 0 done, 1 trials failed, 2 bad input, 3 damaged store."""

    def run(
        smoke: Annotated[
            bool, typer.Option("--smoke", help="A tiny version: 20 steps, 2 seeds, ends of each axis.")
        ] = False,
        local: Annotated[bool, typer.Option("--local", help="Train in this process, without Ray.")] = False,
        data: Annotated[str | None, typer.Option(help="Data set: digits, mnist or fashion_mnist.")] = None,
        steps: Annotated[int | None, typer.Option(help="Training steps of every trial.")] = None,
        seeds: Annotated[str | None, typer.Option(help=f"Replicates: {SEEDS}.")] = None,
        scale: Annotated[str | None, typer.Option(help="A scale that the study names, such as laptop or full.")] = None,
        name: Annotated[str | None, typer.Option(help="Name of the study's folder under the results.")] = None,
        results: Annotated[str, typer.Option(help=RESULTS)] = "results",
        address: Annotated[
            str | None, typer.Option(help="Ray cluster; default: this machine's, else a new local one.")
        ] = None,
        gpus_per_pack: Annotated[
            float | None, typer.Option(help="GPU share of a pack; default: 1 where there are any.")
        ] = None,
        pack_size: Annotated[int, typer.Option(help="Most trials trained as one program.")] = DEFAULT_PACK_SIZE,
        keep_models: Annotated[
            bool, typer.Option("--keep-models", help="Keep the trained packs, for `vmi evaluate`.")
        ] = False,
        debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    ) -> None:
        """Run this study: what is finished is found in the results, the rest is trained."""

        def start() -> int:
            options = RunOptions(
                results=path_of(results),
                seeds=seeds,
                local=local,
                address=address,
                gpus_per_pack=gpus_per_pack,
                pack_size=pack_size,
                keep_models=keep_models,
            )
            replicates = parse_seeds(seeds) if seeds is not None else None
            changed = override(study, dataset=data, steps=steps, seeds=replicates, smoke=smoke, name=name, scale=scale)
            from vmi.sweep.launch import launch  # loads pyarrow: not for --help

            return launch(changed, options, Console())

        raise typer.Exit(guarded(start, debug))

    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    app.command()(run)
    app()
    raise AssertionError("typer exits")


def guarded(action: Callable[[], int], debug: bool = False) -> int:
    """The action's exit code; 2 for a bad input and 3 for a damaged store, said on standard error."""
    errors = Console(stderr=True)
    try:
        return action()
    except (InputError, StoreError) as error:
        if debug:
            traceback.print_exc()
        errors.print(f"error: {error}", highlight=False, markup=False, soft_wrap=True)
        return BAD_INPUT if isinstance(error, InputError) else DAMAGED_STORE
    except KeyboardInterrupt as error:
        return exit_code(error)
    except Exception as error:  # what nobody foresaw: still no traceback unless it is asked for
        if debug:
            traceback.print_exc()
        said = printable(f"error: {type(error).__name__}: {error} (--debug shows where)")
        errors.print(said, highlight=False, markup=False, soft_wrap=True)
        return BROKEN
