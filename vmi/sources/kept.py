"""Data sets of the user's own beside the results: written once, read by every worker, mapped into memory."""

from __future__ import annotations

import contextlib
import io
import json
from typing import Any

import numpy as np

from vmi.sources.arrays import Array
from vmi.sources.dataset import Dataset, fingerprint
from vmi.spec.datasets import DatasetSpec, place_of, register, spec_from_json, spec_of, spec_to_json
from vmi.spec.errors import StoreError
from vmi.storage.durable import LOCAL, Files, put_new
from vmi.storage.paths import AnyPath, local, path_of

FOLDER, SPEC = ".data", "spec.json"


def keep(dataset: Dataset, root: AnyPath, files: Files = LOCAL) -> AnyPath:
    """Put the data set where all workers find it, once; this process knows its place from here on."""
    folder = root / FOLDER / dataset.name
    if not (folder / SPEC).exists():
        for part, pair in (("train", dataset.train), ("held_out", dataset.held_out)):
            for name, array in zip(("pixels", "labels"), pair, strict=True):
                put_new(folder, f"{part}_{name}.npy", _bytes(array), files)
        text = json.dumps({**spec_to_json(dataset.spec), "class_names": list(dataset.classes)}, indent=2)
        put_new(folder, SPEC, text.encode(), files)
    register(dataset.spec, str(folder))
    return folder


def load(name: str) -> Dataset:
    """The kept data set of a name whose place this process knows; of a folder its pixels are mapped, not read.

    Raises StoreError where a file is missing, cut short or not what it was.
    """
    spec, folder = spec_of(name), path_of(place_of(name))
    parts = {}
    for part in ("train", "held_out"):
        parts[part] = (_array(folder, f"{part}_pixels.npy"), _array(folder, f"{part}_labels.npy"))
    shape = (spec.channels, *spec.image_shape)
    found = fingerprint(shape, spec.levels, spec.classes, parts["train"], parts["held_out"])
    if found != spec.fingerprint:
        raise StoreError(f"{folder}: its content is {found}, not {spec.fingerprint}: a file was changed")
    return Dataset(spec, parts["train"], parts["held_out"], class_names(name))


def class_names(name: str) -> tuple[str, ...]:
    """The names of its classes, in their order, of a data set whose place this process knows; of others none."""
    if not place_of(name):
        return ()
    return tuple(_described(path_of(place_of(name)))["class_names"])


def register_kept(root: AnyPath) -> None:
    """Make known what is kept beside these results.

    What cannot be read is not known then, and who needs it says so: it may be of another study, or of somebody else.
    """
    folder = root / FOLDER
    entries: list[AnyPath] = []
    with contextlib.suppress(PermissionError):
        entries += folder.iterdir() if folder.is_dir() else ()
    for entry in entries:
        with contextlib.suppress(PermissionError, StoreError):
            if entry.name.startswith("data-") and (entry / SPEC).is_file():
                register(kept_spec(entry), str(entry))


def damaged(root: AnyPath) -> dict[AnyPath, str]:
    """What is kept beside these results and is not what it was: the folder of each data set, with what is wrong."""
    found = {}
    folder = root / FOLDER
    for entry in folder.iterdir() if folder.is_dir() else ():
        if not (entry / SPEC).exists():  # not whole yet: the next run keeps it
            continue
        try:
            spec = kept_spec(entry)
            register(spec, str(entry))
            if spec.name != entry.name:
                raise StoreError(f"{entry / SPEC}: describes {spec.name}")
            load(spec.name)
        except StoreError as error:
            found[entry] = str(error)
        except (ConnectionError, TimeoutError):  # a store that stays away is not damaged
            raise
        except (OSError, ValueError, KeyError, TypeError) as error:
            found[entry] = f"{entry / SPEC}: {error}"
    return found


def kept_spec(folder: AnyPath) -> DatasetSpec:
    """What is kept in a folder. Raises StoreError naming a damaged description."""
    try:
        return spec_from_json(_described(folder))
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(folder, error) from error


def _described(folder: AnyPath) -> dict[str, Any]:
    try:
        found = json.loads((folder / SPEC).read_text(encoding="utf-8"))
        return {**found, "class_names": [*found["class_names"]]}
    except (ConnectionError, TimeoutError):
        raise
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(folder, error) from error


def _damaged(folder: AnyPath, error: Exception) -> StoreError:
    why = f"it has no {error}" if isinstance(error, KeyError) else error
    return StoreError(f"{folder / SPEC}: damaged, kept as it is: {why}")


def _array(folder: AnyPath, name: str) -> Array:
    path = folder / name
    try:
        here = local(path)
        if here is None:
            return np.asarray(np.load(io.BytesIO(path.read_bytes()), allow_pickle=False))
        return np.asarray(np.load(here, mmap_mode="c", allow_pickle=False))
    except (ConnectionError, TimeoutError):
        raise
    except (OSError, ValueError, EOFError) as error:
        raise StoreError(f"{path}: {error}") from error


def _bytes(array: Array) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()
