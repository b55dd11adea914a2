"""What is to hold on a card, as functions of a device: torch and NumPy are all that they need.

`benchmarks/gpu.py` runs them on a card in one command, `test_card.py` with pytest, and on a CPU too, which shows that
the checks themselves work. There a capture is a stand-in, and memory ends where the check says so. Each raises
AssertionError, or returns what it has seen, in words. Tolerances: a loss is within LOSS of itself, relatively.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from vmi.data import dataset as data
from vmi.data.dataset import Dataset, Split
from vmi.data.philox import Keys, philox
from vmi.data.random_streams import Counted
from vmi.nn import dense, ops
from vmi.nn.convolution import ConvolutionalDecoder, ConvolutionalEncoder
from vmi.spec.datasets import DatasetSpec
from vmi.spec.reports import LEAST_STEPS
from vmi.spec.resolving import resolve
from vmi.spec.trial import Trial
from vmi.training import checkpoint, cuda_graph
from vmi.training import train as training
from vmi.training.evaluation import evaluate
from vmi.training.out_of_memory import ExhaustedError
from vmi.training.pack import Pack
from vmi.training.train import launch_steps, train

# Of the mean loss after some tens of steps: other kernels for other packs round otherwise, and Adam makes that grow.
LOSS = 1e-3
NAME, IMAGES, HELD_OUT, SIDE = "random_12x12", 640, 200, 12
NETWORKS: dict[str, dict[str, Any]] = {"mlp": {"hidden": "48-24"}, "conv": {"network": "conv", "hidden": "8-16-32"}}
PRESETS = ("corrected", "authors", "beta_tcvae", "factor_vae", "info_vae", "info_gan", "invariant")
AUTHORS_MLP = ("authors", "mlp")  # whose networks are convolutional
STEPS = 45


def images(device: str) -> Dataset:
    """Blurred noise without labels, so that nothing but torch and NumPy is asked of its evaluation."""
    if not data.is_held(NAME):
        spec = DatasetSpec(NAME, (SIDE, SIDE), 0, IMAGES, HELD_OUT, 255, "", {}, "made for a check")
        noise = torch.rand(IMAGES + HELD_OUT, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
        pixels = torch.nn.functional.avg_pool2d(noise, 5, 1, 2).flatten(1)
        pixels = ((pixels - 0.2) * 1.6).clamp(0, 1).mul(255).byte()
        labels = torch.zeros(len(pixels), dtype=torch.int64)
        made = Dataset(spec, Split(pixels[:IMAGES], labels[:IMAGES]), Split(pixels[IMAGES:], labels[IMAGES:]))
        data.hold(made._replace(spec=spec._replace(fingerprint=data.fingerprint(made))))
    return data.load(NAME).to(torch.device(device))


def trials(size: int, **fields: Any) -> list[Trial]:
    given = {"dataset": NAME, "batch_size": 64, "steps": STEPS, **NETWORKS["mlp"], **fields}
    configs = [resolve({**given, "seed": k, "learning_rate": (1e-3, 3e-3)[k % 2]}) for k in range(size)]
    return [Trial(c.trial_id, c.suggestion_id, c) for c in configs]


def pack_of(size: int, device: str, **fields: Any) -> Pack:
    images(device)
    pack = Pack(trials(size, **fields), device)
    pack.train_mode(True)
    return pack


def losses(pack: Pack) -> Tensor:
    """The mean of each member's loss since the last of these, finite."""
    means = torch.tensor([mean["loss"] for mean in pack.window.close(range(pack.size))], dtype=torch.float64)
    assert torch.isfinite(means).all(), means
    return means


def apart(one: Tensor, other: Tensor, most: float = LOSS) -> float:
    """The largest relative difference, which is at most `most`."""
    found = float(((one - other).abs() / one.abs().clamp_min(1e-6)).max())
    assert found <= most, f"{found:.1e} apart, more than {most:.0e}"
    return found


class Again:
    """In place of a graph, on a CPU: the same step, run again."""

    def __init__(self, body: cuda_graph.Step, pack: Pack, dataset: Dataset, batches: Any) -> None:
        self.replay: Callable[[], None] = lambda: body(pack, dataset, batches)


def captured_is_eager(device: str) -> str:
    """Replayed steps give what launched ones give, over an epoch's end."""
    worst, same, capture = 0.0, 0, cuda_graph.cuda_graph if device != "cpu" else Again
    pairs = [(preset, network) for preset in PRESETS for network in NETWORKS if (preset, network) != AUTHORS_MLP]
    cases: list[tuple[int, dict[str, Any]]] = [
        (5, {"preset": preset, **NETWORKS[network]}) for preset, network in pairs
    ]
    cases += [(1, {"preset": "corrected", **network}) for network in NETWORKS.values()]
    cases += [(5, {"preset": "corrected", "learning_rate_decay": 0.1})]
    for size, fields in cases:
        eager, replaying = (pack_of(size, device, **fields) for _ in range(2))
        pixels = images(device)
        launch_steps(eager, pixels, LEAST_STEPS + 8)
        assert cuda_graph.replayed(replaying, pixels, LEAST_STEPS, capture), cuda_graph.reasons()
        assert cuda_graph.replayed(replaying, pixels, 8, capture)
        assert eager.steps == replaying.steps and torch.equal(eager.step_K, replaying.step_K)
        same += torch.equal(eager.vae_adam.flat_KP, replaying.vae_adam.flat_KP)
        worst = max(worst, apart(losses(eager), losses(replaying)))
        cuda_graph.forget(replaying)
    return f"{same} of {len(cases)} packs end in the same bits; losses at most {worst:.0e} apart"


def alone_is_in_a_pack(device: str) -> str:
    """A member's numbers do not depend on who stands beside it; on a CPU in all their bits."""
    worst = 0.0
    others: list[dict[str, Any]] = [{"precision": "bfloat16"}, {"learning_rate_decay": 0.1}, NETWORKS["conv"]]
    for fields in ({"preset": "corrected"}, {"preset": "factor_vae"}, *others):
        whole = pack_of(5, device, **fields)
        launch_steps(whole, images(device), 30)
        of_pack = losses(whole)
        for k in (0, 3):
            alone = Pack([whole.trials[k]], device)
            alone.train_mode(True)
            launch_steps(alone, images(device), 30)
            most = 0.0 if device == "cpu" else 10 * LOSS if "precision" in fields else LOSS
            worst = max(worst, apart(losses(alone), of_pack[k : k + 1], most))
    return f"losses at most {worst:.0e} apart"


def a_restored_pack_goes_on(device: str) -> str:
    """Saved after 20 steps and restored, it ends as one that was not; members leave and join meanwhile."""
    pack = pack_of(4, device, preset="invariant")
    launch_steps(pack, images(device), 20)
    restored, _ = checkpoint.decode(checkpoint.encode(pack), device)
    for one in (pack, restored):
        one.train_mode(True)
        launch_steps(one, images(device), 20)
    found = apart(losses(pack), losses(restored))
    fewer, others = pack.keep([2, 0]), restored.keep([2, 0])
    assert all(torch.equal(fewer.tensors()[n], t[[2, 0]]) for n, t in pack.tensors().items())
    new = [t for t in trials(9, preset="invariant") if t.config.seed == 8]
    for one in (joined := [p.admit(new) for p in (fewer, others)]):
        one.train_mode(True)
        launch_steps(one, images(device), 5)
    found = max(found, apart(*(losses(p)[:2] for p in joined)))
    return f"losses at most {found:.0e} apart"


def memory_that_ends_is_said_and_given_back(device: str) -> str:
    """A pack that is too large says with how many steps it ended; half of it then trains in the same process."""
    size = 64 if device == "cpu" else 512
    whole = pack_of(size, device, hidden="512-256")
    pixels, ended = images(device), None
    with short_of_memory(device, size):
        try:
            for _ in train(whole, pixels):
                raise AssertionError(f"{size} members were trained")
        except ExhaustedError as error:
            ended = dict(error.steps)
        assert ended == dict.fromkeys((t.trial_id for t in whole.trials), 0), "at their first step"
        kept = [whole.trials[k] for k in range(size // 2)]
        cuda_graph.forget(whole)
        del whole
        if device != "cpu":
            torch.cuda.empty_cache()
        half = Pack(kept, device)
        half.train_mode(True)
        training.run_steps(half, pixels, 3)
    assert half.steps == [3] * (size // 2)
    return f"{size} members had no memory, {size // 2} trained on"


@contextmanager
def short_of_memory(device: str, size: int) -> Iterator[None]:
    """Inside there is none for the steps of so many members, and enough for half of them."""
    if device == "cpu":
        steps = training.run_steps

        def short(pack: Pack, *given: Any) -> None:
            if pack.size >= size:
                torch.empty(1 << 60, dtype=torch.uint8)
            steps(pack, *given)

        training.run_steps = short
        try:
            yield
        finally:
            training.run_steps = steps
        return
    torch.cuda.empty_cache()
    _, total = torch.cuda.mem_get_info()
    # The pack's state is there already; its steps have no more than a twentieth of it beyond.
    torch.cuda.set_per_process_memory_fraction(min(1.0, 1.05 * torch.cuda.memory_reserved() / total))
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


def bfloat16_is_near_float32(device: str) -> str:
    """Of the same trials: another number, and the same loss to 2 %."""
    found = []
    for precision in ("float32", "bfloat16"):
        pack = pack_of(3, device, precision=precision)
        assert all(t.dtype == torch.float32 for n, t in pack.tensors().items() if n.startswith(("vae", "q_")))
        launch_steps(pack, images(device), 40)
        found.append(losses(pack))
    assert not torch.equal(*found)
    return f"losses {apart(*found, 0.02):.0e} apart"


def noise_is_the_cpus(device: str) -> str:
    """Philox's words are the same on any device, its known answers; what a step draws from them is it to rounding."""
    words = torch.tensor([[0x243F6A88, 0x13198A2E], [0x85A308D3, 0x03707344]])[:, :, None, None]
    even, odd = philox(words[0].to(device), words[1].to(device), Keys.of([0x299F31D0A4093822], torch.device(device)))
    answer = torch.stack([even, odd], 1).flatten().tolist()
    assert answer == [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1], [hex(word) for word in answer]
    drawn = []
    for where in ("cpu", device):
        counted = Counted([3, 4], torch.tensor([5, 1 << 20], device=where), 32, torch.float32)
        counted.ask("noise", 16, 10)
        counted.lay_out()
        drawn.append([numbers.cpu() for numbers in counted.draw("noise")])
    (normal, uniform), (there, same) = drawn
    assert torch.equal(uniform, same) and torch.allclose(normal, there, rtol=1e-4, atol=1e-5)
    return "the known answers of Philox4x32-10, and the numbers of a step"


def convolutions_of_groups_are_the_cpus(device: str) -> str:
    """Forward and gradients of encoder and decoder in float64, odd sides and colours as well."""
    worst = 0.0
    for shape in ((1, 8, 8), (3, 8, 8), (1, 7, 11), (4, 9, 6)):
        pixels, found = shape[0] * shape[1] * shape[2], []
        for where, together in (("cpu", False), (device, True)):
            drawn = [torch.Generator().manual_seed(k) for k in range(3)]
            encoder = ConvolutionalEncoder(shape, (3, 5, 7), 9, drawn, torch.float64).to(where)
            decoder = ConvolutionalDecoder(shape, 9, (7, 5, 3), drawn, torch.float64).to(where)
            x = torch.rand(3, 6, pixels, generator=torch.Generator().manual_seed(9), dtype=torch.float64).to(where)
            with mock.patch.object(ops, "on_card", lambda _, together=together: together):
                y = decoder(encoder(x))
                gradients = torch.autograd.grad(y.square().sum(), [*encoder.parameters(), *decoder.parameters()])
            found.append([y, *gradients])
        sizes = [float(one.detach().abs().max()) for one in found[0]]
        for one, other, size in zip(*found, sizes, strict=True):
            # A bias before a normalisation has no gradient but what rounding leaves.
            least = 1e-3 * max(sizes)
            worst = max(worst, float((one - other.cpu()).detach().abs().max()) / max(size, least))
    assert worst < 1e-9, worst
    return f"at most {worst:.0e} of the largest apart"


def more_channels_than_a_kernel_takes_are_the_cpus(device: str) -> str:
    """A hidden layer of packs beyond dense.MAX_GROUPS channels in all, with its gradients, in float64."""
    members, width, found = 33, 2000, []
    assert members * width > dense.MAX_GROUPS
    for where in ("cpu", device):
        drawn = torch.Generator().manual_seed(0)
        shapes = ((members, 3, 5), (members, 3, width), *[(members, 1, width)] * 3)
        given = [
            torch.randn(shape, generator=drawn, dtype=torch.float64).to(where).requires_grad_() for shape in shapes
        ]
        y = dense.hidden(*given, None).y_KOB
        found.append([y, *torch.autograd.grad(y.square().sum(), given)])
    pairs = [(one.detach(), other.detach().cpu()) for one, other in zip(*found, strict=True) if one.any()]
    worst = max(float((one - other).abs().max() / one.abs().max()) for one, other in pairs)
    assert worst < 1e-9, worst
    return f"at most {worst:.0e} apart"


def an_evaluation_is_the_cpus(device: str) -> str:
    """What has no noise in it, of the same weights; all of it is finite."""
    pack = pack_of(3, device)
    launch_steps(pack, images(device), 30)
    there = evaluate(pack, images(device))
    here = evaluate(checkpoint.decode(checkpoint.encode(pack), "cpu")[0], images("cpu"))
    worst = 0.0
    for name in ("rate_nats", "mi_encoder_nats", "category_entropy_nats"):
        # Of 1 nat or more, as information may be next to nothing after so few steps.
        pair = (torch.tensor([1 + e.metrics[name] for e in found], dtype=torch.float64) for found in (here, there))
        worst = max(worst, apart(*pair))
    numbers = torch.tensor([value for e in there for value in e.metrics.values()])
    assert torch.isfinite(numbers).all()
    return f"at most {worst:.0e} apart"


def an_error_that_ends_the_context_is_known(device: str) -> str:
    """A device-side assert in a process of its own: all that follows there fails too, and it is told from others."""
    if device == "cpu":
        return "no context on a CPU"
    program = (
        "import torch\nfrom vmi.training.poisoned import is_poisoned\n"
        "def seen(f):\n    try: f(); torch.cuda.synchronize()\n    except Exception as e: return is_poisoned(e)\n"
        "x = torch.ones(4, device='cuda')\n"
        "assert seen(lambda: x[torch.tensor([9], device='cuda')])\nassert seen(lambda: x + 1)\nprint('both')\n"
    )
    command, root = [sys.executable, "-c", program], Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.strip() == "both", done.stderr[-2000:]
    return "known, and what follows it"


CHECKS: tuple[Callable[[str], str], ...] = (
    noise_is_the_cpus,
    convolutions_of_groups_are_the_cpus,
    more_channels_than_a_kernel_takes_are_the_cpus,
    captured_is_eager,
    alone_is_in_a_pack,
    a_restored_pack_goes_on,
    bfloat16_is_near_float32,
    an_evaluation_is_the_cpus,
    memory_that_ends_is_said_and_given_back,
    an_error_that_ends_the_context_is_known,
)
