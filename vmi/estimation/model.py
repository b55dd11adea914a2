"""A fixed model: any VAE, ours or another library's, whose code is measured and never changed.

What `vmi.evaluate` asks of it is the protocol `FixedModel`. A member of a pack is one through `from_pack` or
`from_checkpoint`; a module whose methods are called otherwise is one through `wrap`, here a VAE of `pythae`::

    def encode(images):
        out = vae.encoder(images)
        return [(out.embedding, out.log_covariance)]

    def decode(code):
        return vae.decoder(code).reconstruction.flatten(1)

    account = vmi.evaluate(wrap("n8", encode, decode, modules=[vae]), "digits")

Shapes: N images, D pixels, L width of the code (the blocks side by side), Z dimensions of a Normal block, C categories.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from vmi.nn.distributions import Categorical, DiagonalNormal
from vmi.spec.datasets import DATASETS, find
from vmi.spec.errors import InputError, Problem, did_you_mean, near, one_of
from vmi.spec.trial import Trial
from vmi.training import checkpoint
from vmi.training.checkpoint import CheckpointError, Place
from vmi.training.pack import Pack

HOW_TO_KEEP = "run the study with --keep-models, under another --name if need be"
# What an encoder says of one block: logits [N, C], or mean and log variance [N, Z] each.
Parameters = Tensor | tuple[Tensor, Tensor]


class FixedModel(Protocol):
    """An encoder and a decoder with a layout; deterministic functions, called in evaluation mode without gradient.

    `layout` names the blocks of the code, such as `"n16+c10"`; every block is measured, starred or not. `encode` maps
    images [N, D] in [0, 1] to the parameters of each block: for a Normal block the pair (mean [N, Z], log variance
    [N, Z]), for a categorical block logits [N, C]. `decode` maps a code [N, L], one-hot in categorical blocks, to a
    mean image [N, D] in [0, 1]. A row of D pixels is channels x height x width, flattened in this order.

    An attribute `name`, if there is one, names the model in messages. Every torch module that the model is, or holds
    as an attribute, is put into evaluation mode while it is measured, and back afterwards.
    """

    @property
    def layout(self) -> str: ...

    def encode(self, images_ND: Tensor, /) -> Sequence[Parameters]: ...

    def decode(self, code_NL: Tensor, /) -> Tensor: ...


class Folder(Protocol):
    """A folder of this machine or of an object store."""

    def __truediv__(self, name: str, /) -> Folder: ...

    def glob(self, pattern: str, /) -> Iterator[Place]: ...


@dataclass(frozen=True)
class Wrapped:
    """A FixedModel made of two functions.

    `modules` are the torch modules that these call, `dataset` what a member of ours was trained on ("" of others).
    """

    layout: str
    name: str
    dataset: str
    modules: tuple[nn.Module, ...]
    encoder: Callable[[Tensor], Sequence[Parameters]]
    decoder: Callable[[Tensor], Tensor]

    def encode(self, images_ND: Tensor) -> Sequence[Parameters]:
        return self.encoder(images_ND)

    def decode(self, code_NL: Tensor) -> Tensor:
        return self.decoder(code_NL)


def wrap(
    layout: str,
    encode: Callable[[Tensor], Sequence[Parameters]],
    decode: Callable[[Tensor], Tensor],
    modules: Sequence[nn.Module] = (),
    name: str = "wrapped model",
    dataset: str = "",
) -> Wrapped:
    """Any encoder and decoder as a FixedModel: two functions, and the modules to hold in evaluation mode."""
    return Wrapped(layout, name, dataset, tuple(modules), encode, decode)


def from_pack(pack: Pack, trial_id: str) -> Wrapped:
    """One member of a pack, copied out of it. Raises InputError naming the trials that are there."""
    ids = [trial.trial_id for trial in pack.trials]
    if trial_id not in ids:
        raise InputError([Problem("member", trial_id, one_of(ids), did_you_mean(trial_id, ids))])
    return _member(pack.keep([ids.index(trial_id)]))


def from_checkpoint(path: Place, trial_id: str | None = None, device: str | torch.device = "cpu") -> Wrapped:
    """One member of a saved pack (`vmi.training.checkpoint`); `trial_id` may be left out where it holds one alone.

    Raises InputError naming the file where it is absent or no whole checkpoint, or the members to choose from.
    """
    pack = _restored(path, device)
    ids = [trial.trial_id for trial in pack.trials]
    if trial_id is None and len(ids) > 1:
        raise InputError([Problem("member", trial_id, one_of(ids))], where=str(path))
    try:
        return from_pack(pack, ids[0] if trial_id is None else trial_id)
    except InputError as error:
        raise InputError(error.problems, where=str(path)) from error


def from_folder(folder: Folder, trial_id: str | None, device: str | torch.device = "cpu") -> Wrapped:
    """The member of that id among the packs that a study kept (--keep-models). Raises InputError naming those there."""
    return _member(kept_member(folder, trial_id, device))


def kept_member(
    folder: Folder, trial_id: str | None, device: str | torch.device = "cpu", field: str = "member"
) -> Pack:
    """As `from_folder`, as a pack of one; `field` is what the caller calls the id."""
    there: dict[str, Trial] = {}
    unread: list[Problem] = []
    for path in sorted((folder / "models").glob("*.pt"), key=str):
        if str(path).rpartition("/")[2].startswith("."):  # a copy through macOS leaves such files
            continue
        try:
            with _reading(path):
                saved = checkpoint.Saved(path.read_bytes(), str(path))
                found = {trial.trial_id: trial for trial in saved.trials}
                if trial_id in found and not list(_data_problems([found[trial_id]])):
                    return saved.pack(device, [trial_id])
        except InputError as error:  # of another trial, as far as is known
            unread += error.problems
        except (ConnectionError, TimeoutError):
            raise
        except OSError as error:
            unread.append(Problem("model", str(path), "a file that can be read", error.strerror or str(error)))
        else:
            there |= found
    if trial_id in there:
        raise InputError(list(_data_problems([there[trial_id]])), where=str(folder))
    if unread:
        raise InputError([Problem(field, trial_id, "a trial whose model is whole"), *unread])
    if not there:
        raise InputError([Problem("model", str(folder), f"a study's results with models/*.pt: {HOW_TO_KEEP}")])
    allowed = f"a trial whose model was kept: {HOW_TO_KEEP}"
    raise InputError([Problem(field, trial_id, allowed, near(str(trial_id), list(there)))])


def name_of(model: FixedModel) -> str:
    """What messages call the model."""
    return str(getattr(model, "name", type(model).__name__))


@contextmanager
def frozen(model: FixedModel) -> Iterator[None]:
    """Every module of the model in evaluation mode; each as it was on leaving."""
    modes = [(module, module.training) for root in _roots(model) for module in root.modules()]
    try:
        for module, _ in modes:
            module.training = False
        yield
    finally:
        for module, training in modes:
            module.training = training


def _roots(model: FixedModel) -> list[nn.Module]:
    if isinstance(model, nn.Module):
        return [model]
    # A model may be a plain object, or a named tuple, which has no __dict__.
    values = [*getattr(model, "__dict__", {}).values(), *(model if isinstance(model, tuple) else ())]
    held = [item for value in values for item in (value if isinstance(value, tuple | list) else [value])]
    return [item for item in held if isinstance(item, nn.Module)]


def _member(pack: Pack) -> Wrapped:
    """The only member of this pack, which is in evaluation mode from now on; one member axis comes and goes."""
    (trial,) = pack.trials
    pack.train_mode(False)

    def encode(images_ND: Tensor) -> Sequence[Parameters]:
        return [_parameters(posterior) for posterior in pack.encoder(images_ND[None])]

    def decode(code_NL: Tensor) -> Tensor:
        image_1ND: Tensor = pack.decoder(code_NL[None]).sigmoid()
        return image_1ND[0]

    config, modules = trial.config, [pack.encoder, pack.decoder]
    name = f"trial {trial.trial_id} ({config.layout}, trained on {config.dataset})"
    return wrap(config.layout, encode, decode, modules, name, config.dataset)


def _parameters(distribution: Categorical | DiagonalNormal) -> Parameters:
    if isinstance(distribution, Categorical):
        return distribution.log_probs_KBC[0]
    return distribution.mean_KBZ[0], distribution.log_variance_KBZ[0]


def _restored(path: Place, device: str | torch.device) -> Pack:
    with _reading(path):
        saved = checkpoint.Saved(path.read_bytes(), str(path))
        if problems := list(_data_problems(saved.trials)):
            raise InputError(problems, where=str(path))
        return saved.pack(device)


def _data_problems(trials: Iterable[Trial]) -> Iterator[Problem]:
    """The data sets of these trials that this process does not know."""
    for name in dict.fromkeys(trial.config.dataset for trial in trials):
        if find(name) is None:
            allowed = f"{', '.join(DATASETS)}, or images that are kept in .data beside the results"
            yield Problem("dataset", name, allowed, "the data that the model was trained on are missing")


@contextmanager
def _reading(path: Place) -> Iterator[None]:
    """What may go wrong with a file, as InputError."""
    try:
        yield
    except InputError:
        raise
    except FileNotFoundError as error:
        raise InputError([Problem("model", str(path), "an existing checkpoint (.pt) of a pack")]) from error
    except CheckpointError as error:
        raise InputError([Problem("model", str(path), "a checkpoint (.pt) of a pack", str(error))]) from error
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        # The file is whole, and what is in it does not fit together.
        reason = f"its content does not fit: {type(error).__name__}"
        raise InputError([Problem("model", str(path), "a checkpoint (.pt) of a pack", reason)]) from error
