"""The `vmi` command: plan and follow a study, send it to a cluster, report, mirror, compare, evaluate."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from vmi.cli import commands
from vmi.cli.drop import drop
from vmi.cli.export import export
from vmi.cli.parsing import Command, Gathering, Group, whole
from vmi.cli.run import guarded
from vmi.cli.stop import stop
from vmi.process.console import protect, say
from vmi.process.scratch import scratch
from vmi.spec.version import version as installed
from vmi.storage.paths import local, opened

# A pipe has no width; the table is made for this one.
PIPED_WIDTH = 100

app = typer.Typer(
    cls=Group,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Sweeps over VAEs with a mutual-information regulariser. Run a study with: python sweeps/lambda.py",
)


def _said(wanted: bool) -> None:
    if wanted:
        raise typer.Exit(guarded(_say_version, only_says=True))


def _say_version() -> int:
    typer.echo(installed())
    return 0


@app.callback()
def group(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_said, is_eager=True)
    ] = False,
) -> None:
    """What stands before a command."""


for command, reads in (
    (commands.plan, Gathering), (commands.calibrate, Gathering), (commands.status, Command), (commands.watch, Command),
    (export, Command), (commands.rerun, Command),
):  # fmt: skip
    app.command(cls=reads)(command)


@app.command(cls=Command)
def report(
    folder: Annotated[str, typer.Argument(help="A study's results, such as results/lambda.")],
    wandb: Annotated[
        str | None, typer.Option(help="ENTITY/PROJECT: also make or update the study's report on W&B.")
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="With --wandb: write the report, send nothing.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Write report.html into the study's folder (one page, offline) and print its table."""

    def action() -> int:
        from analysis.data.study_results import open_study  # loads plotly and pyarrow
        from analysis.report import FILE, publish
        from analysis.terminal import terminal
        from vmi.cli.results import check_wandb, report_to_wandb, undamaged
        from vmi.driver.own_data import register_beside

        target = check_wandb(wandb, offline)
        results = open_study(opened(folder))
        register_beside(results.folder)
        page = publish(results)
        console = Console(width=None if Console().is_terminal else PIPED_WIDTH)
        console.print(terminal(results, console.width, console.encoding))
        say(console, f"page: {page}")
        if local(results.folder) is None:
            say(console, f"and: {results.folder / FILE}")
        undamaged(results)  # the page has what can be read, and names the rest
        with scratch():
            return report_to_wandb(results, target, offline) if target else 0

    raise typer.Exit(guarded(action, debug))


@app.command(cls=Command)
def evaluate(
    model: Annotated[str, typer.Argument(help="A checkpoint of a pack (.pt), or results with kept models.")],
    data: Annotated[str | None, typer.Option(help="Data set; default: the one it was trained on.")] = None,
    member: Annotated[str | None, typer.Option(help="Trial id, where the checkpoint holds several.")] = None,
    seeds: Annotated[
        int, typer.Option(help="How many Q are fitted: their spread is shown.", parser=whole, metavar="INTEGER")
    ] = 3,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """The mutual information of one trained model, frozen: every estimate on held-out images, with intervals."""

    def action() -> int:
        from vmi.cli.results import model_of
        from vmi.driver.own_data import read
        from vmi.estimation.evaluate import evaluate as account_of  # loads torch
        from vmi.estimation.tables import account_table
        from vmi.spec.datasets import is_place
        from vmi.worker.own_images import hold
        from vmi.worker.work import prepare

        prepare("cpu")
        images = read(data) if data and is_place(data) else data
        fixed = model_of(opened(model, "model"), member, images, seeds)
        hold(images or fixed.dataset)
        console = Console(width=None if Console().is_terminal else PIPED_WIDTH)
        for part in account_table(account_of(fixed, images or fixed.dataset, seeds=seeds)):
            console.print(part, highlight=False)
        return 0

    raise typer.Exit(guarded(action, debug, only_says=True))


@app.command(cls=Command)
def presets(
    folder: Annotated[str, typer.Argument(help="Results of a study that varies its preset.")],
    against: Annotated[str, typer.Option(help="The preset that the others are compared with.")] = "corrected",
    out: Annotated[str | None, typer.Option(help="A Markdown file to write; default: the terminal.")] = None,
    command: Annotated[str, typer.Option(help="The command that made the results, for the text.")] = "",
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Compare the presets of a study as Markdown: intervals, published figures, differences paired by seed."""

    def action() -> int:
        from vmi.cli.results import compare_presets

        where = opened(folder)
        written = opened(out, "--out") if out else None
        return compare_presets(where, against, written, command or f"python sweeps/{where.resolve().name}.py")

    raise typer.Exit(guarded(action, debug, only_says=out is None))


@app.command(cls=Command)
def submit(
    place: Annotated[Path, typer.Argument(help="A place such as cluster/aws.yaml, or a folder of places.")],
    study_file: Annotated[Path, typer.Argument(help="A study, such as sweeps/lambda.py.")],
    arguments: Annotated[list[str] | None, typer.Argument(help="Arguments of the study, after --.")] = None,
    on: Annotated[str | None, typer.Option(help="The place, where a folder has several.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be run, and run nothing.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Send a study to a cluster with the place's own command: ray submit, sbatch or kubectl."""

    def choose(names: Sequence[str]) -> str:
        return str(typer.prompt(f"place ({', '.join(names)})"))

    def action() -> int:
        from vmi.cli.submit import submit as send

        ask = choose if sys.stdin.isatty() else None
        return send(place, study_file, arguments or [], on=on, dry_run=dry_run, ask=ask, say=typer.echo)

    raise typer.Exit(guarded(action, debug, only_says=dry_run))


@app.command(cls=Command)
def mirror(
    folder: Annotated[str, typer.Argument(help="A study's results, such as results/lambda.")],
    online: Annotated[
        str | None, typer.Option(help="ENTITY/PROJECT: send the runs there; default: into FOLDER/wandb, offline.")
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Rebuild a study's W&B runs from its store alone; a second time changes nothing."""

    def action() -> int:
        from vmi.cli.results import mirror_study

        with scratch():
            return mirror_study(opened(folder), online)

    raise typer.Exit(guarded(action, debug))


@app.command(cls=Command)
def compare(
    first: Annotated[str, typer.Argument(help="A study's results.")],
    second: Annotated[str, typer.Argument(help="Another study's results: differences are this one minus the first.")],
    out: Annotated[str | None, typer.Option(help="A Markdown file to write; default: the terminal.")] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Compare two studies as Markdown: shared settings with differences paired by seed, and what each asked for."""

    def action() -> int:
        from vmi.cli.results import compare_studies

        return compare_studies(opened(first, "first"), opened(second, "second"), opened(out, "--out") if out else None)

    raise typer.Exit(guarded(action, debug, only_says=out is None))


@app.command(cls=Command)
def compact(
    folder: Annotated[str, typer.Argument(help="A study's results, such as results/lambda.")],
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Merge the small parts of a study into few large ones, beside live readers and writers."""

    def action() -> int:
        from vmi.cli.store import compact_study

        return compact_study(opened(folder))

    raise typer.Exit(guarded(action, debug))


@app.command(cls=Command)
def fsck(
    folder: Annotated[str, typer.Argument(help="A study's results, or a folder of them.")],
    quarantine: Annotated[
        bool, typer.Option("--quarantine", help="Move what is damaged into quarantine/, to be trained again.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Check every file of a study: exit code 0 when all is sound, 3 naming what is damaged and why."""

    def action() -> int:
        from vmi.cli.store import check_studies

        return check_studies(opened(folder), quarantine)

    raise typer.Exit(guarded(action, debug))


app.command(cls=Command)(drop)
app.command(cls=Command)(stop)


@app.command(cls=Command)
def data(
    place: Annotated[str, typer.Argument(help="A file or folder of images; photos::32x32 gives them a size.")],
    preview: Annotated[Path | None, typer.Option("--preview", help="A PNG to draw some of them into.")] = None,
    skip_broken: Annotated[bool, typer.Option("--skip-broken", help="Leave broken images out.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Say what images of your own are: shape, count, classes, split, name, copies, and their problems."""

    def action() -> int:
        from vmi.cli.data import describe

        return describe(place, skip_broken, preview, Console(width=None if sys.stdout.isatty() else PIPED_WIDTH))

    raise typer.Exit(guarded(action, debug, only_says=True))


@app.command(cls=Command)
def version() -> None:
    """Print the version."""
    raise typer.Exit(guarded(_say_version, only_says=True))


def main() -> None:
    """Entry point of the `vmi` command."""
    protect()
    app()
