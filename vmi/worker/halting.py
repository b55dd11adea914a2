"""A run that is ended early asks its workers to write a checkpoint and stop; each answers with how far it is safe.

On the worker's node the question is an empty file under a name that the worker has told; the worker puts its answer
beside it and removes it. So nothing lies there but for the second or two between the two.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

# So long is waited for the answers: together with Ray's own end it shall be over within ten seconds.
HALT_SECONDS = 5.0
_LOOK_SECONDS = 0.05


class HaltedError(RuntimeError):
    """Training was asked to stop; what it had trained is in a checkpoint."""


def never() -> bool:
    """Nobody asks."""
    return False


def question_of(worker_id: str) -> Path:
    """The file by which the worker of this id, on this node, is asked to stop."""
    return Path(tempfile.gettempdir()) / f"vmi-halt-{worker_id[:16]}"


def ask(
    questions: Sequence[Path], seconds: float = HALT_SECONDS, clock: Callable[[], float] = time.monotonic
) -> list[str]:
    """The answers of those that are asked, as far as they come in time. Leaves no file behind."""
    waiting, answers, until = set(questions), [], clock() + seconds
    for question in questions:
        question.touch(mode=0o600)
    try:
        while waiting and clock() < until:
            for question in [question for question in waiting if not question.exists()]:
                waiting.discard(question)
                with contextlib.suppress(OSError):  # gone without an answer: the others' are still wanted
                    answers.append(_answer_to(question).read_text(encoding="utf-8"))
            time.sleep(_LOOK_SECONDS)
    finally:
        for question in questions:
            for path in (question, _answer_to(question)):
                with contextlib.suppress(OSError):
                    path.unlink()
    return answers


def answer(question: Path, text: str) -> None:
    """Answer; whoever asked may have gone."""
    _answer_to(question).write_text(text, encoding="utf-8")
    try:
        question.unlink()
    except OSError:
        _answer_to(question).unlink(missing_ok=True)


def _answer_to(question: Path) -> Path:
    return question.with_name(f"{question.name}-answer")
