"""Presets: the paper's text, its authors' published code, and the corrected objective, as fields of a configuration.

Sources: `paper` is Serdega & Kim (arXiv 2005.13953, 2006.02227): Q first, and the code's entropy taken for the prior's
(eta = 0). `authors` is what their published code does, which differs: the VAE is updated before Q, on a forward pass of
its own; the temperature stays at 1; pixel-mean squared error on [-1, 1] with KL weight 0.005 and MI weight 0.01, which
in nats per image on [0, 1] is sigma^2 = 0.49, beta = 1, lambda = 2. `corrected` estimates the entropy (eta = 1).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

Fields = Mapping[str, float | int | str]


class Preset(NamedTuple):
    """`sets` may not be contradicted by what a user gives; `suggests` may be overridden."""

    sets: Fields
    suggests: Fields = MappingProxyType({})


# The objectives of related work (sources in `vmi.objective.weighted_sum`), at weights in the range their authors used.
_NO_MI: Fields = {"mi_weight": 0.0, "generator_mi_weight": 0.0}

# Hu et al. 2017: 1 : 0.1, and eta_m = 4.
_INVARIANT: Fields = {"view_kl_weight": 300.0, "encoder_mi_weight": 30.0, "encoder_entropy_weight": 4.0}

PRESETS: Mapping[str, Preset] = {
    "custom": Preset({}),
    "paper": Preset(
        {"entropy_weight": 0.0, "phase_order": "q_first"}, {"mi_weight": 2.0, "kl_weight": 1.0, "temperature": 1.0}
    ),
    "authors": Preset(
        {"entropy_weight": 0.0, "phase_order": "vae_first", "network": "conv", "likelihood": "gaussian"},
        {
            "hidden": "64-128-512",
            "likelihood_variance": 0.49,
            "mi_weight": 2.0,
            "kl_weight": 1.0,
            "temperature": 1.0,
            "learning_rate": 1e-4,
            "batch_size": 124,
            "steps": 150_000,
        },
    ),
    "corrected": Preset({"entropy_weight": 1.0, "phase_order": "q_first"}, {"mi_weight": 8.0}),
    "vae": Preset(_NO_MI, {"kl_weight": 1.0}),
    "beta_vae": Preset(_NO_MI, {"kl_weight": 4.0}),
    "kl_annealing": Preset(_NO_MI, {"kl_anneal_steps": 600}),
    "joint_vae": Preset(
        {**_NO_MI, "kl_weight": 0.0},
        {
            "capacity_weight": 30.0,
            "capacity_normal_nats": 5.0,
            "capacity_categorical_nats": 2.3,
            "capacity_steps": 800,
        },
    ),
    "beta_tcvae": Preset(_NO_MI, {"tc_weight": 5.0}),
    # Locatello et al. 2019 (arXiv 1811.12359) sweep gamma from 10 to 100.
    "factor_vae": Preset(_NO_MI, {"factor_weight": 10.0}),
    "info_vae": Preset(_NO_MI, {"kl_weight": 0.5, "mmd_weight": 100.0}),
    # A code that is the same for every view, the VAE kept beside it: IMSAT's and IIC's terms, at weights that pixels do
    # not outweigh; `invariant` has VMI's own term as well.
    "imsat": Preset(_NO_MI, _INVARIANT),
    "iic": Preset(_NO_MI, {"view_pair_mi_weight": 300.0}),
    "invariant": Preset({"entropy_weight": 1.0, "phase_order": "q_first"}, {"mi_weight": 8.0, **_INVARIANT}),
    "info_gan": Preset({"mi_weight": 0.0}, {"generator_mi_weight": 8.0}),
}

# The first widths are channels of 4 x 4 convolutions with stride 2, the last is a fully connected layer.
NETWORK_DEFAULTS: Mapping[str, Fields] = {"conv": {"hidden": "16-32-128"}}
