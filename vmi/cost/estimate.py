"""What packs may cost where nothing was measured: from operations and memory, for how packs are cut and nothing else.

    step(K) = LAUNCH + K (6 B M / RATE + F (20 P + 4 B A) / BANDWIDTH)

P parameters and M multiply-adds of encoder, decoder and Q for an image (those of a convolution count SLOWER times), A
numbers that their layers give, B batch, F bytes of a number. Six operations for a multiply-add: forward, and backward
twice; a parameter, its gradient and two moments are read and written. Beyond its steps a pack passes every image a few
times. What matters of it is the ratio of what a pack costs once to what each member adds; 27 measured packs of 1 to 64
members (MLPs and convolutions, digits and MNIST's size, one CPU) took 0.81 to 1.56 times this. The constants of a GPU
are guesses. Loads no torch.
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import pairwise
from typing import NamedTuple

from vmi.cost.footprint import FLOAT, KERNEL, data_bytes, own_parameters, trunks
from vmi.spec.config import Architecture
from vmi.spec.datasets import spec_of
from vmi.spec.layout import parse


class Machine(NamedTuple):
    """Seconds of a step's launches, of a pack and of a worker's start; operations and bytes a second."""

    launch: float
    pack: float
    start: float
    rate: float
    bandwidth: float


MACHINES = {"cpu": Machine(2.5e-3, 0.04, 3.0, 1e11, 3e10), "cuda": Machine(1e-3, 2.0, 12.0, 5e12, 1e12)}
# An operation of a convolution takes so many times what one of a matrix product does.
SLOWER = 2.5
# Passes over all images beyond the steps: evaluation of training and held-out images, traversals.
PASSES = 3
READ = 2e8


def pack_seconds(architecture: Architecture, terms: Collection[str], members: int, device: str) -> float:
    """Of a pack of so many members, without what a worker pays once."""
    machine, spec, layout = MACHINES[device], spec_of(architecture.dataset), parse(architecture.layout)
    nets = trunks(architecture)
    extra = own_parameters(layout, terms)
    parameters, kept = sum(net.parameters for net in nets) + extra, sum(sum(net.layers) for net in nets)
    image = 2 * (_multiply_adds(architecture, parameters - extra) + extra) / machine.rate
    batch = architecture.batch_size
    step = 3 * batch * image + FLOAT * (20 * parameters + 4 * batch * kept) / machine.bandwidth
    beyond = PASSES * (spec.train_count + spec.held_out_count) * image
    return machine.pack + machine.launch * architecture.steps + members * (architecture.steps * step + beyond)


def load_seconds(dataset: str) -> float:
    """Of a data set, once per worker."""
    return data_bytes(dataset) / READ


def _multiply_adds(architecture: Architecture, parameters: int) -> int:
    """Of one image: a dense weight is used once, one of a convolution at each place of its plane."""
    if architecture.network != "conv":
        return parameters
    spec, widths = spec_of(architecture.dataset), architecture.widths
    channels, more = (spec.channels, *widths[:-1]), 0
    for depth, (i, o) in enumerate(pairwise(channels), start=1):
        plane = (spec.image_shape[0] >> depth) * (spec.image_shape[1] >> depth)
        more += KERNEL * i * o * (plane - 1)
    return round(SLOWER * (parameters + 3 * more))
