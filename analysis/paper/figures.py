"""After the figures of Serdega & Kim (arXiv 2005.13953, 2006.02227), from a study that varies its preset.

Nine entries, in this order, stand for the paper's figures 2 to 10; each is drawn from the same inputs and the same seed
for every preset. Below, what each stands for and the script that makes such a figure in the authors' published code
(https://github.com/aserdega/VMI-VAE). That code names no figure's number and the entries were not compared with the
paper's pages, so none is said to be "after figure N":

1. plane           grid over both informed Normal dimensions     test_vae.py: a grid over dimensions 0 and 1
2. informed        one informed Normal dimension at a time       test_vae.py: dimension 0 of a sample moved
3. weight          comparison across the MI weight λ             not verified
4. category        each category in turn, several inputs         test_catvae.py: the one-hot code of 40 images replaced
5. normal          Normal dimensions beside the category         test_catvae.py: dimensions 0 and 1 of an image moved
6. probabilities   histograms of q(c|x) in training              not verified
7. bound           the MI bound over training steps              mi_graph.py: with and without maximisation
8. kl              the KL of the category over training steps    kl_graph.py: with and without maximisation
9. one-hot         true classes per value of the one-hot code    test_catvae.py: a bar chart per one-hot code

The authors move a dimension from -5 to 5, and the grid from -3 to 3; here both run from -2 to 2, where 95 % of the
prior's mass lies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from analysis.data.mi_checks import Violation
from analysis.data.preset_groups import asked, groups
from analysis.data.study_results import StudyResults
from analysis.figures.images import tile, with_inputs
from analysis.html.markup import Markup, anchored, element, join, link, wrap
from analysis.paper import plots as paper_plots
from analysis.paper.scene import Scene, heading, manipulation, pictures
from vmi.spec.layout import Block

MAX_GROUPS = 6
ORDINALS = ("First", "Second")
INPUTS = "Left of the wider line, where the store has them, the input and its reconstruction. "
INTRO = (
    "After the kinds of figure by which Serdega & Kim (2020) show what the regulariser does, drawn from this study: "
    "without it (vae), as the paper has it (paper), and with the code’s entropy estimated (corrected). Pictures start "
    "from the first held-out image of each class, or from the first ones, at the lowest seed that all presets have. "
    "How the paper numbers its figures was not checked: the numbers here are this page’s own."
)


class Entry(NamedTuple):
    """One of the figures: where it stands, what it says, and what it draws of a scene (nothing: not shown)."""

    anchor: str
    title: str
    text: str
    draw: Callable[[Scene, str], list[Markup]]
    one_seed: bool = True


def section(results: StudyResults, broken: Sequence[Violation]) -> Markup:
    """The figures; empty for a study that does not vary its preset."""
    scenes = _scenes(results, broken)
    if not scenes:
        return Markup("")
    pages = [(i, entry, drawn) for i, entry in enumerate(ENTRIES, 1) if (drawn := list(_groups(entry, scenes)))]
    titles = [wrap("li", link(f"paper-{e.anchor}", f"{i}. {e.title}")) for i, e, _ in pages]
    pieces = [element("h2", "The paper’s figures"), element("p", INTRO, "soft"), wrap("ol", join(titles), "contents")]
    count = len(groups(results))
    if count > MAX_GROUPS:
        pieces.append(element("p", f"Shown: the first {MAX_GROUPS} of {count} groups of presets.", "note soft"))
    for i, entry, drawn in pages:
        head = [element("h3", f"{i}. {entry.title}"), element("p", entry.text, "soft")]
        pieces.append(anchored(f"paper-{entry.anchor}", join([*head, *drawn]), "page"))
    return join(pieces)


def _scenes(results: StudyResults, broken: Sequence[Violation]) -> list[Scene]:
    found = [(group, group.rows()) for group in groups(results)[:MAX_GROUPS]]
    arrays = results.arrays(row for _, rows in found for row in rows.values())
    return [
        Scene(
            group=group,
            presets=asked(results),
            rows=rows,
            arrays={preset: arrays.get(row["trial_id"], {}) for preset, row in rows.items()},
            curves={r["trial_id"]: results.curve(r) for s in group.settings.values() for r in s.rows},
            broken=broken,
        )
        for group, rows in found
    ]


def _groups(entry: Entry, scenes: Sequence[Scene]) -> Iterator[Markup]:
    for i, scene in enumerate(scenes):
        if drawn := entry.draw(scene, f"paper-{entry.anchor}-{i}"):
            yield join([heading(scene, entry.one_seed), *drawn])


def _informed_normal(scene: Scene) -> Block | None:
    block = scene.group.block("n")
    return block if block is not None and block.informed else None


def _plane(scene: Scene, name: str) -> list[Markup]:
    block = _informed_normal(scene)
    if block is None or block.size != 2:
        return []
    planes = {p: a for p in scene.rows if (a := scene.array(p, f"plane_{block.name}")) is not None}
    return [pictures(scene, "", {p: tile(a) for p, a in planes.items()}, 9)]


def _informed(scene: Scene, name: str) -> list[Markup]:
    return _moved(scene) if _informed_normal(scene) else []


def _normal(scene: Scene, name: str) -> list[Markup]:
    beside = scene.group.block("c") is not None and scene.group.block("n") is not None
    return _moved(scene) if beside and not _informed_normal(scene) else []


def _moved(scene: Scene) -> list[Markup]:
    """A row of pictures per dimension."""
    stored = {p: a for p in scene.rows if (a := manipulation(scene, p)) is not None}
    dims = min((len(a) for a in stored.values()), default=1)
    return [
        pictures(
            scene,
            f"{ORDINALS[d]} dimension. ",
            {p: with_inputs(scene.arrays[p], a[d]) for p, a in stored.items()},
            11,
        )
        for d in range(dims)
    ]


def _category(scene: Scene, name: str) -> list[Markup]:
    block = scene.group.block("c")
    if block is None:
        return []
    stored = {p: a for p in scene.rows if (a := scene.array(p, f"traversal_{block.name}")) is not None}
    return [pictures(scene, "", {p: with_inputs(scene.arrays[p], a) for p, a in stored.items()}, block.size + 2)]


def _weight(scene: Scene, name: str) -> list[Markup]:
    made = list(paper_plots.across_weights(scene, name))
    return [wrap("div", join(made), "grid")] if made else []


def _bound(scene: Scene, name: str) -> list[Markup]:
    return list(paper_plots.curves(scene, name, "mi_paper_{}_nats", cap=True))


def _kl(scene: Scene, name: str) -> list[Markup]:
    return list(paper_plots.curves(scene, name, "rate_{}_nats", cap=False))


def _probabilities(scene: Scene, name: str) -> list[Markup]:
    made = paper_plots.probabilities(scene, name)
    return [made] if made else []


def _one_hot(scene: Scene, name: str) -> list[Markup]:
    made = paper_plots.one_hot(scene, name)
    return [made] if made else []


ENTRIES = (
    Entry(
        "plane",
        "The plane of the informed Normal dimensions",
        "One image’s code with both informed dimensions moved from −2 to 2 (the first from top to bottom, the second "
        "from left to right); all else is kept. What the dimensions carry changes across the grid; a grid of equal "
        "images is a code that the decoder ignores.",
        _plane,
    ),
    Entry(
        "informed",
        "One informed Normal dimension at a time",
        f"{INPUTS}Then one informed dimension moved from −2 to 2; all else is kept.",
        _informed,
    ),
    Entry(
        "weight",
        "Across the MI weight λ",
        "λ = 0 is the VAE without the regulariser. The presets differ in η too: with η = 0 the code’s entropy is "
        "taken for the prior’s, with η = 1 it is estimated.",
        _weight,
        one_seed=False,
    ),
    Entry(
        "category",
        "The category, from the same inputs",
        f"{INPUTS}Then each category in turn, the other latents kept. Where the decoder uses the category, it changes "
        "the image along a row.",
        _category,
    ),
    Entry(
        "normal",
        "Normal dimensions beside the category",
        f"{INPUTS}Then one Normal dimension moved from −2 to 2, the category and all else kept.",
        _normal,
    ),
    Entry(
        "probabilities",
        "Probabilities of the categories during training",
        "Held-out images by the probability of a category (rows, 0 to 1) at each report (columns). A code that is "
        "sure lies at 0 and 1, one that is not used near 1/k.",
        _probabilities,
    ),
    Entry(
        "bound",
        "The MI bound during training",
        "The paper’s bound H(prior) + E log Q(code|x̂), soft codes. It can stay near ln k while categories are lost.",
        _bound,
        one_seed=False,
    ),
    Entry(
        "kl",
        "The KL during training",
        "E KL(q‖p) of the block whose MI is maximised: an upper bound on I_q.",
        _kl,
        one_seed=False,
    ),
    Entry(
        "one-hot",
        "What each value of the one-hot code holds",
        "Held-out images per true class, a chart per category, all on one scale. A code that "
        "classifies has one high bar per chart; an empty chart is a category that is not used.",
        _one_hot,
    ),
)
