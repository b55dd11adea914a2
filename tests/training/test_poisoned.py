"""Which errors of CUDA leave a process without its card: by the words that CUDA and torch say."""

from __future__ import annotations

import pytest
import torch
from support.packs import small_pack

from vmi.data import dataset as data
from vmi.training import cuda_graph
from vmi.training.out_of_memory import is_out_of_memory
from vmi.training.poisoned import is_poisoned

HINT = (
    "\nCUDA kernel errors might be asynchronously reported at some other API call.\nCompile with `TORCH_USE_CUDA_DSA`"
)


@pytest.mark.parametrize("said", [
    "device-side assert triggered", "an illegal memory access was encountered", "misaligned address",
    "unspecified launch failure", "uncorrectable ECC error encountered", "the launch timed out and was terminated",
])  # fmt: skip
def test_errors_that_poison_the_context_are_known_also_where_another_was_raised_from_them(said: str) -> None:
    error = torch.AcceleratorError(f"CUDA error: {said}{HINT}")
    assert is_poisoned(error) and not is_out_of_memory(error)
    assert is_poisoned(RuntimeError(f"CUDA error: {said}"))
    try:
        try:
            raise error
        except RuntimeError as first:
            raise ValueError("while tidying up") from first
    except ValueError as second:
        assert is_poisoned(second)


@pytest.mark.parametrize("error", [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    torch.AcceleratorError("CUDA error: out of memory"),
    RuntimeError("CUDA error: operation not permitted when stream is capturing"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("CUDA error: invalid device ordinal"), ValueError("CUDA error: device-side assert triggered"), None,
])  # fmt: skip
def test_errors_that_a_process_survives_are_not(error: Exception | None) -> None:
    assert not is_poisoned(error)


@pytest.mark.parametrize(("error", "raised", "of_all"), [
    (torch.AcceleratorError("CUDA error: an illegal memory access was encountered"), True, False),
    (torch.OutOfMemoryError("CUDA out of memory."), False, False),
    (RuntimeError("CUDA error: operation not permitted when stream is capturing"), False, True),
])  # fmt: skip
@pytest.mark.filterwarnings("ignore:steps are launched one by one")
def test_a_capture_that_loses_the_card_is_no_capture_that_fails_and_a_smaller_pack_may_have_the_memory(
    monkeypatch: pytest.MonkeyPatch, error: Exception, raised: bool, of_all: bool
) -> None:
    monkeypatch.setattr(cuda_graph, "_EAGER", set())
    digits, pack = data.load("digits"), small_pack(2, steps=99)

    def fails(*_: object) -> cuda_graph.Graph:
        raise error

    def replayed(of: object = pack) -> bool:
        return cuda_graph.replayed(of, digits, 30, fails)  # type: ignore[arg-type]

    if raised:
        with pytest.raises(torch.AcceleratorError):
            replayed()
        return
    assert not replayed()
    assert (pack.architecture in cuda_graph._EAGER) == of_all and (pack in cuda_graph._SHORT) != of_all
    monkeypatch.setattr(cuda_graph, "Captured", lambda *_: pytest.fail("tried again"))
    assert not replayed()
