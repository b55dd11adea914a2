"""The table of blocks: what every block of a layout costs and carries, not the primary one of each kind alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from analysis.data import labels
from analysis.data.axes import Design
from analysis.data.mi_checks import layout_of, primary
from analysis.data.settings import Setting
from analysis.html.cells import Cell, Head
from analysis.html.explorer import Line, explorer
from analysis.html.markup import Markup
from vmi.spec.layout import Block

MAX_ROWS = 500
QUANTITIES = (
    "rate", "mi_encoder", "mi_encoder_lower", "mi_encoder_upper", "mi_real_bound", "mi_view", "mi_decoder_bound",
    "mi_paper", "category_entropy",
)  # fmt: skip


def of_settings(plan: Design) -> Markup | None:
    """One row per setting and block; None where the table of settings says it all: one block of a kind at most."""
    if not any(_has_more(setting) for setting in plan.settings):
        return None
    pairs = [(setting, block) for setting in plan.settings for block in _blocks(setting)]
    shown = [q for q in QUANTITIES if any(s.values(_column(q, block)) for s, block in pairs)]
    names = [name for name, _ in plan.settings[0].params]
    heads = [*(Head(labels.symbol(n), n) for n in names), Head("block", "block"), Head("informed", "informed")]
    heads += [Head("n", "seeds"), *map(_head, shown)]
    lines = [Line("", list(_cells(s, block, shown))) for s, block in pairs[:MAX_ROWS]]
    caption = "Blocks: mean ± half of the 95 % interval over n seeds, in nats. A second block of one kind and size in "
    caption += "a layout is called by its place among them: n4, then n4_2. An informed block’s MI is maximised."
    if len(pairs) > MAX_ROWS:
        caption += f" The first {MAX_ROWS:,} of {len(pairs):,} rows; all are in the Parquet files."
    return explorer("blocks", heads, lines, caption, len(names) + 2)


def _has_more(setting: Setting) -> bool:
    return any(block != primary(setting.rows[0], block.kind) for block in _blocks(setting))


def _blocks(setting: Setting) -> Sequence[Block]:
    layout = layout_of(setting.rows[0])
    return layout.blocks if layout else ()


def _cells(setting: Setting, block: Block, shown: Sequence[str]) -> Iterator[Cell]:
    yield from (value for _, value in setting.params)
    yield from (block.name, "yes" if block.informed else "no", len(setting.rows))
    yield from (setting.interval(_column(quantity, block)) for quantity in shown)


def _column(quantity: str, block: Block) -> str:
    return f"{quantity}_{block.name}_nats"


def _head(quantity: str) -> Head:
    # The rate of a block is not that of all blocks, which has this name in other tables.
    name = f"{quantity}_nats"
    return Head("rate" if quantity == "rate" else labels.metric(name).short, f"block_{name}", 2)
