"""What CUDA makes of float32 and of sums: exact to the format unless somebody asks for less."""

from __future__ import annotations

import torch


def tf32(allowed: bool) -> None:
    """Whether float32 matrix products and convolutions on a GPU may round their factors to 10 bits of mantissa.

    PyTorch allows it for convolutions by default, and sums of bfloat16 products in bfloat16; neither is so where it is
    not allowed. Nothing of it concerns a CPU.
    """
    torch.set_float32_matmul_precision("high" if allowed else "highest")
    torch.backends.cudnn.allow_tf32 = allowed
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = allowed
