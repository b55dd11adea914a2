"""How a command line is read: every wrong option at once and in our own form, each with the nearest valid name.

A value that is no number is passed on as the text that it is: what uses it says what is allowed there, beside all else
that is wrong. So `--steps ten --seeds -1` is one error of two problems.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import typer
from rich.console import Console
from typer.core import TyperCommand, TyperGroup

from vmi.driver.options import RunOptions, bare_values, place_problems, unknown_option
from vmi.process.console import say
from vmi.spec.errors import ABSENT, InputError, Problem, did_you_mean
from vmi.spec.redaction import is_secret_name

BAD_INPUT = 2
_KEY = "vmi.usage"
# Parameters that name a folder or file, which may lie in an object store.
_PLACES = frozenset({"results", "folder", "first", "second", "out", "calibration", "model"})
_WHOLE = re.compile(r"[+-]?[0-9]{1,400}")
_DECIMAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|nan|[+-]?inf", re.IGNORECASE)
# What an option means that stands without a value, which the parser has no form for.
_BARE = bare_values(RunOptions)
# What the parser raises; it is not among the names that typer exports in every version.
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]


def whole(text: Any) -> Any:
    """The whole number that an option gives, or its text where it gives none."""
    return int(text) if isinstance(text, str) and _WHOLE.fullmatch(text.strip()) else text


def number(text: Any) -> Any:
    """The number that an option gives, or its text where it gives none."""
    return float(text) if isinstance(text, str) and _DECIMAL.fullmatch(text.strip()) else text


def usage_problems(context: typer.Context) -> tuple[Problem, ...]:
    """What was wrong with the options of a `Gathering` command before any value was looked at."""
    return tuple(context.meta.get(_KEY, ()))


class Command(TyperCommand):
    """A command that refuses options which do not exist, or lack their value, before it does anything."""

    gathers = False

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        kept, problems = _read(self.params, args)
        try:
            rest = super().parse_args(ctx, kept)
        except _UsageError as error:
            _refuse(ctx, [*problems, _problem_of(error)])
        problems += _places(self.params, ctx.params)
        if problems and not self.gathers:
            _refuse(ctx, problems)
        ctx.meta[_KEY] = tuple(problems)
        return rest


class Gathering(Command):
    """A command that asks for `usage_problems`, and says them together with what else is wrong."""

    gathers = True


class Group(TyperGroup):
    """Commands by name; an unknown one gets the nearest."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        own = args[: next((i for i, arg in enumerate(args) if not arg.startswith("-")), len(args))]
        if problems := _read(self.params, own)[1]:
            _refuse(ctx, problems)
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and args[0] not in self.commands:
            names = sorted(self.commands)
            _refuse(ctx, [Problem("command", args[0], f"one of {', '.join(names)}", did_you_mean(args[0], names))])
        return super().resolve_command(ctx, args)


def _read(params: Sequence[Any], args: Iterable[str]) -> tuple[list[str], list[Problem]]:
    """The arguments without what no option takes, and what is wrong with them."""
    options = {name: p for p in params if p.param_type_name == "option" for name in (*p.opts, *p.secondary_opts)}
    options["--help"] = None
    kept: list[str] = []
    problems: list[Problem] = []
    left = list(args)
    while left and left[0] != "--":
        arg = left.pop(0)
        name, given, value = arg.partition("=")
        if not arg.startswith("-") or arg == "-":
            kept.append(arg)
        elif name not in options:
            problems.append(unknown_option(name, value if given else ABSENT, options))
            left = left if given else _without_value(name, left, options)
        elif options[name] is None or options[name].is_flag:
            kept += [] if given else [arg]
            problems += [Problem(name, value, "no value: it is a switch")] if given else []
        elif name in _BARE and not given and (not left or left[0].startswith("-")):
            kept.append(f"{name}={_BARE[name]}")
        elif given or left:
            kept += [arg] if given else [arg, left.pop(0)]
        else:
            problems.append(Problem(name, ABSENT, f"a value. {options[name].help or ''}".strip()))
    return [*kept, *left], problems


def _without_value(name: str, left: list[str], options: dict[str, Any]) -> list[str]:
    """What follows an unknown option, without the value that it was meant to have."""
    hint = did_you_mean(name, options)
    meant = next((option for known, option in options.items() if repr(known) in hint), None)
    takes_one = is_secret_name(name) or (meant is not None and not meant.is_flag)
    return left[1:] if takes_one and left and not left[0].startswith("-") else left


def _places(params: Sequence[Any], values: dict[str, Any]) -> list[Problem]:
    """What is wrong with the paths that are given, before anything is looked for there."""
    given = ((param, values.get(param.name)) for param in params)
    places = ((p, v) for p, v in given if isinstance(v, Path) or (p.name in _PLACES and isinstance(v, str)))
    return [problem for param, value in places for problem in place_problems(_called(param), str(value))]


def _called(param: Any) -> str:
    """What the help calls it."""
    return str(param.opts[0] if param.param_type_name == "option" else param.name.upper())


def _problem_of(error: Any) -> Problem:
    """An argument that is missing, one too many, or what else the parser does not take."""
    param = getattr(error, "param", None)
    if param is None:
        return Problem("arguments", ABSENT, str(error.format_message()))
    missing = type(error).__name__ == "MissingParameter"
    said = f"missing. {getattr(param, 'help', None) or ''}".strip() if missing else str(error.message)
    return Problem(_called(param), ABSENT, said)


def _refuse(context: Any, problems: Sequence[Problem]) -> NoReturn:
    error = InputError(problems, context.command_path)
    say(Console(stderr=True), f"error: {error}\nhelp: {context.command_path} --help")
    raise typer.Exit(BAD_INPUT)
