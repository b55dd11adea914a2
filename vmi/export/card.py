"""README.md of an exported model, its model card: data, training, MI account, accuracy, versions, how to use it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from vmi.spec.config import FIELDS
from vmi.spec.layout import parse
from vmi.spec.metrics import METRICS
from vmi.spec.trial import Row

# Metrics of the code as a classifier; all others are the MI account's.
_OF_CLASSES = ("accuracy", "nmi", "ari", "categories_used", "majority_class_share")


def card(config: Mapping[str, Any], row: Row, onnx: bool) -> str:
    """Of a model with this config.json and this stored row; `onnx`: whether encoder.onnx and decoder.onnx are there."""
    sections = (_head(config), _use(config, onnx), _data(config), _training(config), _measured(config, row))
    return "\n".join(line for section in sections for line in section) + "\n"


def _head(config: Mapping[str, Any]) -> Iterator[str]:
    yield f"# Trial {config['trial_id']} of study {config['study']}"
    yield ""
    yield (
        f"A variational autoencoder with latent layout `{config['layout']}`, trained on {config['data']['name']} "
        "by vmi-sweeps and exported as plain torch layers."
    )


def _use(config: Mapping[str, Any], onnx: bool) -> Iterator[str]:
    shape = " x ".join(map(str, config["data"]["shape"]))
    yield from (
        "",
        "## Use",
        "",
        "It needs `torch` and `safetensors`. In this folder:",
        "",
        "```python",
        "import torch",
    )
    yield from ("from model import load", "", "model = load()", "with torch.no_grad():")
    yield "    posterior = model.encode(images)  # by block: Normal(mean, log_variance), or probabilities"
    yield "    rebuilt = model.decode(model.code(images))  # from the most probable codes"
    yield "    new = model.sample(16, torch.Generator().manual_seed(0))  # codes drawn from the prior"
    if config["category_classes"]:
        yield "    classes = model.classify(images)"
    yield from ("```", "")
    yield f"Images are numbers in [0, 1] of shape {shape} (channels, height, width), or flat in this order."
    if config["category_classes"]:
        block = config["category_classes"]["block"]
        yield f"`classify` gives each category of `{block}` the class that most of its training images have (-1: none)."
    else:
        yield "It has no `classify`: there is no categorical block, or no image has a label."
    if onnx:
        yield "`encoder.onnx` gives what `encode` does, block after block; `decoder.onnx` gives what `decode` does."
    if config["trial"]["precision"] != "float32":
        products = f"Trained with products in {config['trial']['precision']}"
        yield f"{products}, it computes in float32 here: numbers differ in the third digit."


def _data(config: Mapping[str, Any]) -> Iterator[str]:
    data = config["data"]
    named = f" ({', '.join(map(str, data['class_names']))})" if data["class_names"] else ""
    rows = {
        "name": data["name"],
        "from": data["source"],
        "training images": data["training_images"],
        "held-out images": data["held_out_images"],
        "classes": f"{data['classes']}{named}",
        "fingerprint": f"`{data['fingerprint']}`",
    }
    yield from ("", "## Data", "", *_table(("data", ""), rows.items()))


def _training(config: Mapping[str, Any]) -> Iterator[str]:
    """Every field of the trial, the seed among them, and the versions that trained it."""
    yield from ("", "## Training", "")
    yield from _table(
        ("field", "value", "meaning"),
        ((f"`{name}`", value, FIELDS[name].meaning) for name, value in config["trial"].items()),
    )
    versions = ", ".join(f"{name} {version}" for name, version in config["versions"].items())
    yield from ("", f"Trained with {versions}.")


def _measured(config: Mapping[str, Any], row: Row) -> Iterator[str]:
    """The stored metrics, held-out unless their meaning says otherwise; a block's own value carries its name."""
    values = {name: row[name] for name in METRICS if row.get(name) is not None}
    own = {name: row[name] for name in row if _of_block(name, config["layout"]) and row[name] is not None}
    account = {name: value for name, value in values.items() if not name.startswith(_OF_CLASSES)} | own
    classes = {name: value for name, value in values.items() if name not in account}
    for title, found in (("Mutual information account", account), ("The categorical code as a classifier", classes)):
        if found:
            yield from ("", f"## {title}", "")
            yield from _table(
                ("quantity", "value", "unit", "meaning"), (_metric(*item, config["layout"]) for item in found.items())
            )


def _of_block(name: str, layout: str) -> str:
    """The name of the block that a stored quantity is of; empty where it is of none."""
    return next((b.name for b in parse(layout).blocks if name.endswith(f"_{b.name}_nats")), "")


def _metric(name: str, value: float, layout: str) -> tuple[object, ...]:
    if name in METRICS:
        return f"`{name}`", f"{value:.4g}", METRICS[name].unit, METRICS[name].meaning
    block = _of_block(name, layout)
    return f"`{name}`", f"{value:.4g}", "nats", f"`{name.removesuffix(f'_{block}_nats')}_nats` of block `{block}`"


def _table(head: Sequence[object], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    for cells in (head, ["---"] * len(head), *rows):
        yield f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in cells)} |"
