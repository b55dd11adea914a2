"""An account as tables for the terminal: one row per quantity, with its unit and both of its intervals."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from vmi.estimation.evaluate import Account
from vmi.information.bootstrap import Estimate
from vmi.spec.layout import parse
from vmi.spec.metrics import METRICS


def account_table(account: Account) -> Iterator[RenderableType]:
    """Heading, MI card, accuracies where there is a categorical block, and how to read them."""
    heading = f"{account.model}; {account.images} held-out images of {account.dataset}, {account.seeds} seeds of Q"
    yield Text(heading)
    table = Table("quantity", "unit", box=None, pad_edge=False)
    for name in ("value", "95 % over images", "95 % over Q's seeds"):
        table.add_column(name, justify="right")
    for name, found in account.estimates.items():
        if not _is_alias(name, account):
            over_seeds = _interval(found.seeds_low, found.seeds_high)
            table.add_row(name, "nats/image", _value(found), _interval(found.low, found.high), over_seeds)
    yield table
    if account.accuracies:
        accuracies = Table("of the categorical code", "unit", box=None, pad_edge=False)
        accuracies.add_column("value", justify="right")
        for name in (name for name in METRICS if name in account.accuracies):
            accuracies.add_row(name, METRICS[name].unit, f"{account.accuracies[name]:.3g}")
        yield accuracies
    if any(found.at_cap for found in account.estimates.values()):
        yield Text("* at its cap: ln C is all that C categories can carry, ln N all that N images can show")
    yield Text("mi_decoder_bound speaks of I(code; x_hat), not of I_q; mi_paper does not fall when the code collapses")


def _is_alias(name: str, account: Account) -> bool:
    """A primary block's quantity without a block's name: it is there under the block's name as well."""
    blocks = parse(account.layout).blocks
    return name != "rate_nats" and not any(name.endswith(f"_{block.name}_nats") for block in blocks)


def _value(found: Estimate) -> str:
    return f"{found.value:.3f}{'*' if found.at_cap else ' '}"


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"{low:.3f} to {high:.3f}"
