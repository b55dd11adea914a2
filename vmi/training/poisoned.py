"""Errors of CUDA after which a process can use its card no more: whatever follows fails as well. Loads no torch."""

from __future__ import annotations

# CUDA's words for what it calls sticky errors; torch >= 2.7 raises them as AcceleratorError, before as RuntimeError.
# Neither "out of memory" nor "operation not permitted when stream is capturing" is one: the context lives on.
_SAID = (
    "device-side assert",
    "illegal memory access",
    "misaligned address",
    "illegal instruction",
    "illegal address",
    "invalid program counter",
    "invalid address space",
    "hardware stack error",
    "unspecified launch failure",
    "launch timed out",
    "uncorrectable ECC error",
    "uncorrectable NVLink error",
    "Unrecoverable",
    "context is destroyed",
    "device is lost",
    "driver shutting down",
)


def is_poisoned(error: BaseException | None) -> bool:
    """Whether it says that CUDA's context is gone, itself or what it was raised from.

    A RuntimeError alone: torch's AcceleratorError is one, and so are cuBLAS's and cuDNN's that came after.
    """
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        said = str(error)
        if isinstance(error, RuntimeError) and "CUDA" in said and any(words in said for words in _SAID):
            return True
        error = error.__cause__ or error.__context__
    return False
