"""How much memory a pack takes, from the Architecture of its members alone: an estimate, made before anything is built.

    bytes(K) = base + shared + K * member
    member   = 4 * max(4 P + B (2 A + 3 W + 8 D) + terms,  3 P + N (k W + 8 D) + 32 H L,  9 P) + 8 T

P parameters of encoder, decoder and Q: value and two moments stay, a gradient comes with each step. A numbers that
normalised layers give, of which the backward pass keeps two of each; W the widest layer. An evaluation passes N images
at a time and holds k tensors of the widest layer; of H held-out images it keeps what their codes are made of. A
checkpoint, or a pack that others join, holds the state up to three times. T training images (each member's order).
Terms are PAIRS B^2 for each informed Normal block, whatever its weight: the entropy of its code compares every image of
the minibatch with every other; and what costly terms of the objective take.
What is done member by member is shared: a convolution's workspace, and the pairs of an MI sandwich.
Measured peaks of packs are between half and twice this (tests/cost/test_footprint.py). Loads no torch.
Symbols: B batch, D pixels, K member, L width of the code, Z Normal dimensions.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import pairwise
from typing import NamedTuple

from vmi.spec.config import FIELDS, Architecture
from vmi.spec.datasets import spec_of
from vmi.spec.fields import Memory
from vmi.spec.layout import Layout, parse

FLOAT, ORDER = 4, 8
KERNEL = 16
EVALUATED = 1000
# Tensors of the widest layer while a chunk is evaluated, of each member, and more of the one whose turn it is; on a
# GPU, where convolutions were not measured, a guess on the safe side.
HELD, WORKED = {"mlp": 3, "conv": 4}, {"mlp": 0, "conv": 6}
GPU_HELD, GPU_WORKED = HELD | {"conv": 8}, WORKED | {"conv": 14}
PAIRED, ROWS = 4096, 512
# Tensors [B, B] of an informed Normal block, passes and what the allocator cannot give out again: measured were 3 to 9.
PAIRS = 6
# What the libraries keep and the allocator cannot give out again; measured, of the smallest packs.
SCRATCH = 20_000_000
# Of a process of its own: Python, torch, scikit-learn and Ray's worker, without the libraries' code, which processes
# share.
PROCESS = 500_000_000
# A GPU's context and the libraries' workspaces: a guess.
CONTEXT = 1_000_000_000


class Trunk(NamedTuple):
    """One network of one member: its parameters, and the size of every normalised layer of one image."""

    parameters: int
    layers: tuple[int, ...]


def encoder(architecture: Architecture, outputs: int) -> Trunk:
    """From an image to so many outputs: the encoder, or Q."""
    widths, spec = architecture.widths, spec_of(architecture.dataset)
    if architecture.network != "conv":
        return _dense(spec.pixels, widths, outputs)
    channels = (spec.channels, *widths[:-1])
    planes = [_plane(spec.image_shape, depth) for depth in range(len(channels))]
    convolutions = sum(KERNEL * i * o + o + 2 * o for i, o in pairwise(channels))
    layers = tuple(c * plane for c, plane in zip(channels[1:], planes[1:], strict=True))
    dense = _dense(channels[-1] * planes[-1], widths[-1:], outputs)
    return Trunk(convolutions + dense.parameters, (*layers, *dense.layers))


def decoder(architecture: Architecture) -> Trunk:
    """From the code to the logits of an image: the encoder mirrored."""
    widths, spec = architecture.widths[::-1], spec_of(architecture.dataset)
    width = parse(architecture.layout).width
    if architecture.network != "conv":
        return _dense(width, widths, spec.pixels)
    channels = (*widths[1:], spec.channels)
    depth = len(widths) - 1
    planes = [_plane(spec.image_shape, depth - i) for i in range(len(channels))]
    dense = _dense(width, widths[:1], channels[0] * planes[0])
    convolutions = sum(KERNEL * i * o + o + 2 * i for i, o in pairwise(channels))
    layers = tuple(c * plane for c, plane in zip(channels[:-1], planes[:-1], strict=True))
    return Trunk(convolutions + dense.parameters, (*dense.layers, *layers))


def trunks(architecture: Architecture) -> tuple[Trunk, Trunk, Trunk]:
    """Encoder, decoder and Q of one member."""
    layout = parse(architecture.layout)
    outputs, of_q = (sum(b.parameters for b in blocks) for blocks in (layout.blocks, layout.informed))
    return encoder(architecture, outputs), decoder(architecture), encoder(architecture, of_q)


def own_parameters(layout: Layout, terms: Collection[str]) -> int:
    """Parameters of the networks that terms bring along, which every member of a pack with them has."""
    dimensions = sum(b.size for b in layout.normal)
    networks = ((dimensions, *memory.network) for memory in _memories(terms) if memory.network)
    return sum(i * o + o for widths in networks for i, o in pairwise(widths))


def member_bytes(architecture: Architecture, terms: Collection[str] = (), device: str = "cpu") -> int:
    """Bytes that one more member of a pack takes at its peak; `terms` are the weights that a member may have one on.

    On a GPU a captured step keeps its memory while the pack is evaluated.
    """
    spec, layout, nets = spec_of(architecture.dataset), parse(architecture.layout), trunks(architecture)
    parameters = sum(net.parameters for net in nets) + own_parameters(layout, terms)
    widest, batch = _widest(nets, layout), architecture.batch_size
    # Rounded factors are kept beside what they were rounded from.
    half = 0.0 if architecture.precision == "float32" else 0.5
    kept = (2 + half) * sum(sum(net.layers) for net in nets) + 3 * widest + 8 * spec.pixels
    step = (4 + half) * parameters + batch * kept + _terms(architecture, layout, nets, terms)
    train, held_out = min(EVALUATED, spec.train_count), min(EVALUATED, spec.held_out_count)
    held = (HELD if device == "cpu" else GPU_HELD)[architecture.network]
    evaluation = 3 * parameters + train * held * widest
    evaluation += held_out * 8 * spec.pixels + 32 * spec.held_out_count * layout.width
    most = max(step, evaluation) if device == "cpu" else step + evaluation - 3 * parameters
    return round(FLOAT * max(most, 9 * parameters)) + ORDER * spec.train_count


def shared_bytes(architecture: Architecture, device: str = "cpu") -> int:
    """Bytes that a pack takes whatever its size: what is done for one member after the other."""
    layout = parse(architecture.layout)
    worked = (WORKED if device == "cpu" else GPU_WORKED)[architecture.network]
    chunk = EVALUATED * worked * _widest(trunks(architecture), layout)
    pairs = ROWS * min(PAIRED, spec_of(architecture.dataset).held_out_count)
    return SCRATCH + FLOAT * chunk + (8 * FLOAT * pairs if layout.normal else 0)


def members_within(architecture: Architecture, room: int, terms: Collection[str] = (), device: str = "cpu") -> int:
    """How many members fit into so many bytes of a worker or of its GPU; 0 where not even one does."""
    left = room - base_bytes(architecture.dataset, device) - shared_bytes(architecture, device)
    return max(0, left // member_bytes(architecture, terms, device))


def base_bytes(dataset: str, device: str = "cpu") -> int:
    """Bytes of a worker without any member: on a CPU its process with the data set, on a GPU context and images.

    The k-means reference takes the pixels in float32 beside the data set's own, which are bytes or, in [0, 1], float32.
    """
    spec, stored = spec_of(dataset), data_bytes(dataset)
    floats = FLOAT * (spec.train_count + spec.held_out_count) * spec.pixels
    return PROCESS + stored + floats if device == "cpu" else CONTEXT + stored


def data_bytes(dataset: str) -> int:
    """Bytes of a data set's pixels as they are stored."""
    spec = spec_of(dataset)
    return (spec.train_count + spec.held_out_count) * spec.pixels * (1 if spec.levels else FLOAT)


def _dense(inputs: int, hidden: Sequence[int], outputs: int) -> Trunk:
    """Linear layers with bias, each hidden one normalised by a scale and a shift."""
    widths = (inputs, *hidden)
    normalised = sum(i * o + o + 2 * o for i, o in pairwise(widths))
    return Trunk(normalised + widths[-1] * outputs + outputs, tuple(hidden))


def _widest(nets: Sequence[Trunk], layout: Layout) -> int:
    return max([layout.width, *(size for net in nets for size in net.layers)])


def _plane(shape: tuple[int, int], halvings: int) -> int:
    return (shape[0] >> halvings) * (shape[1] >> halvings)


def _memories(terms: Collection[str]) -> list[Memory]:
    return [memory for term in terms if term and (memory := FIELDS[term].memory)]


def _terms(architecture: Architecture, layout: Layout, nets: Sequence[Trunk], terms: Collection[str]) -> int:
    """Numbers that costly terms take: pairs of images, images, passes through decoder and Q, networks of their own."""
    batch, pixels = architecture.batch_size, spec_of(architecture.dataset).pixels
    dimensions, layers = sum(b.size for b in layout.normal), sum(sum(net.layers) for net in nets[1:])
    kept = sum(
        m.pairs * batch * dimensions + m.images * pixels + 2 * m.passes * layers + 6 * sum(m.network)
        for m in _memories(terms)
    )
    informed = PAIRS * batch * batch * sum(not block.is_categorical for block in layout.informed)
    return informed + batch * kept
