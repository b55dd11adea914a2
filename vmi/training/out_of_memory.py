"""How running out of memory shows, on a GPU and on a CPU. Loads no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

# torch has a type of its own for a GPU only; its allocator on a CPU and CUDA's libraries raise a RuntimeError.
_SAID = (
    "out of memory", "can't allocate memory", "Cannot allocate memory", "not enough memory",
    "_ALLOC_FAILED", "_ALLOCATION_FAILED",
    # What is left of it where a library had none for its handle, or for any of its ways to compute something.
    "_STATUS_NOT_INITIALIZED", "unable to find an engine",
)  # fmt: skip


class ExhaustedError(MemoryError):
    """There was no memory to train these trials further.

    steps    how many each had been trained
    seconds  of those steps, and of the one that there was no memory for, that no report has told of
    """

    def __init__(self, steps: Mapping[str, int], seconds: float) -> None:
        self.steps, self.seconds = dict(steps), seconds
        super().__init__(f"out of memory at step {max(self.steps.values(), default=0)}")


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether it says that there was not enough memory, on the device or on the host.

    So does one that was raised while such a one was handled: a library that tidies up then fails with something else.
    """
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        said = isinstance(error, RuntimeError | OSError) and any(words in str(error) for words in _SAID)
        if said or isinstance(error, MemoryError):
            return True
        error = error.__cause__ or error.__context__
    return False


@contextmanager
def exhaustible(steps: Callable[[], Mapping[str, int]], clock: Callable[[], float]) -> Iterator[None]:
    """What runs out of memory inside raises ExhaustedError with what `steps` says then, and its seconds by `clock`."""
    began = clock()
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise ExhaustedError(steps(), clock() - began) from error
