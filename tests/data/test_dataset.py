"""Data sets: fixed fingerprinted splits, damage named, each member's own minibatch order."""

from __future__ import annotations

import gzip
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from vmi.data import dataset, digits
from vmi.data.minibatches import Minibatches
from vmi.data.random_streams import seeded
from vmi.sources.dataset import auto_variance
from vmi.spec.datasets import DATASETS, spec_of
from vmi.spec.errors import InputError
from vmi.spec.resolving import resolve


def test_digits_are_whole_and_split_as_declared() -> None:
    loaded, spec = dataset.load("digits"), spec_of("digits")
    assert loaded.train.pixels_ND.shape == (spec.train_count, spec.pixels)
    assert loaded.held_out.pixels_ND.shape == (spec.held_out_count, spec.pixels)
    assert dataset.fingerprint(loaded) == spec.fingerprint
    counts = torch.bincount(torch.cat([loaded.train.labels_N, loaded.held_out.labels_N]))
    assert counts.tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert loaded.held_out.labels_N.bincount().min() >= 25
    images = loaded.images(loaded.train, slice(None), torch.float32)
    assert images.min() == 0 and images.max() == 1


def test_the_automatic_variance_is_that_of_the_pixels() -> None:
    spec, train = spec_of("digits"), dataset.load("digits").train.pixels_ND.double() / 16
    half = ((train - train.mean(0)) ** 2).mean().item() / 2
    assert spec.auto_variance == auto_variance(dataset.load("digits").train.pixels_ND.numpy(), 16)
    assert spec.auto_variance == pytest.approx(half, rel=5e-3)
    assert resolve({"likelihood_variance": "auto"}) == resolve({"likelihood_variance": spec.auto_variance})
    with pytest.raises(InputError, match="kl_weight"):
        resolve({"likelihood_variance": "auto", "kl_weight": "auto"})


def test_the_digits_are_read_without_scikit_learn_and_where_the_file_is_gone_from_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    code = """import sys
from vmi.data import digits
from vmi.spec.datasets import spec_of
print(digits.table(spec_of("digits")).sum(), *(m for m in sys.modules if m.split(".")[0] in ("sklearn", "scipy")))"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    monkeypatch.setattr(digits, "FILE", Path("absent.csv.gz"))
    assert said == [str(digits.table(spec_of("digits")).sum())]
    assert dataset.fingerprint(dataset._digits(spec_of("digits"))) == spec_of("digits").fingerprint


@pytest.mark.filterwarnings("ignore:loadtxt")
@pytest.mark.parametrize("kind", ["truncated", "empty", "html", "flipped", "short"])
def test_a_damaged_file_of_digits_is_named(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "digits.csv.gz"
    whole = gzip.compress(b"0,1,2\n" * 400, mtime=0)
    path.write_bytes(gzip.compress(b"0,1,2\n" * 399) if kind == "short" else damaged(whole, kind, 40))
    with pytest.raises(InputError, match="400 rows of 3 numbers, found") as caught:
        digits.read(path, (400, 3))
    assert str(path) in str(caught.value)


def test_no_image_is_in_both_splits() -> None:
    loaded = dataset.load("digits")
    train = {bytes(row.tolist()) for row in loaded.train.pixels_ND}
    assert not any(bytes(row.tolist()) in train for row in loaded.held_out.pixels_ND)


def test_the_fingerprint_sees_every_pixel_label_and_the_split() -> None:
    loaded = dataset.load("digits")
    pixels = loaded.train.pixels_ND.clone()
    pixels[7, 3] += 1
    labels = loaded.held_out.labels_N.flip(0)
    swapped = dataset.Dataset(loaded.spec, loaded.held_out, loaded.train)
    changed = [
        loaded._replace(train=loaded.train._replace(pixels_ND=pixels)),
        loaded._replace(held_out=loaded.held_out._replace(labels_N=labels)),
        swapped,
    ]
    assert len({dataset.fingerprint(d) for d in [loaded, *changed]}) == 4


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_torchvision_data_sets_load_from_a_folder(name: str, data_folder: Path) -> None:
    loaded = dataset.load(name, data_folder)
    assert loaded.train.pixels_ND.shape == (60_000, 784)
    assert loaded.held_out.labels_N.bincount().sum() == 10_000
    assert dataset.fingerprint(loaded) == DATASETS[name].fingerprint


def damaged(content: bytes, kind: str, left: int = 1000) -> bytes:
    return {"truncated": content[:left], "empty": b"", "html": b"<html>404</html>", "flipped": content[:-1] + b"\x7f"}[
        kind
    ]


@pytest.mark.parametrize("kind", ["truncated", "empty", "html", "flipped"])
def test_a_damaged_file_is_named_with_expected_and_found_and_kept(tmp_path: Path, data_folder: Path, kind: str) -> None:
    (tmp_path / "MNIST/raw").mkdir(parents=True)
    for file in (data_folder / "MNIST/raw").iterdir():
        shutil.copyfile(file, tmp_path / "MNIST/raw" / file.name)
    path = tmp_path / "MNIST/raw/t10k-labels-idx1-ubyte"
    bad = damaged(path.read_bytes(), kind)
    path.write_bytes(bad)
    with pytest.raises(InputError) as caught:
        dataset.load("mnist", tmp_path)
    message = str(caught.value)
    assert str(path) in message
    assert spec_of("mnist").md5["t10k-labels-idx1-ubyte"] in message
    assert "kept" in message
    assert path.read_bytes() == bad


def test_an_absent_data_set_that_cannot_be_fetched_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision import datasets

    monkeypatch.setattr(datasets.MNIST, "mirrors", ["http://127.0.0.1:9/"])
    with pytest.raises(InputError) as caught:
        dataset.load("mnist", tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert "VMI_DATA_DIR" in str(caught.value)


def test_an_unknown_data_set_is_refused_with_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean 'mnist'"):
        dataset.load("mnits")


def test_minibatches_walk_a_permutation_per_epoch_and_member() -> None:
    generators = [seeded(seed, "order") for seed in (0, 1)]
    batches = Minibatches(10, 3, generators)
    epoch = torch.cat([batches.next() for _ in range(3)], dim=1)
    assert all(len(set(row.tolist())) == 9 for row in epoch)
    assert not torch.equal(epoch[0], epoch[1])
    again = torch.cat([batches.next() for _ in range(3)], dim=1)
    assert not torch.equal(epoch, again)
    alone = Minibatches(10, 3, [seeded(1, "order")])
    assert torch.equal(torch.cat([alone.next() for _ in range(3)], dim=1)[0], epoch[1])


def test_streams_of_one_seed_differ_by_purpose() -> None:
    draws = {tuple(torch.rand(3, generator=seeded(5, p)).tolist()) for p in ("order", "noise", "initialise")}
    assert len(draws) == 3
