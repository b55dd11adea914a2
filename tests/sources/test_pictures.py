"""Folders of pictures as cameras, downloads and file managers leave them: nothing of them is lost unsaid."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sources.test_files import COUNT, HEIGHT, NAMES, WIDTH, encoded, folder, labels, pixels

from vmi.sources.dataset import Dataset
from vmi.spec.errors import InputError

ORIENTATION = 0x0112


def refused(place: Path | str, skip_broken: bool = False) -> str:
    with pytest.raises(InputError) as error:
        Dataset.from_file(place, skip_broken=skip_broken)
    return str(error.value)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return folder(tmp_path, pixels(3), labels())


def test_photos_larger_than_any_network_takes_are_read_at_the_size_that_is_declared(photos: Path) -> None:
    large = np.random.default_rng(0).integers(0, 256, (1200, 1600, 3), dtype=np.uint8)
    for path in photos.rglob("*.PNG"):
        path.unlink()
    for i in range(50):
        Image.fromarray(np.roll(large, 40 * i, 1)[:, : 1600 - i]).save(photos / "ant" / f"{i}.jpg")
        Image.fromarray(large[:8, i : i + 8]).save(photos / "bee" / f"{i}.png")
    found = Dataset.from_file(f"{photos}::32x24")
    assert (found.spec.channels, *found.spec.image_shape) == (3, 32, 24) and found.skipped == ()
    assert "at most 1,048,576 pixels" in refused(photos, skip_broken=True), "it is whole, and no broken picture"


def test_pictures_of_16_bits_a_channel_are_none_that_is_broken(photos: Path) -> None:
    Image.fromarray(np.zeros((HEIGHT, WIDTH), np.uint16)).save(photos / "ant" / "000.PNG")
    for skip_broken in (False, True):
        said = refused(photos, skip_broken)
        assert "8 bits a channel" in said and "000.PNG" in said and "--skip-broken" not in said


def test_a_picture_stands_as_its_camera_was_held(tmp_path: Path) -> None:
    upright = folder(tmp_path, pixels(3), labels())
    wanted = Dataset.from_file(upright)
    for path in upright.rglob("*.PNG"):
        with Image.open(path) as image:
            lying, exif = image.transpose(Image.Transpose.ROTATE_90), Image.Exif()
        exif[ORIENTATION] = 6
        lying.save(path, "PNG", exif=exif)
    assert Dataset.from_file(upright).name == wanted.name


def test_a_class_may_be_a_link_and_hidden_files_are_none(photos: Path, tmp_path: Path) -> None:
    wanted = Dataset.from_file(photos)
    (photos / "bee").rename(tmp_path / "elsewhere")
    (photos / "bee").symlink_to(tmp_path / "elsewhere")
    (photos / "cat" / "again").symlink_to(photos)
    (photos / ".thumbnails").mkdir()
    (photos / ".thumbnails" / "0.png").write_bytes(encoded(pixels()[0]))
    (photos / "ant" / "._0.png").write_bytes(b"a file manager's")
    found = Dataset.from_file(photos)
    assert found.classes == NAMES and found.name == wanted.name


def test_pictures_of_another_format_are_named_and_not_left_out(photos: Path) -> None:
    (photos / "owl").mkdir()
    (photos / "owl" / "0.webp").write_bytes(b"RIFF")
    assert "1 of another format, such as" in (said := refused(photos, skip_broken=True)) and "0.webp" in said


def test_a_split_needs_a_side_that_is_held_out(tmp_path: Path) -> None:
    for side in ("train", "val"):
        folder(tmp_path / side, pixels(), labels())
        for path in list((tmp_path / side / "photos").iterdir()):
            path.rename(tmp_path / side / path.name)
        (tmp_path / side / "photos").rmdir()
    said = refused(tmp_path)
    assert "val/ is trained on" in said and "found train, val" in said


def test_opacity_is_not_dropped_where_it_is_what_is_drawn(tmp_path: Path) -> None:
    drawn = np.zeros((COUNT, 4, HEIGHT, WIDTH), np.uint8)
    drawn[:, 3] = pixels()[:, 0]
    place = folder(tmp_path, drawn, labels())
    assert Dataset.from_file(place).spec.channels == 4
    for declared in ("1x9x7", "3x9x7"):
        assert "not opaque" in refused(f"{place}::{declared}")
    assert Dataset.from_file(f"{place}::2x9x7").spec.channels == 2


def test_a_class_folder_may_be_called_by_dashes(photos: Path) -> None:
    (photos / "bee").rename(photos / "--5")
    assert Dataset.from_file(photos).classes == ("--5", "ant", "cat")


def test_many_copies_of_one_image_do_not_make_most_of_a_class_held_out() -> None:
    for seed in range(5):
        images = np.random.default_rng(seed).integers(0, 256, (200, 8, 8), dtype=np.uint8)
        images[:80] = images[0]
        found = Dataset.from_arrays(images)
        sides = [{row.tobytes() for row in part[0]} for part in (found.train, found.held_out)]
        assert not sides[0] & sides[1] and 0 < found.spec.held_out_count <= 80


def test_the_home_of_nobody_is_named() -> None:
    assert "~nobody-is-called-so" in refused("~nobody-is-called-so/x.npz")
