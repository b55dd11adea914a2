"""An exported model's numbers are those of the pack's member, where there is no vmi to lean on."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest
import torch
from support.coloured import held
from support.packs import small_pack
from torch import Tensor

from vmi.data.dataset import load
from vmi.export import model as plain
from vmi.export.config import category_classes, config_of
from vmi.export.folder import write
from vmi.nn.distributions import Categorical
from vmi.spec.datasets import spec_of
from vmi.training.pack import Pack
from vmi.training.train import train

CASES: dict[str, dict[str, Any]] = {
    "mlp": {},
    "conv": {"network": "conv", "hidden": "4-8-16", "layout": "n2*+c10*"},
    "conv without a convolution": {"network": "conv", "hidden": "9"},
    "colours, odd sides": {"network": "conv", "hidden": "4-8-16", "dataset": (3, 10, 7)},
    "colours through the mlp": {"hidden": "16", "dataset": (3, 5, 7), "layout": "c4*"},
    "Normal blocks alone": {"layout": "n3*+n1"},
    "bernoulli, two categorical blocks": {"layout": "c3+n3+c4*+c3", "likelihood": "bernoulli"},
}
# Nothing of `site` is done, so that an editable install is not on the path: torch and what it needs alone.
PROGRAM = """
import sys
root, packages = sys.argv[1:]
sys.path.append(packages)
import importlib.util, pathlib, torch
assert importlib.util.find_spec("vmi") is None
for folder in sorted(pathlib.Path(root).iterdir()):
    spec = importlib.util.spec_from_file_location(folder.name, folder / "exported" / "model.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    model = module.load()
    given = torch.load(folder / "given.pt", weights_only=True)
    with torch.no_grad():
        made = {"decoded": model.decode(given["code"]), "code": model.code(given["images"])}
        made |= {"prior": model.prior(5, torch.Generator().manual_seed(7))}
        made |= {"sample": model.sample(5, torch.Generator().manual_seed(7))}
        for name, one in model.encode(given["images"]).items():
            made[name] = tuple(one) if isinstance(one, tuple) else one
        if model.config["category_classes"]:
            made["classes"] = model.classify(given["images"])
    torch.save(made, folder / "made.pt")
assert not [name for name in sys.modules if name.partition(".")[0] in ("vmi", "analysis")]
"""


def trained(case: str) -> Pack:
    """A member that has a pack-mate, a few steps on."""
    fields = dict(CASES[case])
    if isinstance(fields.get("dataset"), tuple):
        fields["dataset"] = held(fields["dataset"])
    (*_, last) = train(small_pack(2, **fields), load(fields.get("dataset", "digits")))
    assert last.pack is not None
    return last.pack.keep([1])


def exported(pack: Pack, folder: Path, onnx: bool = False) -> None:
    """Write the pack's member into this folder; the pack is in evaluation mode then."""
    row = {"study": "s", "versions": json.dumps({"vmi-sweeps": "0"}), "accuracy_majority": 0.5, "rate_nats": 3.0}
    config = config_of(pack, row, category_classes(pack, load(pack.architecture.dataset)))
    write(pack, config, row, folder, onnx)
    pack.train_mode(False)


@pytest.fixture(scope="module")
def packs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Pack, Path]]:
    """Every case, exported, and what its files alone made in another process."""
    root, made = tmp_path_factory.mktemp("cases"), {}
    for number, case in enumerate(CASES):
        pack, folder = trained(case), root / f"case{number}"
        exported(pack, folder / "exported")
        generator = torch.Generator().manual_seed(1)
        images = torch.rand(40, spec_of(pack.architecture.dataset).pixels, generator=generator)
        torch.save(
            {"images": images, "code": torch.randn(9, pack.layout.width, generator=generator)}, folder / "given.pt"
        )
        made[case] = pack, folder
    packages = sysconfig.get_paths()["purelib"]
    command = [sys.executable, "-I", "-S", "-c", PROGRAM, str(root), packages]
    subprocess.run(command, check=True, cwd=root, capture_output=True, text=True)
    return made


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("case", CASES)
@torch.no_grad()
def test_an_exported_model_computes_without_vmi_what_the_pack_s_member_does(
    packs: dict[str, tuple[Pack, Path]], case: str
) -> None:
    pack, folder = packs[case]
    given, made = (torch.load(folder / f"{name}.pt", weights_only=True) for name in ("given", "made"))
    posterior, shape = pack.encoder(given["images"][None]), spec_of(pack.architecture.dataset).shape
    for block, q in zip(pack.layout.blocks, posterior, strict=True):
        if isinstance(q, Categorical):
            close(made[block.name], q.log_probs_KBC[0].exp())
        else:
            close(made[block.name][0], q.mean_KBZ[0])
            close(made[block.name][1], q.log_variance_KBZ[0])
    close(made["decoded"], pack.decoder(given["code"][None]).sigmoid()[0].view(-1, *shape))
    close(made["sample"], pack.decoder(made["prior"][None]).sigmoid()[0].view(-1, *shape))
    assert made["code"].shape == (40, pack.layout.width) and made["prior"].shape == (5, pack.layout.width)


def test_the_same_file_in_this_process_gives_the_same(packs: dict[str, tuple[Pack, Path]]) -> None:
    _, folder = packs["colours, odd sides"]
    given, made = (torch.load(folder / f"{name}.pt", weights_only=True) for name in ("given", "made"))
    model = plain.load(folder / "exported")
    with torch.no_grad():
        close(model.decode(given["code"]), made["decoded"])
        close(model.encode(given["images"].view(-1, 3, 10, 7))["n16"][0], made["n16"][0])
    assert torch.equal(model.classify(given["images"]), made["classes"])


@pytest.mark.parametrize("case", ["conv", "Normal blocks alone", "bernoulli, two categorical blocks"])
def test_prior_codes_are_one_hot_and_standard_normal(packs: dict[str, tuple[Pack, Path]], case: str) -> None:
    _, folder = packs[case]
    model = plain.load(folder / "exported")
    codes = model.prior(20_000, torch.Generator().manual_seed(0)).split([size for _, _, size in model.blocks], dim=-1)
    for (_, kind, size), code in zip(model.blocks, codes, strict=True):
        if kind == "categorical":
            assert torch.equal(code.sum(-1), torch.ones(len(code))) and torch.equal(code, code.square())
            torch.testing.assert_close(code.mean(0), torch.full((size,), 1 / size), atol=0.02, rtol=0)
        else:
            torch.testing.assert_close(code.mean(0), torch.zeros(size), atol=0.04, rtol=0)
            torch.testing.assert_close(code.std(0), torch.ones(size), atol=0.04, rtol=0)


def test_a_model_that_is_trained_further_is_saved_and_loaded(
    packs: dict[str, tuple[Pack, Path]], tmp_path: Path
) -> None:
    _, folder = packs["mlp"]
    model, images = plain.load(folder / "exported").train(), torch.rand(30, 1, 8, 8)
    torch.nn.functional.mse_loss(model.decode(model.code(images)), images).backward()
    torch.optim.SGD(model.parameters(), 0.1).step()
    model.save(tmp_path)
    again = plain.load(tmp_path)
    assert not again.training
    assert all(torch.equal(tensor, model.state_dict()[name]) for name, tensor in again.state_dict().items())


def test_without_classes_and_for_other_images_the_reason_is_said(packs: dict[str, tuple[Pack, Path]]) -> None:
    model = plain.load(packs["Normal blocks alone"][1] / "exported")
    with pytest.raises(ValueError, match="no categorical block"):
        model.classify(torch.rand(2, 64))
    with pytest.raises(ValueError, match=r"images of \[1, 8, 8\], or flat with 64 pixels, not \[2, 28, 28\]"):
        model.encode(torch.rand(2, 28, 28))


def test_the_code_is_plain_torch(packs: dict[str, tuple[Pack, Path]]) -> None:
    text = (packs["mlp"][1] / "exported" / "model.py").read_text(encoding="utf-8")
    imports = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {n.module or "" if isinstance(n, ast.ImportFrom) else n.names[0].name for n in imports}
    assert {name.partition(".")[0] for name in names} - set(sys.stdlib_module_names) == {"torch", "safetensors"}
    kinds = {type(layer).__module__.partition(".")[0] for layer in plain.load(packs["conv"][1] / "exported").encoder}
    assert kinds == {"torch"}


def test_what_was_trained_in_bfloat16_is_said_to_compute_in_float32(tmp_path: Path) -> None:
    (*_, last) = train(small_pack(1, precision="bfloat16"), load("digits"))
    assert last.pack is not None
    exported(last.pack, tmp_path / "m")
    images = torch.rand(40, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found = plain.load(tmp_path / "m").encode(images)["c10"]
        expected = last.pack.encoder(images[None])[1]
    assert isinstance(found, Tensor) and isinstance(expected, Categorical)
    torch.testing.assert_close(found, expected.log_probs_KBC[0].exp(), atol=0.02, rtol=0)
    assert "products in bfloat16" in (tmp_path / "m" / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("case", ["conv", "bernoulli, two categorical blocks"])
def test_onnx_files_compute_the_same_for_any_number_of_images(case: str, tmp_path: Path) -> None:
    for name in ("onnx", "onnxscript"):
        pytest.importorskip(name, reason="of the extra onnx: pip install onnx onnxscript")
    from onnx.reference import ReferenceEvaluator

    exported(trained(case), tmp_path / "m", onnx=True)
    model, images = plain.load(tmp_path / "m"), torch.rand(7, 1, 8, 8)
    encoder, decoder = (ReferenceEvaluator(str(tmp_path / "m" / f"{name}.onnx")) for name in ("encoder", "decoder"))
    made = dict(zip(encoder.output_names, encoder.run(None, {"images": images.numpy()}), strict=True))
    with torch.no_grad():
        for name, one in model.encode(images).items():
            if isinstance(one, plain.Normal):
                close(torch.from_numpy(made.pop(f"{name}_mean")), one.mean)
                close(torch.from_numpy(made.pop(f"{name}_log_variance")), one.log_variance)
            else:
                close(torch.from_numpy(made.pop(f"{name}_probabilities")), one)
        codes = model.prior(3)
        close(torch.from_numpy(decoder.run(None, {"code": codes.numpy()})[0]), model.decode(codes))
    assert not made
