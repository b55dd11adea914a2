"""The peer pythae: its own trainer's step on its BetaVAE or BetaTCVAE, with the same MLP on the same images.

It has no auxiliary network Q, so its step needs half the floating-point operations of ours. Logging is off, and so are
progress bars, checkpoints and evaluation: only `BaseTrainer.train_step` runs.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable

import torch
from plain import mlp
from torch import Tensor

from vmi.data.dataset import Dataset
from vmi.spec.config import TrialConfig

LATENT = 26


def trainer(kind: str, config: TrialConfig, data: Dataset, steps: int) -> Callable[[], object]:
    """One call trains `steps` minibatches of BetaVAE or BetaTCVAE."""
    logging.disable(logging.INFO)
    from pythae.data.datasets import BaseDataset
    from pythae.models import BetaTCVAE, BetaTCVAEConfig, BetaVAE, BetaVAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from pythae.trainers import BaseTrainer, BaseTrainerConfig
    from pythae.trainers.training_callbacks import CallbackHandler

    pixels, hidden = data.spec.pixels, config.architecture.widths

    class Encoder(BaseEncoder):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.latent_dim, self.trunk = LATENT, mlp([pixels, *hidden, 2 * LATENT])

        def forward(self, x: Tensor) -> ModelOutput:
            mean, log_variance = self.trunk(x).chunk(2, -1)
            return ModelOutput(embedding=mean, log_covariance=log_variance)

    class Decoder(BaseDecoder):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.trunk = mlp([LATENT, *hidden[::-1], pixels])

        def forward(self, z: Tensor) -> ModelOutput:
            return ModelOutput(reconstruction=self.trunk(z).sigmoid())

    about = {"input_dim": (pixels,), "latent_dim": LATENT, "reconstruction_loss": "mse"}
    model = (
        BetaVAE(BetaVAEConfig(beta=4.0, **about), Encoder(), Decoder())
        if kind == "BetaVAE"
        else BetaTCVAE(BetaTCVAEConfig(beta=6.0, use_mss=False, **about), Encoder(), Decoder())
    )
    index = torch.arange(steps * config.batch_size) % len(data.train.labels_N)
    images = BaseDataset(data.images(data.train, index, torch.float32), data.train.labels_N[index])
    given = BaseTrainerConfig(
        output_dir=tempfile.mkdtemp(prefix="pythae-"),
        no_cuda=True,
        learning_rate=config.learning_rate,
        per_device_train_batch_size=config.batch_size,
    )
    made = BaseTrainer(model, images, training_config=given)
    made.set_optimizer()
    made.callback_handler = CallbackHandler(callbacks=[], model=model)
    return lambda: made.train_step(1)
