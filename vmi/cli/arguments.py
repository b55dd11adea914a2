"""The options that more than one command line takes: a study file's own, `vmi plan` and `vmi calibrate`."""

from __future__ import annotations

from typing import Annotated

import typer

from vmi.cli.parsing import whole
from vmi.driver.options import PACK_SIZE, RESULTS, SEEDS

Results = Annotated[str, typer.Option(help=RESULTS)]
Smoke = Annotated[bool, typer.Option("--smoke", help="A tiny version: 20 steps, 2 seeds, ends of each axis.")]
Data = Annotated[str | None, typer.Option(help="Data set: digits, mnist or fashion_mnist.")]
Steps = Annotated[int | None, typer.Option(help="Training steps of every trial.", parser=whole, metavar="INTEGER")]
Seeds = Annotated[str | None, typer.Option(help=f"Replicates: {SEEDS}.")]
Scale = Annotated[str | None, typer.Option(help="A scale that the study names, such as laptop or full.")]
Name = Annotated[str | None, typer.Option(help="Name of the study's folder under the results.")]
PackSize = Annotated[str, typer.Option(help=PACK_SIZE, parser=whole, metavar="INTEGER|auto")]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.")]
