"""The drawn shapes of the guide: the account of a model with a known code, against the sum over all images."""

from __future__ import annotations

import math
import runpy
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import vmi
from vmi.estimation.model import wrap

EXAMPLE = Path(__file__).parents[2] / "examples" / "shapes.py"


def test_the_account_of_a_noisy_code_is_the_enumerated_truth(tmp_path: Path) -> None:
    images, labels = runpy.run_path(str(EXAMPLE))["all_shapes"]()
    data = vmi.Dataset.from_arrays(images, labels)
    assert (len(images), data.classes) == (1152, ("cross", "disc", "square"))
    place = {row.tobytes(): int(c) for part in (data.train, data.held_out) for row, c in zip(*part, strict=True)}
    probabilities = np.full((3, 3), 0.05) + 0.85 * np.eye(3)
    means = torch.stack([
        torch.from_numpy(data.train[0][data.train[1] == c]).float().mean(0) / 255 for c in range(3)
    ])  # fmt: skip

    def encode(images_ND: Tensor) -> Sequence[Tensor]:
        rows = (images_ND * 255).round().byte().numpy()
        # A view of an image is none of those drawn: it is taken for any shape.
        known = [probabilities[place[row.tobytes()]] if row.tobytes() in place else np.full(3, 1 / 3) for row in rows]
        return [torch.from_numpy(np.stack(known)).log().float()]

    model = wrap("c3*", encode, lambda code_NL: code_NL @ means)
    account = vmi.evaluate(model, data, seeds=1, resamples=200)
    np.savez(tmp_path / "shapes.npz", images=images, labels=labels)
    assert vmi.evaluate(model, str(tmp_path / "shapes.npz"), seeds=1, resamples=200) == account
    with pytest.raises(vmi.InputError, match=r"elsewhere\.npz"):
        vmi.evaluate(model, str(tmp_path / "elsewhere.npz"))
    # Over all held-out images: I = H(m) - E H(q), m their mean.
    shares = np.bincount(data.held_out[1], minlength=3) / len(data.held_out[1])
    m = shares @ probabilities
    truth = -(m * np.log(m)).sum() + (probabilities[0] * np.log(probabilities[0])).sum()
    found = account.estimates["mi_encoder_c3_nats"]
    assert found.value == pytest.approx(truth, abs=1e-6)
    assert found.low is not None and found.high is not None
    uniform = math.log(3) + 0.9 * math.log(0.9) + 0.1 * math.log(0.05)
    assert found.low <= uniform <= found.high and uniform == pytest.approx(0.704, abs=1e-3)
    assert account.estimates["mi_real_bound_c3_nats"].value <= found.value + 1e-9
    assert account.estimates["mi_view_c3_nats"].value <= found.value
