"""The k-means reference: looked up where this machine has computed it, and computed where it has not, or can't tell."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.images import THREE, small_images

from vmi.data import dataset
from vmi.data.dataset import Dataset, Split
from vmi.training import kmeans

STORED = 0.125  # no accuracy of any data set here: it can only have been looked up


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path / ".cache" / "vmi-sweeps" / "kmeans"


@pytest.fixture
def images() -> Dataset:
    return small_images("three", THREE)


def kept(home: Path) -> Path:
    (path,) = home.iterdir()
    return path


def test_on_digits_it_is_far_above_chance() -> None:
    assert 0.7 < kmeans.reference(dataset.load("digits"), 10) < 0.9


def test_a_part_of_a_data_set_has_its_own_and_leaves_that_of_the_whole_alone(images: Dataset) -> None:
    part = Dataset(
        images.spec, Split(*(t[::2] for t in images.train)), Split(*(t.flip(0)[:9] for t in images.held_out))
    )
    assert kmeans.computed(part, 2) != kmeans.computed(images, 2)
    for data in (part, images, part):
        assert kmeans.reference(data, 2) == kmeans.computed(data, 2)


def test_it_has_no_more_clusters_than_images(images: Dataset) -> None:
    assert 0 <= kmeans.computed(images.first(7), 10) <= 1


def test_what_is_looked_up_is_what_was_computed(home: Path, images: Dataset) -> None:
    computed = kmeans.computed(images, 5)
    assert kmeans.kept(images, 5) == computed
    assert json.loads(kept(home).read_text()) == {"dataset": "three", "clusters": 5, "accuracy": computed}
    kept(home).write_text(json.dumps({"accuracy": STORED}))
    assert kmeans.kept(images, 5) == STORED


def test_other_images_labels_or_clusters_are_others(home: Path, images: Dataset) -> None:
    kmeans.kept(images, 5)
    kept(home).write_text(json.dumps({"accuracy": STORED}))
    pixels, labels = images.held_out
    darker = images._replace(held_out=Split(pixels // 2, labels))
    mixed = images._replace(held_out=Split(pixels, labels.flip(0)))
    fewer = images._replace(train=Split(*(part[1:] for part in images.train)))
    floats = images._replace(train=Split(images.train.pixels_ND.float(), images.train.labels_N))
    for other in (darker, mixed, fewer, floats):
        assert kmeans.kept(other, 5) != STORED
    assert kmeans.kept(images, 4) != STORED and len(list(home.iterdir())) == 6


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"accuracy": "high"}', '{"accuracy": 2}', '{"accuracy": NaN}', "\x80"]
)
def test_what_is_no_accuracy_is_computed_anew_and_replaced(home: Path, images: Dataset, text: str) -> None:
    computed = kmeans.kept(images, 5)
    kept(home).write_bytes(text.encode("latin-1"))
    assert kmeans.kept(images, 5) == computed
    assert json.loads(kept(home).read_text())["accuracy"] == computed


def test_a_home_that_cannot_be_written_keeps_nothing(home: Path, images: Dataset) -> None:
    home.parent.parent.write_text("a file in place of the folder")
    assert kmeans.kept(images, 5) == kmeans.computed(images, 5)
