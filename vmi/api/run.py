"""`vmi.run`: a study from a notebook or a program."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar, get_type_hints

from rich.console import Console

from vmi.api.results import Results
from vmi.driver.options import RunOptions, options_of
from vmi.process.signals import importing
from vmi.spec.errors import InputError, Problem
from vmi.study.study import Study

P = ParamSpec("P")
R = TypeVar("R")


def _takes(options: Callable[P, RunOptions]) -> Callable[[Callable[..., R]], Callable[Concatenate[Study, P], R]]:
    """Give a function the options as keywords: for type checkers, and for what `help` and an editor show."""
    study = inspect.Parameter("study", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=Study)
    kind, types = inspect.Parameter.KEYWORD_ONLY, get_type_hints(RunOptions)
    keywords = [
        inspect.Parameter(part.name, kind, default=part.default, annotation=types[part.name])
        for part in options_of(RunOptions)
    ]

    def decorate(function: Callable[..., R]) -> Any:
        signature = inspect.Signature([study, *keywords], return_annotation=Results)
        setattr(function, "__signature__", signature)  # noqa: B010
        return function

    return decorate


@_takes(RunOptions)
def run(study: Study, **options: Any) -> Results:
    """Train what is missing of a study and return its results; each option of its command line is a keyword.

    Arguments:
        study: the `vmi.Study`
        **options: those of `vmi.driver.options.RunOptions`: smoke, data, skip_broken, steps, seeds, restarts,
            scale, name, results, pack_size, prefer, only, local, address, gpus_per_pack, keep_models, resume,
            hours, until, trials, retry_failed, retry_stopped

    Returns:
        The `Results`, also where trials failed, and where hours, until or trials have ended the run: its last lines
        say so, and the same call resumes. `results.failed` has the failed trials with their reasons.

    Raises:
        vmi.InputError: study or options are wrong, all problems at once; nothing was started or written
        vmi.StoreError: the study's store is damaged
        vmi.ClusterLostError: the Ray cluster is gone; finished trials are kept
        KeyboardInterrupt: it was interrupted; the same call resumes

    It shows its progress where a notebook or a terminal shows it, and may be called any number of times in a process;
    a call from another thread waits until the run before it has ended.

    Example:
        >>> import vmi
        >>> study = vmi.Study(name="weights", space={"mi_weight": vmi.choice(0, 4)}, seeds=range(2))
        >>> results = vmi.run(study, local=True, steps=20)  # doctest: +SKIP
    """
    with importing():
        import pandas  # noqa: F401 - which Arrow looks for once it reads a part

        from vmi.driver.launch import drive  # loads pyarrow
        from vmi.driver.run import BudgetSpentError, TrialsFailedError
        from vmi.monitor.progress import in_notebook

    given = RunOptions.of(options)
    if not isinstance(study, Study):
        raise InputError([Problem("study", study, "a vmi.Study"), *given.problems()], "vmi.run")
    # A kernel says that its output is a terminal; there the cell has a bar of its own.
    console = Console(force_jupyter=False, force_terminal=False if in_notebook() else None)
    with contextlib.suppress(TrialsFailedError, BudgetSpentError):  # its lines say so
        drive(study, given, console, "the same call of vmi.run")
    changed, _ = given.wished(study)
    return Results(given.root / changed.name)
