"""What differs between the published figures and the presets of a study, as sentences made from its rows.

Accuracies of the training split are compared with the published ones, which are of the training set too; held-out
accuracies with each other alone, paired by seed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from analysis.data import labels
from analysis.data.classes import unlabelled
from analysis.data.mi_checks import counted
from analysis.data.preset_groups import Group
from analysis.data.settings import Interval, paired_gain
from analysis.findings.published import Published, published
from vmi.spec.presets import PRESETS as DEFINED
from vmi.spec.trial import Row

ACCURACY, TRAINING = "accuracy_majority", "accuracy_train"
LOWER, ENCODER = "mi_encoder_lower_nats", "mi_encoder_nats"
# What is compared: what it is called, and its decimals.
COMPARED = {
    ACCURACY: ("held-out accuracy", 3),
    LOWER: ("the lower bound on I_q(x;z)", 2),
    ENCODER: ("I_q(x;c)", 2),
}
NO_CATEGORIES = "the layout has no categorical block"


def sentences(group: Group) -> tuple[str, ...]:
    """What was reached beside what was published, the differences between presets, and what the code does."""
    blind = unlabelled(group.row)
    metric = LOWER if group.block("c") is None else ENCODER if blind else ACCURACY
    if metric == ACCURACY:
        parts = [*_beside_published(group), *_corrected(group)]
    else:
        parts = list(_information(group, metric, "the images have no labels" if blind else NO_CATEGORIES))
    pairs = (("corrected", "paper"), ("paper", "vae"))
    parts += [s for one, other in pairs if (s := difference(group, one, other, metric))]
    return tuple(parts + [s for preset in ("paper", "corrected") if (s := _code(group, preset))])


def conditions(rows: Sequence[Row]) -> str:
    """How the study trained beside how the authors' published code does; empty where it is the same."""
    theirs = DEFINED["authors"]
    network = f"{theirs.sets['network']} {theirs.suggests['hidden']}"
    steps = int(theirs.suggests["steps"])
    own = sorted({f"{row['network']} {row['hidden']}" for row in rows})
    lengths = sorted({row["steps"] for row in rows})
    if own == [network] and lengths == [steps]:
        return ""
    named = labels.listed([labels.value(name) for name in own])
    trained = f"{named} for {labels.listed([f'{count:,}' for count in lengths])} steps"
    return f"This study trained {trained}; the authors’ published code trains {network} for {steps:,}."


def relation(found: Interval, figure: float) -> str:
    """How a mean stands to a published figure, by its interval; without one, by the value alone."""
    text = f"the published {figure:g}"
    if found.low is None or found.high is None:
        if abs(found.mean - figure) < 0.005:
            return f"as {text}, to its two decimals"
        return f"{'below' if found.mean < figure else 'above'} {text}"
    if found.high < figure:
        return f"below {text}"
    return f"above {text}" if found.low > figure else f"with {text} inside its interval"


def difference(group: Group, one: str, other: str, metric: str) -> str:
    """metric(one) - metric(other), paired by seed: above, below or not decided; empty where one is absent."""
    if one not in group.settings or other not in group.settings:
        return ""
    found = paired_gain(group.settings[one], group.settings[other], metric)
    name, decimals = COMPARED[metric]
    if found is None:
        return f"“{one}” and “{other}” share no seed that has {name}."
    size = labels.number(abs(found.mean), decimals)
    if found.mean == 0 and not found.half_width:
        return (
            f"In {name}, “{one}” and “{other}” are equal, {labels.plural(found.count, group.settings[one].replicate)}."
        )
    way = "above" if found.mean > 0 else "below"
    if found.low is None or found.high is None:
        return f"In {name}, “{one}” is {size} {way} “{other}” in the one seed that both have: no interval."
    ends = f"{labels.number(found.low, decimals)} to {labels.number(found.high, decimals)}"
    ends += f", {found.count} {group.settings[one].replicate}s"
    if found.low <= 0 <= found.high:
        return f"In {name}, “{one}” and “{other}” are not told apart: the interval of the difference is {ends}."
    return f"In {name}, “{one}” is {size} {way} “{other}” (95 % interval of the difference {ends})."


def _beside_published(group: Group) -> Iterator[str]:
    figures = [(p, f) for p in ("vae", "paper") if (f := _published(group, p))]
    if not figures:
        yield "No published accuracy of “vae” or “paper” is listed for this data set and layout."
    for preset, figure in figures:
        own = _reached(group, preset, TRAINING)
        if own is None:
            yield f"“{preset}” has no training accuracy here to stand beside the published {figure.value:g}."
        else:
            yield f"“{preset}” reaches {_value(own)} on the training set, {relation(own, figure.value)}."


def _corrected(group: Group) -> Iterator[str]:
    held_out, training = (_reached(group, "corrected", metric) for metric in (ACCURACY, TRAINING))
    if held_out is None:
        yield "“corrected” has no held-out accuracy here."
        return
    text = f"“corrected” reaches {_value(held_out)} held out"
    figure = _published(group, "paper")
    if training is not None:
        text += f" and {_value(training)} on the training set"
    if figure and training is not None:
        text += f", the latter {relation(training, figure.value)}"
    elif figure:
        text += f", where the published {figure.value:g} is of the training set"
    yield f"{text}."


def _information(group: Group, metric: str, why: str) -> Iterator[str]:
    yield f"No accuracy: {why}."
    found = [(p, i) for p, s in group.settings.items() if (i := s.interval(metric))]
    if found:
        each = labels.listed([f"{_value(i, 2)} with “{p}”" for p, i in found])
        yield f"{'I_q(x;z) is at least' if metric == LOWER else 'I_q(x;c) is'} {each}, in nats."


def _code(group: Group, preset: str) -> str:
    """How many categories are used, beside what the bound and I_q read."""
    block, setting = group.block("c"), group.settings.get(preset)
    used = setting.mean("categories_used") if setting else None
    if block is None or setting is None or used is None:
        return ""
    some = f"{labels.number(used, 1).removesuffix('.0')} of {block.size} categories"
    text = f"“{preset}” uses {some}" if counted(block) == "used" else f"“{preset}” has {some} {counted(block)}"
    bound, encoder = (setting.mean(f"{name}_{block.name}_nats") for name in ("mi_paper", "mi_encoder"))
    cap = labels.number(block.max_entropy_nats)
    reads = [f"the paper’s bound reads {labels.number(bound)}"] if bound is not None else []
    reads += [f"I_q(x;c) is {labels.number(encoder)}"] if encoder is not None else []
    return f"{text}; {labels.listed(reads)}, of ln {block.size} = {cap} nats." if reads else f"{text}."


def _published(group: Group, preset: str) -> Published | None:
    return published(group.dataset, group.layout, preset, TRAINING)


def _reached(group: Group, preset: str, metric: str) -> Interval | None:
    setting = group.settings.get(preset)
    return setting.interval(metric) if setting else None


def _value(found: Interval, decimals: int = 3) -> str:
    return labels.plus_minus(found, decimals) + (" (one seed, so no interval)" if found.low is None else "")
