"""The peer that torch itself offers for training many networks at once: `torch.func.vmap` over stacked modules.

The same step, objective, noise and optimiser as a pack's; only the networks are ordinary modules (plain.py's), stacked
by torch.func.stack_module_state and called through vmap and functional_call.
"""

from __future__ import annotations

from plain import conv_decoder, conv_encoder, mlp
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from vmi.nn.layers import flatten_parameters
from vmi.nn.optim import LearningRate, MemberAdam
from vmi.spec.datasets import spec_of
from vmi.training.pack import Pack


class VmapTrunk(nn.Module):
    """K ordinary modules as one: [K, B, I] -> [K, B, O]."""

    def __init__(self, modules: list[nn.Module]) -> None:
        super().__init__()
        parameters, buffers = stack_module_state(modules)
        self._names, self._base = list(parameters), [modules[0].to("meta")]
        self.stacked = nn.ParameterList([p.detach() for p in parameters.values()])
        # A copy per call: the running statistics are written in place.
        self._statistics = {n: b.contiguous() for n, b in buffers.items()}

    def forward(self, x_KBI: Tensor, track: bool = True) -> Tensor:
        """`track` False: this pass leaves the running statistics alone."""
        statistics = self._statistics if track else {n: b.clone() for n, b in self._statistics.items()}

        def one(parameters: dict[str, Tensor], buffers: dict[str, Tensor], x: Tensor) -> Tensor:
            y: Tensor = functional_call(self._base[0], (parameters, buffers), (x,))
            return y

        y_KBO: Tensor = vmap(one)(dict(zip(self._names, self.stacked, strict=True)), statistics, x_KBI)
        return y_KBO


def vmapped(pack: Pack) -> Pack:
    """The pack, its networks replaced by vmapped ones of the same shapes."""
    a, side = pack.architecture, spec_of(pack.architecture.dataset).image_shape[0]
    pixels, width, hidden = side * side, pack.layout.width, a.widths

    def trunks(outputs: int) -> list[nn.Module]:
        if a.network == "mlp":
            return [mlp([pixels, *hidden, outputs]) for _ in pack.trials]
        first = nn.Unflatten(1, (1, side, side))
        return [nn.Sequential(first, conv_encoder(hidden, outputs, side)) for _ in pack.trials]

    decoders: list[nn.Module] = [
        mlp([width, *hidden[::-1], pixels]) if a.network == "mlp" else conv_decoder(width, hidden, side)
        for _ in pack.trials
    ]
    pack.encoder.trunk = VmapTrunk(trunks(sum(b.parameters for b in pack.layout.blocks)))
    pack.auxiliary.trunk = VmapTrunk(trunks(sum(b.parameters for b in pack.layout.informed)))
    pack.decoder.trunk = VmapTrunk(decoders)
    rates = [LearningRate.of(trial.config) for trial in pack.trials]
    pack.vae_adam = MemberAdam(flatten_parameters([pack.encoder, pack.decoder]), rates)
    pack.q_adam = MemberAdam(flatten_parameters([pack.auxiliary]), rates)
    pack.vae_parameters = [*pack.encoder.parameters(), *pack.decoder.parameters()]
    pack.q_parameters = [*pack.auxiliary.parameters()]
    return pack
