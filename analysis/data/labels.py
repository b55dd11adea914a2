"""How parameters, metrics and numbers are written for a reader; and how any text is made inert."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from analysis.data.settings import Interval, Setting
from vmi.results.schema import METRICS
from vmi.spec.config import FIELDS
from vmi.spec.errors import printable


class Name(NamedTuple):
    """A name for a table's head, the name on an axis (with unit), and the number of decimals shown."""

    short: str
    title: str
    decimals: int = 2


NAMES: Mapping[str, Name] = {
    "accuracy_majority": Name("accuracy", "held-out accuracy (majority vote)", 3),
    "accuracy_hungarian": Name("one-to-one", "held-out accuracy (one-to-one map)", 3),
    "accuracy_train": Name("train acc.", "training accuracy (majority vote)", 3),
    "nmi": Name("NMI", "normalised mutual information with the class", 3),
    "ari": Name("ARI", "adjusted Rand index", 3),
    "accuracy_kmeans": Name("k-means", "accuracy of k-means on the pixels", 3),
    "distortion_nats": Name("distortion", "distortion −E log p(x|z,c) (nats per image)"),
    "rate_nats": Name("rate", "rate E KL(q‖p), all blocks (nats per image)"),
    "elbo_nats": Name("ELBO", "ELBO (nats per image)"),
    "mi_encoder_nats": Name("I_q(x;c)", "I_q(x;c) (nats)"),
    "mi_encoder_lower_nats": Name("I_q(x;z) ≥", "lower bound on I_q(x;z) (nats)"),
    "mi_encoder_upper_nats": Name("I_q(x;z) ≤", "upper bound on I_q(x;z) (nats)"),
    "mi_decoder_bound_nats": Name("decoder bound", "lower bound on I(code; x̂) (nats)"),
    "mi_real_bound_nats": Name("real-image bound", "lower bound on I_q(x;c) from real images (nats)"),
    "mi_paper_nats": Name("paper bound", "the paper's bound (nats)"),
    "category_entropy_nats": Name("H(m)", "entropy of the aggregate posterior (nats)"),
    "categories_used": Name("used", "categories used", 1),
}


def symbol(parameter: str) -> str:
    return (FIELDS[parameter].symbol if parameter in FIELDS else "") or parameter


def axis_title(parameter: str) -> str:
    return (FIELDS[parameter].label if parameter in FIELDS else "") or parameter.replace("_", " ")


def metric(name: str) -> Name:
    """The metric's names; a column that is not listed is called by its own name, its unit from the schema."""
    column = METRICS.get(name)
    unit = column.unit if column else "nats" if name.endswith("_nats") else ""
    plain = name.removesuffix("_nats").replace("_", " ")
    return NAMES.get(name, Name(plain, f"{plain} ({unit})" if unit not in ("", "1") else plain))


def value(v: Any) -> str:
    """A parameter's value as text; control characters shown as escapes."""
    if v is None:
        return "–"
    return f"{v:.4g}" if isinstance(v, float) else printable(str(v)).replace("\n", "\\n")


def setting(s: Setting) -> str:
    """A setting's parameters as a phrase, those that it has: "λ = 4, η = 1"."""
    return ", ".join(f"{symbol(n)} = {value(v)}" for n, v in s.params if v is not None) or "the one setting"


def number(x: float | None, decimals: int = 2) -> str:
    """Fixed decimals with a true minus sign; an en dash for None. Tiny or huge numbers go scientific."""
    if x is None or not math.isfinite(x):
        return "–"
    text = f"{x:.{decimals}f}" if abs(x) < 1e6 else f"{x:.3g}"
    return text.replace("-", "−") if float(text) != 0 else text.removeprefix("-")


def plus_minus(i: Interval | None, decimals: int = 2) -> str:
    """ "0.742 ± 0.031"; the mean alone where there is no interval."""
    if i is None:
        return "–"
    half = f" ± {number(i.half_width, decimals)}" if i.half_width is not None else ""
    return number(i.mean, decimals) + half


def from_to(i: Interval, decimals: int = 2) -> str:
    """ "95 % interval 0.711 to 0.773, 5 seeds", or that one seed gives none."""
    if i.low is None:
        return "1 seed, so no interval"
    return f"95 % interval {number(i.low, decimals)} to {number(i.high, decimals)}, {i.count} seeds"


def plural(count: int, noun: str, many: str = "") -> str:
    return f"{count:,} {noun if count == 1 else many or noun + 's'}"


def ordinal(count: int) -> str:
    """ "2nd", "13th"."""
    ends = {1: "st", 2: "nd", 3: "rd"}
    return f"{count}{'th' if 10 < count % 100 < 14 else ends.get(count % 10, 'th')}"


def listed(items: list[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}" if items else ""


def limited(count: int, limit: int, noun: str) -> str:
    """What a caption says of rows that are not shown; empty where all are."""
    return f" The first {limit:,} of {count:,} {noun}; all are in the Parquet files." if count > limit else ""


def plain(text: object) -> str:
    """Text for HTML: markup escaped, control characters shown."""
    return html.escape(printable(str(text)))


def in_plot(text: object) -> str:
    """Text for a Plotly label, which reads a small HTML of its own."""
    return html.escape(printable(str(text)), quote=False)
