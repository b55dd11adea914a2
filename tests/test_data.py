"""Data sets: fixed fingerprinted splits, damage named, each member's own minibatch order."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from vmi import data
from vmi.datasets import DATASETS, spec_of
from vmi.errors import InputError


def test_digits_are_whole_and_split_as_declared() -> None:
    digits, spec = data.load("digits"), spec_of("digits")
    assert digits.train.pixels_ND.shape == (spec.train_count, spec.pixels)
    assert digits.held_out.pixels_ND.shape == (spec.held_out_count, spec.pixels)
    assert data.fingerprint(digits) == spec.fingerprint
    counts = torch.bincount(torch.cat([digits.train.labels_N, digits.held_out.labels_N]))
    assert counts.tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert digits.held_out.labels_N.bincount().min() >= 25
    images = digits.images(digits.train, slice(None), torch.float32)
    assert images.min() == 0 and images.max() == 1


def test_no_image_is_in_both_splits() -> None:
    digits = data.load("digits")
    train = {bytes(row.tolist()) for row in digits.train.pixels_ND}
    assert not any(bytes(row.tolist()) in train for row in digits.held_out.pixels_ND)


def test_the_fingerprint_sees_every_pixel_label_and_the_split() -> None:
    digits = data.load("digits")
    pixels = digits.train.pixels_ND.clone()
    pixels[7, 3] += 1
    labels = digits.held_out.labels_N.flip(0)
    swapped = data.Dataset(digits.spec, digits.held_out, digits.train)
    changed = [
        digits._replace(train=digits.train._replace(pixels_ND=pixels)),
        digits._replace(held_out=digits.held_out._replace(labels_N=labels)),
        swapped,
    ]
    assert len({data.fingerprint(d) for d in [digits, *changed]}) == 4


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_torchvision_data_sets_load_from_a_folder(name: str, data_folder: Path) -> None:
    loaded = data.load(name, data_folder)
    assert loaded.train.pixels_ND.shape == (60_000, 784)
    assert loaded.held_out.labels_N.bincount().sum() == 10_000
    assert data.fingerprint(loaded) == DATASETS[name].fingerprint


def damaged(content: bytes, kind: str) -> bytes:
    return {"truncated": content[:1000], "empty": b"", "html": b"<html>404</html>", "flipped": content[:-1] + b"\x7f"}[
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
        data.load("mnist", tmp_path)
    message = str(caught.value)
    assert str(path) in message
    assert spec_of("mnist").md5["t10k-labels-idx1-ubyte"] in message
    assert "kept" in message
    assert path.read_bytes() == bad


def test_an_absent_data_set_that_cannot_be_fetched_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision import datasets

    monkeypatch.setattr(datasets.MNIST, "mirrors", ["http://127.0.0.1:9/"])
    with pytest.raises(InputError) as caught:
        data.load("mnist", tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert "VMI_DATA_DIR" in str(caught.value)


def test_an_unknown_data_set_is_refused_with_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean 'mnist'"):
        data.load("mnits")


def test_minibatches_walk_a_permutation_per_epoch_and_member() -> None:
    generators = [data.seeded(seed, "order") for seed in (0, 1)]
    batches = data.Minibatches(10, 3, generators)
    epoch = torch.cat([batches.next() for _ in range(3)], dim=1)
    assert all(len(set(row.tolist())) == 9 for row in epoch)
    assert not torch.equal(epoch[0], epoch[1])
    again = torch.cat([batches.next() for _ in range(3)], dim=1)
    assert not torch.equal(epoch, again)
    alone = data.Minibatches(10, 3, [data.seeded(1, "order")])
    assert torch.equal(torch.cat([alone.next() for _ in range(3)], dim=1)[0], epoch[1])


def test_streams_of_one_seed_differ_by_purpose() -> None:
    draws = {tuple(torch.rand(3, generator=data.seeded(5, p)).tolist()) for p in ("order", "noise", "initialise")}
    assert len(draws) == 3
