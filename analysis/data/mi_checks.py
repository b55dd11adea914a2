"""What must hold in a trial's account of mutual information, and when a high bound is a collapsed code.

All in nats. For a categorical block c of K values, with m = E_x q(c|x):
    I_q(x;c) = H(m) - E H(q(c|x)),   rate_c = I_q(x;c) + KL(m || uniform)
so real-image bound, view bound <= I_q <= rate_c, and 0 <= I_q <= H(m) <= ln K. For a Normal block: lower <= upper bound
of I_q(x;z), and lower <= rate. A decoder-side bound speaks of I(code; x_hat), another quantity: no order is
asserted of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Literal, NamedTuple

from analysis.data.settings import Interval, Setting, interval
from vmi.spec import layout as latents
from vmi.spec.datasets import find
from vmi.spec.errors import InputError
from vmi.spec.trial import Row

# Metrics are sums of float32 terms over the evaluation set; differences below this are rounding.
TOLERANCE_NATS = 1e-3
# The bounds of a Normal block come from one draw per image, whose terms vary by about a nat per dimension; against the
# rate, which is exact, they are judged at four standard errors of their mean.
STANDARD_ERRORS = 4.0
SANDWICH_IMAGES = 4096
# A paper bound this near to its cap ln K is one that a reader would take for success.
NEAR_CAP_NATS = 0.3
# A category counts as used from a hundredth of the images on: of more categories not every one can have as many.
MAX_TOLD_IDLE = 100

Verdict = Literal["", "collapse", "categories lost"]


class Violation(NamedTuple):
    """A trial in which `what` fails for a block, by `excess_nats`; `value_nats` is the quantity at fault."""

    trial_id: str
    block: str
    what: str
    excess_nats: float
    value_nats: float


def violations(rows: Iterable[Row]) -> tuple[Violation, ...]:
    """Every violation in these trials; absent quantities are not judged."""
    return tuple(found for row in rows for found in _of_row(row))


def verdict(setting: Setting) -> Verdict:
    """Whether the paper's bound of the primary categorical block looks like success and is none.

    "collapse": bound within NEAR_CAP_NATS of ln K while I_q(x;c) < ln K / 2, by means over seeds.
    "categories lost": as high a bound while some seed leaves a category unused (see `idle`). Else "".
    """
    block = primary(setting.rows[0], "c") if setting.rows else None
    if block is None:
        return ""
    # By the block's own name: without one, the bound may be that of an informed Normal block.
    paper, encoder = setting.mean(f"mi_paper_{block.name}_nats"), setting.mean(f"mi_encoder_{block.name}_nats")
    if paper is None or paper < block.max_entropy_nats - NEAR_CAP_NATS:
        return ""
    if encoder is not None and encoder < block.max_entropy_nats / 2:
        return "collapse"
    return "categories lost" if idle(setting) else ""


def idle(setting: Setting) -> bool | None:
    """Whether some seed leaves a category of the primary block unused; None where the count cannot tell."""
    block, used = primary(setting.rows[0], "c"), setting.values("categories_used")
    if block is None or not used or block.size > MAX_TOLD_IDLE:
        return None
    return min(used) < block.size


def counted(block: latents.Block) -> str:
    """What the categories are called that `categories_used` counts."""
    return "used" if block.size <= MAX_TOLD_IDLE else "with 1 % of the images"


def primary(row: Row, kind: str) -> latents.Block | None:
    """The block that a trial's un-suffixed metrics speak of; None when its layout has none of the kind."""
    layout = layout_of(row)
    return layout.primary(kind) if layout else None


def layout_of(row: Row) -> latents.Layout | None:
    """The trial's layout; None when the stored text is not one."""
    try:
        return latents.parse(row.get("layout") or "")
    except InputError:
        return None


def _of_row(row: Row) -> Iterator[Violation]:
    layout = layout_of(row)
    for block in layout.blocks if layout else ():
        check = _categorical if block.is_categorical else _normal
        yield from check(row, block)


def _categorical(row: Row, block: latents.Block) -> Iterator[Violation]:
    encoder, entropy = (row.get(f"{q}_{block.name}_nats") for q in ("mi_encoder", "category_entropy"))
    view = row.get(f"mi_view_{block.name}_nats")
    real, rate = (row.get(f"{q}_{block.name}_nats") for q in ("mi_real_bound", "rate"))
    symbol, cap = f"I_q(x;{block.name})", block.max_entropy_nats
    yield from _at_most(row, block, real, encoder, f"real-image bound of {block.name} ≤ {symbol}")
    yield from _at_most(row, block, view, encoder, f"view bound of {block.name} ≤ {symbol}")
    yield from _at_most(row, block, encoder, rate, f"{symbol} ≤ rate of {block.name}")
    yield from _at_most(row, block, encoder, entropy, f"{symbol} ≤ H(m) of {block.name}")
    yield from _at_most(row, block, encoder, cap, f"{symbol} ≤ ln {block.size}")
    yield from _at_most(row, block, entropy, cap, f"H(m) of {block.name} ≤ ln {block.size}")
    if encoder is not None and -encoder > TOLERANCE_NATS:
        yield Violation(row["trial_id"], block.name, f"0 ≤ {symbol}", -encoder, encoder)


def _normal(row: Row, block: latents.Block) -> Iterator[Violation]:
    lower, upper, rate = (row.get(f"{q}_{block.name}_nats") for q in ("mi_encoder_lower", "mi_encoder_upper", "rate"))
    symbol, spec = f"I_q(x;{block.name})", find(row.get("dataset"))
    images = min(spec.held_out_count, SANDWICH_IMAGES) if spec else 1
    # From the same draws, each image's upper term is at least its lower one less ln N - ln(N - 1), about 1/N.
    same_draws, sampled = TOLERANCE_NATS + 1 / images, STANDARD_ERRORS * math.sqrt(block.size / images)
    yield from _at_most(row, block, lower, upper, f"lower ≤ upper bound of {symbol}", same_draws)
    yield from _at_most(row, block, lower, rate, f"lower bound of {symbol} ≤ rate of {block.name}", sampled)


def _at_most(
    row: Row,
    block: latents.Block,
    value: float | None,
    cap: float | None,
    what: str,
    tolerance: float = TOLERANCE_NATS,
) -> Iterator[Violation]:
    if value is not None and cap is not None and value - cap > tolerance:
        yield Violation(row["trial_id"], block.name, what, value - cap, value)


Measure = Callable[[Setting], Interval | None]


def block_rate(setting: Setting, kind: str) -> Interval | None:
    """Rate of the primary block of a kind, whatever its name."""
    return of_block("rate", kind)(setting)


def _block_value(row: Row, quantity: str, kind: str) -> float | None:
    block = primary(row, kind)
    return row.get(f"{quantity}_{block.name}_nats") if block else None


def of_block(quantity: str, kind: str) -> Measure:
    """The quantity of the primary block of a kind, by the block's own name."""
    return lambda s: interval(v for row in s.rows if (v := _block_value(row, quantity, kind)) is not None)
