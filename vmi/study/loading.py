"""A study out of its file."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from vmi.spec.errors import InputError, Problem
from vmi.study.study import Study

NAME = "vmi_study_file"


def load(path: str | Path) -> Study:
    """The `study` that a Python file declares; by path, since no one can import a module called lambda.

    Raises InputError when there is no such file, or it is not Python, raises, or does not declare one study.
    """
    where = Path(path)
    if not where.is_file():
        found = "a folder" if where.is_dir() else "no such file"
        raise _bad_file(where, f"a Python file that declares `study`; this is {found}")
    namespace = _run(where)
    studies = {name: value for name, value in namespace.items() if isinstance(value, Study)}
    if len({id(value) for value in studies.values()}) > 1:
        raise _bad_file(where, f"one study; it declares {', '.join(studies)}")
    study = namespace.get("study")
    if not isinstance(study, Study):
        got = f"`study` is a {type(study).__name__}" if "study" in namespace else "it declares no `study`"
        hint = f"rename {next(iter(studies))!r} to study" if studies else ""
        raise _bad_file(where, f"study = Study(...) at its top level; {got}", hint)
    return study


def _bad_file(path: Path, allowed: str, hint: str = "") -> InputError:
    return InputError([Problem("study file", str(path), allowed, hint)])


def _run(path: Path) -> dict[str, Any]:
    module = ModuleType(NAME)
    module.__file__ = str(path)
    sys.modules[NAME] = module  # where dataclasses, and whatever else looks at annotations, looks them up
    try:
        exec(_compiled(path), module.__dict__)
    except InputError:
        raise
    except (Exception, SystemExit) as error:
        lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)]
        at = f" at line {lines[-1]}" if lines else ""
        raise _bad_file(path, f"a file that runs; it raises {type(error).__name__}{at}: {error}") from error
    finally:
        sys.modules.pop(NAME, None)  # a file may load another one
    return module.__dict__


def _compiled(path: Path) -> CodeType:
    try:
        return compile(path.read_bytes(), str(path), "exec")
    except SyntaxError as error:
        said = f"Python; line {error.lineno}: {error.msg}"
    except (ValueError, OSError) as error:  # a null byte; a file that may not be read
        said = f"Python; {error}"
    raise _bad_file(path, said)
