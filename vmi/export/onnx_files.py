"""encoder.onnx and decoder.onnx of a model, for any number of images. Written by torch's exporter."""

from __future__ import annotations

import warnings
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn

from vmi.export.model import Model, Normal
from vmi.spec.errors import ABSENT, InputError, Problem

PACKAGES = ("onnx", "onnxscript")
INSTALL = "pip install onnx onnxscript"


class Encoder(nn.Module):
    """From images [N, C, H, W] to what `Model.encode` says, block after block."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model

    @property
    def names(self) -> list[str]:
        """Of the outputs: "n16_mean", "n16_log_variance", "c10_probabilities"."""
        kinds = {"normal": ("mean", "log_variance"), "categorical": ("probabilities",)}
        return [f"{name}_{part}" for name, kind, _ in self.model.blocks for part in kinds[kind]]

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        found = self.model.encode(images).values()
        return tuple(tensor for one in found for tensor in (one if isinstance(one, Normal) else (one,)))


class Decoder(nn.Module):
    """From codes [N, L] to mean images [N, C, H, W]."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model

    def forward(self, code: Tensor) -> Tensor:
        return self.model.decode(code)


def check_installed() -> None:
    """Raises InputError with the line that installs what is missing."""
    if missing := [name for name in PACKAGES if find_spec(name) is None]:
        raise InputError([Problem("--onnx", ABSENT, f"needs the package {' and '.join(missing)}", INSTALL)])


def write(model: Model, folder: Path) -> None:
    """Write both files; the first dimension of each input and output is free."""
    encoder = Encoder(model)
    codes = model.prior(2)
    _write(encoder, torch.zeros(2, *model.shape), folder / "encoder.onnx", "images", encoder.names)
    _write(Decoder(model), codes, folder / "decoder.onnx", "code", ["images"])


def _write(module: nn.Module, example: Tensor, path: Path, takes: str, gives: list[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch's own deprecations, which are not the user's
        torch.onnx.export(
            module.eval(),
            (example,),
            path,
            input_names=[takes],
            output_names=gives,
            dynamic_shapes=({0: torch.export.Dim.DYNAMIC},),
            external_data=False,
            dynamo=True,
            verbose=False,
        )
