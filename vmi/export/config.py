"""What config.json of an exported model holds: enough to build its layers, and what it is of."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch

from vmi.data.dataset import Dataset
from vmi.spec.datasets import spec_of
from vmi.spec.trial import Row
from vmi.training.accuracy import contingency, majority_map
from vmi.training.evaluation import training_categories
from vmi.training.pack import Pack

FORMAT = 1


def config_of(
    pack: Pack, row: Row, category_classes: Mapping[str, Any] | None, class_names: Sequence[str] = ()
) -> dict[str, Any]:
    """Of the only member of this pack, whose stored row is given; `category_classes` as of the function of this name.

    `class_names` are those of the data set's classes, in their order, where they have names.
    """
    (trial,) = pack.trials
    spec = spec_of(trial.config.dataset)
    kinds = {True: "categorical", False: "normal"}
    return {
        "format": FORMAT,
        "study": row["study"],
        "trial_id": trial.trial_id,
        "layout": str(pack.layout),
        "blocks": [{"name": b.name, "kind": kinds[b.is_categorical], "size": b.size} for b in pack.layout.blocks],
        "network": {"kind": trial.config.network, "hidden": list(pack.architecture.widths)},
        "data": {
            "name": spec.name,
            "source": spec.source,
            "shape": list(spec.shape),
            "training_images": spec.train_count,
            "held_out_images": spec.held_out_count,
            "classes": spec.classes,
            "class_names": list(class_names),
            "fingerprint": spec.fingerprint,
        },
        "category_classes": None if category_classes is None else dict(category_classes),
        "trial": asdict(trial.config),
        "versions": json.loads(row["versions"]),
    }


@torch.no_grad()
def category_classes(pack: Pack, data: Dataset) -> dict[str, Any] | None:
    """The majority class, on the training split, of each category of the primary categorical block: as evaluation has.

    -1 for a category that no training image was given; None where there is no such block, or no labels.
    """
    block = pack.layout.primary("c")
    if block is None or not data.spec.is_labelled:
        return None
    pack.train_mode(False)
    categories_KN = training_categories(pack, data, pack.layout.blocks.index(block))
    pack.train_mode(True)
    labels_N = data.train.labels_N.cpu().numpy()
    counts_CY = contingency(categories_KN[0], labels_N, block.size, data.spec.classes)
    return {"block": block.name, "classes": majority_map(counts_CY).tolist()}


def needs_images(pack: Pack) -> bool:
    """Whether `category_classes` looks at the images."""
    return pack.layout.primary("c") is not None and spec_of(pack.architecture.dataset).is_labelled
