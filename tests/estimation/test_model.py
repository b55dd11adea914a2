"""A fixed model's account: known answers, the model left alone, shapes refused before training, the command line."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from support.packs import small_pack, trial
from torch import Tensor, nn
from typer.testing import CliRunner

import vmi
from vmi.cli.app import app
from vmi.data.dataset import Dataset, Split, load
from vmi.data.random_streams import seeded
from vmi.estimation.encoding import view
from vmi.estimation.evaluate import Account, statistics_of
from vmi.estimation.model import FixedModel, Parameters, from_checkpoint, from_pack, frozen, name_of, wrap
from vmi.estimation.q_fit import Settings
from vmi.information.mi_card import Pass, card
from vmi.spec.errors import InputError
from vmi.spec.layout import parse
from vmi.spec.metrics import METRICS
from vmi.training import checkpoint
from vmi.training.pack import Pack
from vmi.training.train import train

QUICK = Settings(hidden=(24,), learning_rate=1e-2, check_every=10, patience=3, max_steps=200)


def quick(model: FixedModel, dataset: Dataset | str = "digits", **options: int) -> Account:
    return vmi.evaluate(model, dataset, settings=QUICK, **{"seeds": 2, "resamples": 200, **options})


def labelled() -> Dataset:
    """Digits with the class written into the image: the first ten pixels are its one-hot."""
    digits = load("digits")
    splits = []
    for split in (digits.train, digits.held_out):
        pixels = split.pixels_ND.clone()
        pixels[:, :10] = 16 * torch.nn.functional.one_hot(split.labels_N, 10).to(pixels.dtype)
        splits.append(Split(pixels, split.labels_N))
    return Dataset(digits.spec, *splits)


def class_entropy(split: Split) -> float:
    share = torch.bincount(split.labels_N).double() / len(split.labels_N)
    return float(-(share * share.log()).sum())


def painted(code_NL: Tensor) -> Tensor:
    """The category as a bright pixel; the rest is dark."""
    return torch.nn.functional.pad(code_NL[:, :10], (0, 54))


class Network(nn.Module):
    """A little VAE with batch normalisation and dropout: both would move, or make noise, in training mode."""

    layout = "n3+c4"

    def __init__(self, pixels: int = 64) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.inner = nn.Sequential(nn.Linear(pixels, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.5))
            self.head, self.back = nn.Linear(16, 10), nn.Linear(7, pixels)

    def encode(self, images_ND: Tensor) -> Sequence[Parameters]:
        mean, log_variance, logits = self.head(self.inner(images_ND)).split([3, 3, 4], dim=-1)
        return [(mean, log_variance), logits]

    def decode(self, code_NL: Tensor) -> Tensor:
        return self.back(code_NL).sigmoid()


def test_a_code_that_is_the_class_written_into_the_image_has_the_class_s_entropy() -> None:
    dataset = labelled()
    model = wrap("c10", lambda x: [200 * x[:, :10]], painted)
    account = quick(model, dataset)
    truth = class_entropy(dataset.held_out)
    for name in ("mi_encoder_nats", "category_entropy_nats"):
        assert account.estimates[name].value == pytest.approx(truth, abs=1e-6)
    for name in ("mi_decoder_bound_nats", "mi_real_bound_nats"):
        assert truth - 0.05 <= account.estimates[name].value <= truth + 1e-9
    assert account.estimates["mi_encoder_nats"].at_cap
    assert account.accuracies["accuracy_majority"] == account.accuracies["accuracy_hungarian"] == 1


def test_a_constant_encoder_has_no_mi_and_the_paper_s_figure_does_not_say_so() -> None:
    always_three = 50 * torch.nn.functional.one_hot(torch.tensor(3), 10).float()
    account = quick(wrap("c10", lambda x: [always_three.expand(len(x), 10)], painted))
    for name in ("mi_encoder_nats", "mi_decoder_bound_nats", "mi_real_bound_nats", "category_entropy_nats"):
        assert account.estimates[name].value == pytest.approx(0, abs=0.02), name
    assert account.estimates["mi_paper_nats"].value == pytest.approx(math.log(10), abs=0.02)
    assert account.accuracies["categories_used"] == 1


def test_a_copying_decoder_has_a_high_decoder_bound_and_no_mi_with_the_image() -> None:
    account = quick(wrap("c10", lambda x: [torch.zeros(len(x), 10)], painted))
    assert account.estimates["mi_decoder_bound_nats"].value == pytest.approx(math.log(10), abs=0.05)
    assert account.estimates["mi_encoder_nats"].value == pytest.approx(0, abs=1e-9)
    assert account.estimates["mi_real_bound_nats"].value == pytest.approx(0, abs=0.02)


def test_freezing_leaves_the_model_bitwise_alone_and_in_the_mode_it_was_in() -> None:
    model = Network().train()
    model.head.eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    modes, random_state = [m.training for m in model.modules()], torch.get_rng_state()
    quick(model, seeds=1)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert [m.training for m in model.modules()] == modes
    assert all(p.requires_grad and p.grad is None for p in model.parameters())
    assert torch.equal(torch.get_rng_state(), random_state)


def test_same_seed_same_account_and_a_seed_of_q_does_not_depend_on_the_others() -> None:
    model = Network()
    assert quick(model) == quick(model)
    both, alone = quick(model), quick(model, seeds=1)
    assert both.estimates["mi_encoder_nats"] == alone.estimates["mi_encoder_nats"]
    with frozen(model):
        seen = view(model, load("digits"))
        of_two, of_one = statistics_of(seen, [0, 1], QUICK)[0], statistics_of(seen, [0], QUICK)[0]
    for name in ("mi_decoder_bound_c4_nats", "mi_decoder_bound_n3_nats", "mi_real_bound_c4_nats"):
        assert torch.equal(of_two[name].terms_KN[:1], of_one[name].terms_KN), name
    assert quick(model, seed=5).estimates["mi_real_bound_nats"] != both.estimates["mi_real_bound_nats"]


def test_values_are_those_of_the_pack_s_card_and_every_name_is_documented() -> None:
    """At equal weights the statistics are the card; only Q and the codes differ between the two ways of evaluating."""
    model = Network()
    with frozen(model):
        seen = view(model, load("digits"))
        codes = seen.draw(seen.held_out, [seeded(0, "evaluate")])
        found = statistics_of(seen, [0], QUICK)[0]
    log_q = tuple(torch.zeros(1, 360) for _ in codes)
    expected = card(parse("n3*+c4*"), Pass(seen.held_out, codes, seen.held_out, torch.zeros(1), log_q, log_q))
    uniform = torch.full((1, 360), 1 / 360, dtype=torch.float64)
    for name in ("rate", "mi_encoder_lower_n3", "mi_encoder_upper_n3", "mi_encoder_c4", "category_entropy_c4"):
        value = found[f"{name}_nats"].double().at(uniform)[0]
        torch.testing.assert_close(value, expected[f"{name}_nats"], atol=1e-9, rtol=0)
    stems = {name.removesuffix("_nats").removesuffix("_n3").removesuffix("_c4") for name in found}
    assert {f"{stem}_nats" for stem in stems} <= set(METRICS)


def test_what_must_hold_holds() -> None:
    found = quick(Network()).estimates
    assert found["mi_real_bound_c4_nats"].value <= found["mi_encoder_c4_nats"].value + 1e-9
    assert found["mi_encoder_c4_nats"].value <= found["rate_c4_nats"].value + 1e-9
    assert found["mi_encoder_lower_nats"].value <= min(found["mi_encoder_upper_nats"].value, math.log(360)) + 1e-9
    assert all(math.isfinite(e.value) and e.low <= e.high for e in found.values())
    with_q = {name for name, e in found.items() if e.seeds_low is not None}
    assert with_q == {name for name in found if name.startswith(("mi_decoder", "mi_real", "mi_paper"))}


def test_a_checkpoint_s_member_has_the_account_of_the_pack_s(tmp_path: Path) -> None:
    digits = load("digits")
    (*_, last) = train(small_pack(2), digits)
    assert last.pack is not None
    path, trial_id = tmp_path / "pack.pt", last.pack.trials[1].trial_id
    checkpoint.save(last.pack, path)
    before = {name: tensor.clone() for name, tensor in last.pack.tensors().items()}
    of_pack = quick(from_pack(last.pack, trial_id), digits, seeds=1)
    assert quick(from_checkpoint(path, trial_id), digits, seeds=1) == of_pack
    assert all(torch.equal(before[name], tensor) for name, tensor in last.pack.tensors().items())


BAD_MODELS = {
    "another number of pixels": (Network(784), r"encode.*\[64, 64\]"),
    "a block left out": (wrap("n3+c4", lambda x: [x[:, :4]], painted), r"\[\[64, 4\]\].*n3 as mean"),
    "a decoder that gives a pair": (wrap("n4", lambda x: [(x[:, :4], x[:, :4])], lambda code: (code,)), "decode"),
    "a Normal block without variance": (wrap("n4", lambda x: [x[:, :4]], painted), "log variance"),
    "too few categories": (wrap("c10", lambda x: [x[:, :9]], painted), r"\[64, 9\].*\[64, 10\]"),
    "numbers that are not finite": (wrap("c10", lambda x: [x[:, :10] / 0], painted), "finite"),
    "a decoder of another code width": (
        wrap("c10", lambda x: [x[:, :10]], nn.Linear(12, 64)),
        r"decode.*\[64, 10\] of layout c10",
    ),
    "an image of another size": (wrap("c10", lambda x: [x[:, :10]], lambda c: c), r"decode = \[64, 10\].*\[64, 64\]"),
    "pixels in [-1, 1]": (wrap("c10", lambda x: [x[:, :10]], lambda c: 2 * painted(c) - 1), r"-1 to .*\[0, 1\]"),
    "no layout": (wrap("z9", lambda x: [x], painted), "z9"),
}


@pytest.mark.parametrize("case", BAD_MODELS)
def test_shapes_that_do_not_match_are_named_before_any_training(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, said = BAD_MODELS[case]
    monkeypatch.setattr("vmi.estimation.evaluate.fit", None)
    with pytest.raises(InputError, match=said) as caught:
        quick(model)
    assert case == "no layout" or name_of(model) in str(caught.value)


@pytest.mark.parametrize("options", [{"seeds": 0}, {"seeds": 65}, {"seed": -1}, {"resamples": 1}, {"seeds": 1.5}])
def test_options_out_of_range_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(InputError, match=next(iter(options))):
        quick(Network(), **options)


def run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["evaluate", *arguments])
    return done.exit_code, done.output


def test_the_command_prints_the_card_of_a_member_with_units_and_intervals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vmi.estimation.evaluate._settings", lambda _: QUICK)
    pack = Pack([trial(seed=0, layout="c10*")])
    checkpoint.save(pack, tmp_path / "pack.pt")
    code, said = run(str(tmp_path / "pack.pt"), "--seeds", "2")
    assert code == 0
    for words in ("mi_encoder_c10_nats", "nats/image", "95 % over images", "accuracy_majority", "360 held-out images"):
        assert words in said


def test_the_command_refuses_by_name_with_exit_code_2_and_no_traceback(tmp_path: Path) -> None:
    pack, mnist = small_pack(2), Pack([trial(dataset="mnist")])
    several, other, broken = (str(tmp_path / f"{name}.pt") for name in ("several", "other", "broken"))
    checkpoint.save(pack, Path(several))
    checkpoint.save(mnist, Path(other))
    torch.save({"format": 1, "trials": "[]"}, broken)
    (tmp_path / "text.pt").write_text("no checkpoint")
    cases = {
        (several,): pack.trials[1].trial_id,
        (several, "--member", "0000"): pack.trials[0].trial_id,
        (other, "--data", "digits"): "trained on mnist",
        (other, "--data", "digitz"): "did you mean 'digits'",
        (broken,): "broken.pt",
        (str(tmp_path / "text.pt"),): "text.pt",
        (str(tmp_path / "absent.pt"),): "absent.pt",
        (str(tmp_path),): str(tmp_path),
        (several, "--member", pack.trials[0].trial_id, "--seeds", "0"): "seeds = 0",
    }
    for arguments, expected in cases.items():
        code, said = run(*arguments)
        assert code == 2, arguments
        assert expected in said
        assert "Traceback" not in said


def test_a_vae_trained_by_another_library_gets_the_whole_card() -> None:
    """pythae (Apache 2.0) on digits, a Normal code; only its own interface is used."""
    pythae = pytest.importorskip("pythae.models", reason="pythae is in the dev group: pip install pythae")
    vae, digits = trained_by(pythae), load("digits")

    def encode(images_ND: Tensor) -> Sequence[Parameters]:
        out = vae.encoder(images_ND)
        return [(out.embedding, out.log_covariance)]

    def decode(code_NL: Tensor) -> Tensor:
        return vae.decoder(code_NL).reconstruction.flatten(1)

    model = wrap("n4", encode, decode, modules=[vae], name="pythae VAE")
    found = quick(model, digits).estimates
    rate, lower, upper = (found[f"{name}_nats"] for name in ("rate", "mi_encoder_lower", "mi_encoder_upper"))
    print({name: tuple(round(x, 3) for x in e[:3]) for name, e in found.items()})
    assert 0 < lower.value <= min(upper.value, math.log(360)) + 1e-9
    assert lower.value < rate.value + 1e-9, "a lower bound on I_q is below the rate, which is above I_q"
    assert found["mi_decoder_bound_nats"].value > 0.5, "a trained decoder shows its code"
    with pytest.raises(InputError, match="pythae VAE"):
        quick(wrap("n5", encode, decode, name="pythae VAE"), digits)


def trained_by(pythae: object) -> nn.Module:
    """A few hundred steps of the library's own loss, in its own default networks."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = pythae.VAEConfig(input_dim=(1, 8, 8), latent_dim=4, reconstruction_loss="bce")
        vae, digits = pythae.VAE(config), load("digits")
        adam = torch.optim.Adam(vae.parameters(), 1e-3)
        for _ in range(200):
            batch = torch.randint(1437, (128,))
            loss = vae({"data": digits.images(digits.train, batch, torch.float32)}).loss
            adam.zero_grad()
            loss.backward()
            adam.step()
    return vae
