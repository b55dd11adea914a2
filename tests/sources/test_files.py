"""The same pixels from every kind of file are the same data set; what is none is refused, with what was found."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from vmi.sources.dataset import Dataset
from vmi.spec.errors import InputError

COUNT, HEIGHT, WIDTH = 60, 9, 7
NAMES = ("ant", "bee", "cat")


def pixels(channels: int = 1) -> Any:
    """[N, C, H, W] that no two images have in common."""
    return np.random.default_rng(channels).integers(0, 256, (COUNT, channels, HEIGHT, WIDTH), dtype=np.uint8)


def labels() -> Any:
    return np.array([NAMES[i % 3] for i in range(COUNT)])


def encoded(image_CHW: Any, kind: str = "png") -> bytes:
    plain = image_CHW[0] if len(image_CHW) == 1 else np.moveaxis(image_CHW, 0, -1)
    buffer = io.BytesIO()
    Image.fromarray(plain).save(buffer, kind)
    return buffer.getvalue()


def shuffled(x: Any, y: Any) -> tuple[Any, Any]:
    order = np.random.default_rng(9).permutation(len(x))
    return x[order], y[order]


def npz(root: Path, x: Any, y: Any) -> Path:
    np.savez(root / "a.npz", images=np.moveaxis(x, 1, -1), labels=y)
    return root / "a.npz"


def npz_of_bytes(root: Path, x: Any, y: Any) -> Path:
    np.savez_compressed(root / "b.npz", images=x, labels=y.astype("S"))
    return root / "b.npz"


def floats(root: Path, x: Any, y: Any) -> Path:
    np.savez(root / "f.npz", images=x / 255, labels=y[:, None])
    return root / "f.npz"


def huggingface(root: Path, x: Any, y: Any) -> Path:
    rows = [{"bytes": encoded(image), "path": f"{i}.png"} for i, image in enumerate(x)]
    pq.write_table(pa.table({"image": rows, "label": y.tolist()}), root / "hf.parquet")
    return root / "hf.parquet"


def tensors(root: Path, x: Any, y: Any) -> Path:
    column = pa.FixedShapeTensorArray.from_numpy_ndarray(np.ascontiguousarray(x))
    table = pa.table({"images": column, "label": pa.array(y.tolist()).dictionary_encode()})
    with pa.OSFile(str(root / "t.arrow"), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return root / "t.arrow"


def lists(root: Path, x: Any, y: Any) -> Path:
    kind = pa.uint8()
    for _ in range(3):
        kind = pa.list_(kind)
    (root / "shards").mkdir()
    for i, part in enumerate((slice(0, 25), slice(25, None))):
        table = pa.table({"image": pa.array(x[part].tolist(), kind), "label": y[part].tolist()})
        pq.write_table(table, root / "shards" / f"{i}.parquet")
    return root / "shards"


def folder(root: Path, x: Any, y: Any) -> Path:
    for i, (image, label) in enumerate(zip(x, y, strict=True)):
        path = root / "photos" / label / f"{i:03}.PNG"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(image))
    return root / "photos"


FORMATS: tuple[Callable[[Path, Any, Any], Path], ...] = (
    npz, npz_of_bytes, floats, huggingface, tensors, lists, folder
)  # fmt: skip


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("written", FORMATS)
def test_the_name_is_the_contents_whatever_format_and_order(
    written: Callable[[Path, Any, Any], Path], channels: int, tmp_path: Path
) -> None:
    x, y = pixels(channels), labels()
    wanted = Dataset.from_arrays(x, y)
    found = Dataset.from_file(written(tmp_path, *shuffled(x, y)))
    assert found.spec._replace(source="") == wanted.spec._replace(source="")
    assert found.classes == NAMES and found.spec.channels == channels
    for ours, theirs in zip((*found.train, *found.held_out), (*wanted.train, *wanted.held_out), strict=True):
        assert ours.dtype == theirs.dtype and np.array_equal(ours, theirs)
    rows = {row.tobytes() for part in (found.train, found.held_out) for row in part[0]}
    assert rows == {image.tobytes() for image in x}


def test_a_declared_split_is_kept_and_another_split_is_another_data_set(tmp_path: Path) -> None:
    x, y = pixels(), labels()
    sides = np.where(np.arange(COUNT) < 40, "train", "test")
    whole = Dataset.from_arrays(x, y, sides)
    assert (whole.spec.train_count, whole.spec.held_out_count) == (40, 20)
    assert {row.tobytes() for row in whole.train[0]} == {image.tobytes() for image in x[:40]}
    # MedMNIST's files: what is to choose a model by is trained on, and labels are a column.
    parts = {"train": slice(0, 30), "val": slice(30, 40), "test": slice(40, None)}
    arrays = {f"{part}_images": x[at, 0] for part, at in parts.items()}
    np.savez(tmp_path / "med.npz", **arrays, **{f"{part}_labels": y[at, None] for part, at in parts.items()})
    assert Dataset.from_file(tmp_path / "med.npz").name == whole.name
    for part, at in (("train", slice(0, 40)), ("test", slice(40, None))):
        place = folder(tmp_path / part, x[at], y[at])
        (tmp_path / "split").mkdir(exist_ok=True)
        place.rename(tmp_path / "split" / part)
    assert Dataset.from_file(tmp_path / "split").name == whole.name
    assert Dataset.from_arrays(x, y).name != whole.name != Dataset.from_arrays(x, y, sides == "train").name


def test_copies_of_an_image_are_on_one_side_and_each_class_on_both() -> None:
    x, y = np.repeat(pixels()[:20], 3, axis=0), np.repeat(np.arange(20) % 4, 3)
    found = Dataset.from_arrays(x, y)
    sides = [{row.tobytes() for row in part[0]} for part in (found.train, found.held_out)]
    assert not sides[0] & sides[1]
    assert all({*part[1].tolist()} == {0, 1, 2, 3} for part in (found.train, found.held_out))
    assert 0.15 <= found.spec.held_out_count / len(x) <= 0.4


def test_the_first_images_are_a_random_sample_of_classes_and_of_copies() -> None:
    x = np.random.default_rng(0).integers(0, 256, (4000, 5, 5), dtype=np.uint8)
    x[:1000] = x[0]
    x[1000:3000] = x[1000]
    found = Dataset.from_arrays(x, np.arange(4000) // 1000)
    for _, labels_N in (found.train, found.held_out):
        whole, first = (np.bincount(part, minlength=4) / len(part) for part in (labels_N, labels_N[:400]))
        assert np.abs(first - whole).max() < 4 * (0.25 / 400) ** 0.5, "within four standard errors"


def test_flat_images_are_square_or_declared_and_pictures_may_be_given_a_size(tmp_path: Path) -> None:
    np.save(tmp_path / "flat.npy", np.random.default_rng(0).random((50, 36)))
    assert Dataset.from_file(tmp_path / "flat.npy").spec.image_shape == (6, 6)
    assert Dataset.from_file(f"{tmp_path}/flat.npy::3x3x4").spec.channels == 3
    place = folder(tmp_path, pixels(3), labels())
    assert Dataset.from_file(f"{place}::16x12").spec.image_shape == (16, 12)
    assert Dataset.from_file(f"{place}::1x9x7").spec.channels == 1


def test_numbers_have_their_order_and_classes_without_labels_are_none() -> None:
    x = pixels()
    assert Dataset.from_arrays(x, np.arange(COUNT) % 12).classes == tuple(map(str, range(12)))
    assert Dataset.from_arrays(x, [str(i % 12) for i in range(COUNT)]).name == Dataset.from_arrays(
        x, np.arange(COUNT) % 12
    ).name  # fmt: skip
    unlabelled = Dataset.from_arrays(x)
    assert unlabelled.classes == () and unlabelled.spec.classes == 0
    assert unlabelled.name != Dataset.from_arrays(x, np.zeros(COUNT, int)).name


def test_defaults_follow_the_pixels() -> None:
    x = np.random.default_rng(0).random((400, 8, 8)).astype(np.float32)
    spec = Dataset.from_arrays(x).spec
    train = Dataset.from_arrays(x).train[0].astype(float)
    half = ((train - train.mean(0)) ** 2).mean() / 2
    assert spec.levels == 0 and spec.defaults["likelihood_variance"] == pytest.approx(half, rel=5e-3)
    assert Dataset.from_arrays(x > 0.5).spec.defaults["likelihood"] == "bernoulli"


def object_array(root: Path) -> Path:
    np.save(root / "o.npy", np.array([{"a": 1}, None], dtype=object), allow_pickle=True)
    return root / "o.npy"


def truncated(root: Path) -> Path:
    path = npz(root, pixels(), labels())
    path.write_bytes(path.read_bytes()[:-200])
    return path


def huge(root: Path) -> Path:
    """Announced in its header: nothing of it is there."""
    with (root / "h.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "|u1", "fortran_order": False, "shape": (2, 40_000, 40_000)}
        )
    return root / "h.npy"


def broken_picture(root: Path) -> Path:
    place = folder(root, pixels(), labels())
    (place / "bee" / "001.PNG").write_bytes(b"\x89PNG not much")
    return place


def saved(**arrays: Any) -> Callable[[Path], Path]:
    def written(root: Path) -> Path:
        np.savez(root / "s.npz", **arrays)
        return root / "s.npz"

    return written


def bare(array: Any) -> Callable[[Path], Path]:
    def written(root: Path) -> Path:
        np.save(root / "s.npy", array)
        return root / "s.npy"

    return written


def text_file(root: Path) -> Path:
    (root / "notes.txt").write_text("no images")
    return root / "notes.txt"


def flipped(root: Path) -> Path:
    """Within what is compressed: no header says so."""
    np.savez_compressed(root / "z.npz", images=pixels())
    content = bytearray((root / "z.npz").read_bytes())
    content[600:700] = bytes(255 - byte for byte in content[600:700])
    (root / "z.npz").write_bytes(content)
    return root / "z.npz"


def announced(root: Path) -> Path:
    with (root / "h.npy").open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (10**14, 8, 8)}
        np.lib.format.write_array_header_1_0(file, header)
    return root / "h.npy"


def permuted(root: Path) -> Path:
    storage = pa.FixedSizeListArray.from_arrays(pa.array(pixels().reshape(-1)), HEIGHT * WIDTH)
    kind = pa.fixed_shape_tensor(pa.uint8(), (HEIGHT, WIDTH), permutation=[1, 0])
    table = pa.table({"image": pa.ExtensionArray.from_storage(kind, storage)})
    pq.write_table(table, root / "t.parquet")
    return root / "t.parquet"


def broken_row(root: Path) -> Path:
    place = huggingface(root, pixels(), labels())
    table = pq.read_table(place)
    rows = table["image"].to_pylist()
    rows[1]["bytes"] = rows[1]["bytes"][:40]
    pq.write_table(table.set_column(0, "image", [rows]), place)
    return place


def broken_row_of_a_shard(root: Path) -> Path:
    """Of two, which say by their names what is held out."""
    images, classes = [encoded(image) for image in pixels()], labels().tolist()
    images[42] = b"no image"
    (root / "sided").mkdir()
    for name, part in (("train-0", slice(0, 40)), ("test-1", slice(40, None))):
        pq.write_table(pa.table({"image": images[part], "label": classes[part]}), root / "sided" / f"{name}.parquet")
    return root / "sided"


def empty(root: Path) -> Path:
    (root / "e.npz").touch()
    return root / "e.npz"


def differing(root: Path) -> Path:
    place = folder(root, pixels(), labels())
    (place / "cat" / "zz.png").write_bytes(encoded(np.zeros((1, 3, 3), np.uint8)))
    return place


GOOD = pixels()
BAD: dict[str, tuple[Callable[[Path], Path], str]] = {
    "missing": (lambda root: root / "nothing.npz", "no such file"),
    "empty file": (empty, "the file is empty"),
    "truncated": (truncated, "a whole .npz file"),
    "another kind": (text_file, "found a file .txt"),
    "empty folder": (lambda root: root, "no PNG or JPEG is there"),
    "sizes differ": (differing, "3x3 pixels"),
    "objects": (object_array, "unpickled"),
    "objects in an archive": (saved(images=np.array([{"a": 1}, None], dtype=object)), "unpickled"),
    "a bare array that is not finite": (bare(np.full((50, 4, 4), np.nan)), "not finite"),
    "40,000 pixels a side": (huge, "40,000 x 40,000"),
    "one broken picture": (broken_picture, "001.PNG"),
    "not a number": (saved(images=np.full((50, 4, 4), np.nan)), "not finite"),
    "negative": (saved(images=np.full((50, 4, 4), -0.5)), "-0.5"),
    "above 1": (saved(images=np.linspace(0, 16, 800).reshape(50, 4, 4)), "0 to 16"),
    "wide integers": (saved(images=np.ones((50, 4, 4), np.int64)), "int64"),
    "no images": (saved(pictures=GOOD), "found pictures"),
    "labels of another length": (saved(images=GOOD, labels=np.arange(7)), "one for each of the 60 images"),
    "labels that are floats": (saved(images=GOOD, labels=np.linspace(0, 1, COUNT)), "float64"),
    "several labels an image": (saved(images=GOOD, labels=np.ones((COUNT, 2), int)), "[60, 2]"),
    "a class of one image": (saved(images=GOOD, labels=[1] * 59 + [2]), "one image of 2"),
    "one image": (saved(images=GOOD[:1]), "found 1"),
    "a side without images": (saved(images=GOOD, split=["train"] * COUNT), "both sides"),
    "a side of one image": (
        saved(images=GOOD, split=["train"] * (COUNT - 1) + ["test"]),
        "at least 8 images on each side",
    ),
    "an unknown side": (saved(images=GOOD, split=["train"] * 59 + ["later"]), "'later'"),
    "ambiguous channels": (saved(images=np.zeros((50, 3, 5, 4), np.uint8)), "declare CxHxW"),
    "five channels": (saved(images=np.zeros((50, 5, 8, 8), np.uint8)), "no 1 to 4 channels"),
    "bytes of 0 and 1": (saved(images=(GOOD > 99).astype(np.uint8)), "0 and 1 alone"),
    "a single number": (saved(images=np.float32(0.5)), "a single number"),
    "flipped bytes": (flipped, "a whole .npz file"),
    "more announced than there is": (announced, "128 bytes cannot hold"),
    "a declared size beyond any": (lambda root: Path(f"{npz(root, GOOD, labels())}::99999x99999"), "99,999 x 99,999"),
    "permuted tensors": (permuted, "in their order"),
    "a broken row": (broken_row, "hf.parquet: row 1'"),
    "a broken row of a shard": (broken_row_of_a_shard, "test-1.parquet: row 2'"),
    "bytes of another shape than declared": (
        lambda root: Path(f"{lists(root, GOOD, labels())}::9x9"),
        "the declared shape 9x9",
    ),
}


def test_lists_that_are_no_arrays_are_refused_beside_all_else() -> None:
    with pytest.raises(InputError) as error:
        Dataset.from_arrays([[0.1, 0.2], [0.3]], [b"\xff", b"a"])
    assert [problem.field.partition(": ")[2] for problem in error.value.problems] == ["images", "labels"]


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_data_set_is_refused_with_what_was_found(case: str, tmp_path: Path) -> None:
    written, said = BAD[case]
    with pytest.raises(InputError) as error:
        Dataset.from_file(written(tmp_path))
    assert said in str(error.value) and str(tmp_path) in str(error.value)
    assert str(error.value).count("problem") == 1  # none within another


def test_broken_pictures_are_left_out_and_named_where_that_is_asked_for(tmp_path: Path) -> None:
    found = Dataset.from_file(broken_picture(tmp_path), skip_broken=True)
    assert found.spec.train_count + found.spec.held_out_count == COUNT - 1
    assert [Path(name).name for name in found.skipped] == ["001.PNG"]
    assert found.spec.source.endswith("photos, 1 broken left out")


@pytest.mark.parametrize("name", ["my images", "a#b", "größe", "x'y"])
def test_paths_may_have_any_name(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    npz(tmp_path, pixels(), labels()).rename(tmp_path / name / "größe #1.npz")
    assert Dataset.from_file(tmp_path / name / "größe #1.npz").name == Dataset.from_arrays(pixels(), labels()).name


@pytest.mark.parametrize(
    ("written", "row"), [(broken_row, "hf.parquet: row 1"), (broken_row_of_a_shard, "test-1.parquet: row 2")]
)
def test_broken_rows_of_tables_are_left_out_and_named_where_that_is_asked_for(
    written: Callable[[Path], Path], row: str, tmp_path: Path
) -> None:
    """What is left is the data set that it is without that row, whose class and side go with it."""
    x, y, broken = pixels(), labels(), 1 if written is broken_row else 42
    sides = None if written is broken_row else np.arange(COUNT) >= 40
    rest = np.arange(COUNT) != broken
    found = Dataset.from_file(written(tmp_path), skip_broken=True)
    assert found.name == Dataset.from_arrays(x[rest], y[rest], None if sides is None else sides[rest]).name
    (skipped,) = found.skipped
    assert skipped.endswith(row) and skipped.startswith(str(tmp_path))


@pytest.mark.parametrize("written", [lists, tensors])
def test_a_declared_shape_says_how_bytes_of_a_table_lie(
    written: Callable[[Path, Any, Any], Path], tmp_path: Path
) -> None:
    """3 x 5 x 4 may be channels first or last: which, only a declaration can say."""
    x = np.random.default_rng(0).integers(0, 256, (COUNT, 3, 5, 4), dtype=np.uint8)
    place = written(tmp_path, x, labels())
    with pytest.raises(InputError, match="declare CxHxW"):
        Dataset.from_file(place)
    for shape in ((3, 5, 4), (4, 3, 5)):
        found = Dataset.from_file(f"{place}::{'x'.join(map(str, shape))}")
        assert (found.spec.channels, *found.spec.image_shape) == shape
        assert found.name == Dataset.from_arrays(x, labels(), shape=shape).name
