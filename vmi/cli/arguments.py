"""Options of a command line out of the class that declares them (`vmi.driver.options`)."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import Field
from functools import wraps
from typing import Annotated, Any

import typer

from vmi.cli.parsing import number, whole
from vmi.driver.options import flag, options_of

Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.")]


def takes(options: type[Any], *, only: Iterable[str] | None = None) -> Callable[[Callable[..., None]], Any]:
    """Give a command the options of a class: it gets them as one object, its argument `options`.

    `only` names those that it takes; the others keep their defaults.
    """
    wanted = [part for part in options_of(options) if only is None or part.name in only]

    def decorate(command: Callable[..., None]) -> Any:
        signature = inspect.signature(command, eval_str=True)
        own = [p.replace(kind=p.KEYWORD_ONLY) for p in signature.parameters.values() if p.name != "options"]
        debug = [p for p in own if p.name == "debug"]
        parameters = [p for p in own if p not in debug] + [_parameter(part) for part in wanted] + debug

        @wraps(command)
        def run(**given: Any) -> None:
            values = {part.name: given.pop(part.name) for part in wanted}
            command(**given, options=options(**values))

        setattr(run, "__signature__", signature.replace(parameters=parameters))  # noqa: B010 - typer reads it
        run.__annotations__ = {p.name: p.annotation for p in parameters}
        return run

    return decorate


def _parameter(part: Field[Any]) -> inspect.Parameter:
    """One option for typer; what is no number is passed on as its text, which `problems` then refuses."""
    text, metavar = part.metadata["help"], part.metadata["metavar"]
    kind: Any = str | None
    if isinstance(part.default, bool):
        kind, made = bool, typer.Option(flag(part.name), help=text)
    elif metavar:
        parser = number if metavar == "FLOAT" else whole
        made = typer.Option(flag(part.name), help=text, parser=parser, metavar=metavar)
    else:
        made = typer.Option(flag(part.name), help=text)
    annotation = Annotated[kind, made]
    return inspect.Parameter(part.name, inspect.Parameter.KEYWORD_ONLY, default=part.default, annotation=annotation)
