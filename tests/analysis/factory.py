"""Synthetic stores like real ones: rows that obey the identities of the MI card, through the real schema."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from vmi.in_flight.checkpoints import Checkpoints
from vmi.in_flight.live import encoded
from vmi.results import parts
from vmi.results.schema import schema_of
from vmi.results.store import Store
from vmi.spec import layout as latents
from vmi.spec.arrays import HISTOGRAM_BINS, layout_shapes
from vmi.spec.config import FIELD_TYPES, TrialConfig
from vmi.spec.errors import InputError
from vmi.spec.trial import Trial
from vmi.storage.checksum import sealed

BASE: Mapping[str, Any] = {
    "dataset": "digits", "layout": "n16+c10*", "preset": "custom", "network": "mlp", "hidden": "128-64",
    "likelihood": "gaussian", "likelihood_variance": 0.04,
    "mi_weight": 4.0, "entropy_weight": 1.0, "kl_weight": 1.0,
    "temperature": 0.5, "temperature_final": 0.5, "learning_rate": 3e-3, "batch_size": 128, "steps": 300,
}  # fmt: skip


def choice(*values: Any) -> dict[str, Any]:
    return {"kind": "choice", "values": list(values)}


LAMBDA_SPACE = {"mi_weight": choice(0, 1, 2, 4, 8), "entropy_weight": choice(0, 1)}


def grid(space: Mapping[str, Any], seeds: Iterable[int]) -> list[dict[str, Any]]:
    points = itertools.product(*(spec["values"] for spec in space.values()))
    return [dict(zip(space, point, strict=True)) | {"seed": s} for point in points for s in seeds]


def trial(
    study: str = "lambda", *, outcome: str = "completed", reason: str | None = None, **given: Any
) -> dict[str, Any]:
    """One row of `trials`; with its metrics when completed."""
    config = dict(BASE) | {"seed": 0} | given
    for name in ("mi_weight", "entropy_weight", "temperature", "learning_rate", "kl_weight"):
        config[name] = float(config[name])
    suggestion = _digest({k: v for k, v in config.items() if k != "seed"})
    row = config | {
        "study": study, "trial_id": _digest(config), "suggestion_id": suggestion,
        "outcome": outcome, "reason": reason, "step": config["steps"],
        "train_seconds": 3.2, "pack_id": suggestion[:8], "pack_size": 10, "attempt": 1,
        "device": "cpu", "versions": "python 3.11, torch 2.11", "data_fingerprint": "ab" * 32,
        "finished_at": datetime(2026, 3, 1, 12, 0, config["seed"] % 60, tzinfo=UTC),
    }  # fmt: skip
    return row | metrics(config) if outcome == "completed" else row


def metrics(config: Mapping[str, Any]) -> dict[str, Any]:
    """Metrics as of a trial: the code collapses for eta = 0 and lambda >= 4, and is learnt for eta = 1."""
    rng = np.random.default_rng(int(_digest(config), 16) % 2**32)
    layout = latents.parse(config["layout"])
    strength = 1 - math.exp(-config["mi_weight"] / 2)
    collapsed = config["entropy_weight"] == 0 and config["mi_weight"] >= 4
    out: dict[str, Any] = {}
    for block in layout.blocks:
        made = _categorical(block, strength, collapsed, rng) if block.is_categorical else _normal(block, rng)
        out |= {f"{k}_{block.name}_nats": v for k, v in made.items()}
    out["rate_nats"] = sum(out[f"rate_{b.name}_nats"] for b in layout.blocks)
    out["distortion_nats"] = 58 + 3 * strength + 6 * collapsed + rng.normal() * 0.5
    out["elbo_nats"] = -out["rate_nats"] - out["distortion_nats"]
    return out | _unsuffixed(layout, out, strength, collapsed, rng)


def _categorical(block: latents.Block, strength: float, collapsed: bool, rng: np.random.Generator) -> dict[str, float]:
    cap = block.max_entropy_nats
    entropy = 0.05 if collapsed else cap - 0.03 - 0.02 * rng.random()
    encoder = 0.01 if collapsed else min(entropy, 0.35 * cap + 0.6 * cap * strength * (1 - 0.03 * rng.random()))
    return {
        "rate": encoder + cap - entropy, "mi_encoder": encoder, "category_entropy": entropy,
        "mi_real_bound": encoder - 0.05 - 0.05 * rng.random(),
        "mi_decoder_bound": 0.02 if collapsed else encoder * 0.97,
        "mi_paper": cap - 0.02 if collapsed else encoder * 0.95,
    }  # fmt: skip


def _normal(block: latents.Block, rng: np.random.Generator) -> dict[str, float]:
    lower = 5.0 + 0.2 * rng.random()
    return {
        "rate": 15 + rng.normal() * 0.4, "mi_encoder_lower": lower, "mi_encoder_upper": lower + 2.0,
        "mi_decoder_bound": 4.1, "mi_paper": 3.9,
    }  # fmt: skip


def _unsuffixed(
    layout: latents.Layout,
    out: Mapping[str, float],
    strength: float,
    collapsed: bool,
    rng: np.random.Generator,
) -> dict[str, Any]:
    made: dict[str, Any] = {}
    c, n = layout.primary("c"), layout.primary("n")
    if n is not None:
        made |= {f"mi_encoder_{side}_nats": out[f"mi_encoder_{side}_{n.name}_nats"] for side in ("lower", "upper")}
    if c is None:
        return made
    names = ("mi_encoder", "mi_decoder_bound", "mi_real_bound", "mi_paper", "category_entropy")
    made |= {f"{name}_nats": out[f"{name}_{c.name}_nats"] for name in names}
    accuracy = 0.13 if collapsed else 0.32 + 0.42 * strength + rng.normal() * 0.03
    return made | {
        "accuracy_majority": accuracy, "accuracy_hungarian": accuracy - 0.02,
        "accuracy_train": accuracy + 0.02,
        "nmi": accuracy - 0.05, "ari": accuracy - 0.15, "accuracy_kmeans": 0.785,
        "categories_used": 1 if collapsed else c.size,
    }  # fmt: skip


def arrays(row: Mapping[str, Any]) -> dict[str, Any]:
    """Assignment counts that agree with the accuracy, histograms, and traversals of drifting blobs."""
    rng = np.random.default_rng(int(row["trial_id"], 16) % 2**32)
    out: dict[str, Any] = {"study": row["study"], "trial_id": row["trial_id"], "attempt": row["attempt"]}
    for name, shape in layout_shapes(latents.parse(row["layout"]), row["dataset"]).items():
        out[name] = _array(name, shape, row, rng)
    return out


def _array(name: str, shape: tuple[int, ...], row: Mapping[str, Any], rng: np.random.Generator) -> np.ndarray:
    if name.startswith("assignments"):
        if row["categories_used"] == 1:
            counts = np.zeros(shape, np.int32)
            counts[3] = 36
            return counts
        share = np.full(shape, (1 - row["accuracy_majority"]) / shape[0])
        for k, j in enumerate(rng.permutation(shape[0])):
            share[j, k % shape[1]] += row["accuracy_majority"]
        return rng.poisson(36 * share).astype(np.int32)
    if name.startswith("probabilities"):
        return rng.integers(0, 300, shape).astype(np.int32)
    *places, height, width = shape
    y, x = np.mgrid[:height, :width] / height
    i, j = np.indices((places[0], math.prod(places[1:])))[..., None, None]
    blob = np.exp(-((x - 0.2 - 0.06 * (j % 10)) ** 2 + (y - 0.25 - 0.07 * i) ** 2) / 0.04)
    return (255 * blob).astype(np.uint8).reshape(shape)


def curves(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    head = {"study": row["study"], "trial_id": row["trial_id"], "attempt": row["attempt"]}
    made = [
        {
            "step": s,
            "loss_nats": 90 - s / 10,
            "distortion_nats": 80 - s / 10,
            "rate_nats": s / 20,
            "elbo_nats": s / 20 - 80,
        }
        for s in (100, 200, 300)
    ]
    return [head | report | _block_curves(row, report["step"]) for report in made]


def _block_curves(row: Mapping[str, Any], step: int) -> dict[str, Any]:
    """A code that grows surer with the steps."""
    made: dict[str, Any] = {}
    blocks = latents.parse(row["layout"]).blocks if _is_layout(row["layout"]) else ()
    for block in (b for b in blocks if b.is_categorical):
        reached = block.max_entropy_nats * (1 - math.exp(-step / 100))
        made |= {f"{name}_{block.name}_nats": reached for name in ("rate", "mi_paper", "code_entropy")}
        made[f"probabilities_{block.name}"] = [step] + [10] * (HISTOGRAM_BINS - 2) + [step]
    return made


def store(
    root: Path, rows: Sequence[Mapping[str, Any]], *,
    name: str = "lambda", space: Mapping[str, Any] = LAMBDA_SPACE,
    with_arrays: bool = True, **spec: Any,
) -> Path:  # fmt: skip
    """Write a study's folder with these rows, in parts of at most ten."""
    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    write_spec(folder, name, space, rows, spec)
    for at in range(0, len(rows), 10):
        some = rows[at : at + 10]
        done = [row for row in some if row["outcome"] == "completed" and _is_layout(row["layout"])]
        publish(folder, "trials", some)
        publish(folder, "curves", [report for row in done for report in curves(row)])
        publish(folder, "arrays", [arrays(row) for row in done] if with_arrays else [])
    return folder


def write_spec(
    folder: Path, name: str, space: Mapping[str, Any], rows: Sequence[Any], given: Mapping[str, Any]
) -> None:
    spec = {
        "vmi_study_version": 1, "name": name, "fixed": {"dataset": "digits", "layout": "n16+c10*"},
        "space": space, "seeds": sorted({row["seed"] for row in rows}),
        "metric": "accuracy_majority", "direction": "maximize",
        "searcher": "grid", "suggestions": None, "planned": len(rows),
    }  # fmt: skip
    (folder / "study.json").write_bytes(sealed(spec | dict(given)))


def publish(folder: Path, table: str, rows: Sequence[Mapping[str, Any]]) -> Path | None:
    """One part with these rows, as a pack's recorder would publish it."""
    if not rows:
        return None
    schema = schema_of(table, _layouts(rows), "digits")
    (folder / table).mkdir(exist_ok=True)
    return parts.publish(folder / table, pa.table([_column(rows, f) for f in schema], schema=schema))


def _layouts(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    named = sorted({row["layout"] for row in rows if "layout" in row})
    if named:
        return [text for text in named if _is_layout(text)] or [BASE["layout"]]
    # Curves and arrays name no layout: their blocks are read off their columns.
    arrays_of_a_block = ("traversal", "assignments", "probabilities")
    of_row = [{key.split("_", 1)[1] for key in row if key.split("_")[0] in arrays_of_a_block} for row in rows]
    # "c10_2" is a second c10.
    return sorted({"+".join(block.split("_")[0] for block in sorted(blocks)) for blocks in of_row if blocks})


def _is_layout(text: str) -> bool:
    try:
        return bool(latents.parse(text))
    except InputError:
        return False


def _column(rows: Sequence[Mapping[str, Any]], field: pa.Field) -> pa.Array:
    values = [row.get(field.name) for row in rows]
    if not isinstance(field.type, pa.FixedShapeTensorType):
        return pa.array(values, field.type)
    if any(v is None for v in values):
        flat = [None if v is None else v.ravel() for v in values]
        return pa.ExtensionArray.from_storage(field.type, pa.array(flat, field.type.storage_type))
    return pa.FixedShapeTensorArray.from_numpy_ndarray(np.stack(values)).cast(field.type)


def live(folder: Path, rows: Sequence[Mapping[str, Any]], step: int, pack_id: str = "live") -> None:
    """Leave these trials under way at a step, in one pack with the reports up to there, as its worker would."""
    configs = [TrialConfig(**{name: row[name] for name in FIELD_TYPES if name in row}) for row in rows]
    trials = [Trial(r["trial_id"], r["suggestion_id"], c) for r, c in zip(rows, configs, strict=True)]
    reports = [report for row in rows for report in curves(row) if report["step"] <= step]
    schema = schema_of("curves", _layouts(rows), "digits")
    table = pa.table([_column(reports, f) for f in schema], schema=schema)
    standing = dict.fromkeys((trial.trial_id for trial in trials), step)
    store = Store(folder.parent, folder.name)
    Checkpoints(store, pack_id).write_live(encoded(pack_id, 1, configs[0].steps, standing, trials, table))


def lambda_rows(seeds: Iterable[int] = range(5)) -> list[dict[str, Any]]:
    return [trial(**point) for point in grid(LAMBDA_SPACE, seeds)]


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
