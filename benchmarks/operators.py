"""Operators of one training step on a card, by pack size, without a card: counted on torch's meta device.

    python benchmarks/operators.py [--sizes 1 16 64]

Each operator that is neither a view nor an allocation is a kernel's launch, or a few (the fused Adam takes some 36
tensors a launch). Of a step it says: all launches; of these, what draws random numbers and what copies; views, which
launch nothing but take the host's time where a step is not captured as a graph. Then, in float64, how far members as
groups of one convolution, as on a card, are from members one by one, as on a CPU. Prints tables in Markdown.
"""

from __future__ import annotations

import argparse
import math
from collections import Counter
from collections.abc import Iterator
from typing import Any
from unittest import mock

import torch
from cases import CASES
from torch.utils._python_dispatch import TorchDispatchMode

from vmi.data.dataset import Dataset, Split
from vmi.nn import ops
from vmi.nn.convolution import ConvolutionalDecoder, ConvolutionalEncoder
from vmi.spec.config import TrialConfig
from vmi.spec.datasets import spec_of
from vmi.spec.resolving import resolve
from vmi.spec.trial import Trial
from vmi.training import cuda_graph
from vmi.training.pack import Pack

META = torch.device("meta")
ALLOCATES = {"empty", "empty_like", "empty_strided", "new_empty", "_unsafe_view"}
COPIES = {"cat", "stack", "clone", "copy_", "_to_copy"}
# How much the learning rate grows from member to member, where it does.
OWN_RATES = "own_rates"
CONFIGS: dict[str, dict[str, Any]] = {
    "mlp": {"dataset": "mnist", "hidden": CASES["mlp"].hidden},
    "conv (authors)": {"dataset": "mnist", "preset": "authors"},
    "mlp, a learning rate each": {"dataset": "mnist", "hidden": CASES["mlp"].hidden, OWN_RATES: 0.01},
    "mlp, invariant": {"dataset": "mnist", "preset": "invariant", "hidden": CASES["mlp"].hidden},
    "mlp, info_gan": {"dataset": "mnist", "preset": "info_gan", "hidden": CASES["mlp"].hidden},
    "mlp, factor_vae": {"dataset": "mnist", "preset": "factor_vae", "hidden": CASES["mlp"].hidden},
}


class Counted(TorchDispatchMode):
    """Operators by name, views apart."""

    def __init__(self) -> None:
        super().__init__()
        self.launches: Counter[str] = Counter()
        self.views = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        returned = [r.alias_info for r in func._schema.returns]
        name = func._schema.name.removeprefix("aten::")
        if any(alias is not None and not alias.is_write for alias in returned) or name in ALLOCATES:
            self.views += 1
        else:
            self.launches[name] += 1
        return found


def images(name: str) -> Dataset:
    spec = spec_of(name)
    pixels, labels = (torch.empty(s, device=META) for s in ((spec.train_count, spec.pixels), (spec.train_count,)))
    split = Split(pixels.byte(), labels.long())
    return Dataset(spec, split, split)


def counted(fields: dict[str, Any], size: int) -> tuple[Counted, int]:
    """Those of a step, and how many launches of it draw the codes' noise."""
    grows = fields.get(OWN_RATES, 0.0)
    given = {name: value for name, value in fields.items() if name != OWN_RATES}
    own = [{"learning_rate": 1e-3 * (1 + grows * k)} if grows else {} for k in range(size)]
    configs: list[TrialConfig] = [resolve({**given, **own[k], "seed": k}) for k in range(size)]
    pack = Pack([Trial(c.trial_id, c.suggestion_id, c) for c in configs], META)
    pack.train_mode(True)
    batches = pack.minibatches.resident(META)
    batches.renew()
    dataset, drawn = images(str(fields["dataset"])), 0
    cuda_graph.step(pack, dataset, batches)  # what is made once
    noise = pack.noise

    def watched(*given: Any) -> Any:
        nonlocal drawn
        before = step.launches.total()
        result = noise(*given)
        drawn += step.launches.total() - before
        return result

    pack.noise = watched  # type: ignore[method-assign]
    with Counted() as step:
        cuda_graph.step(pack, dataset, batches)
    return step, drawn


def lines(sizes: list[int]) -> Iterator[str]:
    yield "| step | " + " | ".join(f"pack of {size}" for size in sizes) + " |"
    yield "|---|" + "---|" * len(sizes)
    for name, fields in CONFIGS.items():
        cells = []
        for size in sizes:
            step, drawn = counted(fields, size)
            copies = sum(step.launches[name] for name in COPIES)
            cells.append(f"{step.launches.total()} (noise {drawn}, copies {copies}; views {step.views})")
        yield f"| {name} | " + " | ".join(cells) + " |"


SHAPES = ((1, 8, 8), (3, 8, 8), (1, 7, 11), (4, 9, 6), (1, 28, 28))


def apart(shape: tuple[int, int, int]) -> list[float]:
    """Of grouped convolutions and the loop: the largest difference of images, and of gradients, against the largest."""
    found = []
    for together in (False, True):
        drawn = [torch.Generator().manual_seed(k) for k in range(5)]
        encoder = ConvolutionalEncoder(shape, (8, 16, 32), 9, drawn, torch.float64)
        decoder = ConvolutionalDecoder(shape, 9, (32, 16, 8), drawn, torch.float64)
        x = torch.rand(5, 16, math.prod(shape), generator=torch.Generator().manual_seed(9), dtype=torch.float64)
        with mock.patch.object(ops, "on_card", lambda _, together=together: together):
            y = decoder(encoder(x))
            own = torch.autograd.grad(y.square().sum(), [*encoder.parameters(), *decoder.parameters()])
        found.append([y.detach(), torch.cat([g.flatten() for g in own])])
    return [float((a - b).abs().max() / a.abs().max()) for a, b in zip(*found, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="*", default=[1, 16, 64])
    for line in lines(parser.parse_args().sizes):
        print(line, flush=True)
    print("\n| channels x height x width, 5 members | forward | gradients |\n|---|---|---|")
    for shape in SHAPES:
        forward, gradients = apart(shape)
        print(f"| {' x '.join(map(str, shape))} | {forward:.0e} | {gradients:.0e} |", flush=True)


if __name__ == "__main__":
    main()
