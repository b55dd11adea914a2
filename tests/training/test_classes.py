"""Any number of classes, and none: scores against enumerations, galleries against a sort by hand."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
import torch
from support.images import MANY, THREE, small_images
from support.packs import trial

from vmi.data.dataset import Dataset
from vmi.estimation.evaluate import evaluate as account_of
from vmi.estimation.model import from_pack
from vmi.estimation.q_fit import Settings
from vmi.spec.arrays import GALLERY_IMAGES, layout_shapes
from vmi.spec.layout import parse
from vmi.spec.metrics import METRICS, available
from vmi.training import accuracy
from vmi.training.evaluation import evaluate, measure
from vmi.training.pack import Pack

CATEGORIES = 10


def most_right(counts_CY: np.ndarray) -> int:
    """The most images that a one-to-one map of categories to classes gets right, over all such maps.

    best[S]: over the maps of the classes until now into the categories S.
    """
    best = {frozenset[int](): 0}
    for of_class in counts_CY.T:
        further = dict(best)
        for taken, right in best.items():
            for c in set(range(len(counts_CY))) - taken:
                further[taken | {c}] = max(further.get(taken | {c}, 0), right + int(of_class[c]))
        best = further
    return max(best.values())


def entropy(counts: np.ndarray) -> float:
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())


@pytest.mark.parametrize("shares", [THREE, MANY, (1.0,), (0.1,) * 10])
def test_scores_hold_for_any_number_of_classes(shares: tuple[float, ...]) -> None:
    rng, classes = np.random.default_rng(1), len(shares)
    train_labels, labels = (rng.choice(classes, n, p=shares) for n in (200, 60))
    # Half of the categories follow the class, so that maps are neither perfect nor by chance.
    train, held_out = (np.where(rng.random(len(y)) < 0.5, y % CATEGORIES, rng.integers(0, 8, len(y)))
                       for y in (train_labels, labels))  # fmt: skip
    found = accuracy.scores(train, train_labels, held_out, labels, CATEGORIES, classes)

    commonest = {c: max(range(classes), key=lambda y: (train_labels[train == c] == y).sum()) for c in set(train)}
    assert found["accuracy_majority"] == np.mean([commonest.get(c, -1) for c in held_out] == labels)
    assert found["accuracy_train"] == np.mean([commonest[c] for c in train] == train_labels)
    first = max(range(classes), key=lambda y: (train_labels == y).sum())
    assert found["majority_class_share"] == np.mean(labels == first)

    counts_CY = accuracy.contingency(train, train_labels, CATEGORIES, classes)
    mapping = accuracy.hungarian_map(counts_CY)
    taken = mapping[mapping >= 0]
    assert len(set(taken)) == len(taken) == min(CATEGORIES, classes)
    assert counts_CY[mapping >= 0, taken].sum() == most_right(counts_CY)
    assert found["accuracy_hungarian"] == np.mean(mapping[held_out] == labels)

    table = accuracy.contingency(held_out, labels, CATEGORIES, classes)
    marginals = entropy(table.sum(1)), entropy(table.sum(0))
    shared = sum(marginals) - entropy(table.ravel())
    assert found["nmi"] == pytest.approx(2 * shared / sum(marginals), abs=1e-12)

    pairs = list(combinations(range(60), 2))
    together = [(held_out[i] == held_out[j], labels[i] == labels[j]) for i, j in pairs]
    a, b, both = (sum(map(f, together)) for f in (lambda t: t[0], lambda t: t[1], all))
    chance = a * b / len(pairs)
    assert found["ari"] == pytest.approx((both - chance) / ((a + b) / 2 - chance), abs=1e-12)


@pytest.mark.parametrize(("name", "shares"), [("three", THREE), ("many", MANY), ("one", (1.0,))])
def test_a_trial_has_every_metric_whatever_its_classes(name: str, shares: tuple[float, ...]) -> None:
    data = small_images(name, shares)
    pack = Pack([trial(dataset=name, layout="n2*+c10*", seed=seed) for seed in (0, 1)])
    for found in evaluate(pack, data):
        assert set(METRICS) & set(found.metrics) == set(available(pack.layout))
        assert all(map(math.isfinite, found.metrics.values()))
        assert {n: array.shape for n, array in found.arrays.items()} == layout_shapes(pack.layout, name)
        assert found.arrays["assignments_c10"].sum(0).tolist() == [
            int((data.held_out.labels_N == y).sum()) for y in range(len(shares))
        ]


def unreadable(name: str) -> Dataset:
    """Images without labels, with labels that no table of classes holds: to look one up raises."""
    data = small_images(name)
    splits = (split._replace(labels_N=split.labels_N - 10**9) for split in (data.train, data.held_out))
    return Dataset(data.spec, *splits)


@pytest.mark.parametrize("layout", ["n4+c10*", "c10*", "n2*+n3", "c3+c5*+n2*"])
def test_without_labels_nothing_that_looks_at_them_is_there(layout: str) -> None:
    data = unreadable("blind")
    pack = Pack([trial(dataset="blind", layout=layout, seed=seed) for seed in (0, 1)])
    for found, quick in zip(evaluate(pack, data), measure(pack, data), strict=True):
        wanted = {name for name in available(pack.layout) if not METRICS[name].labels}
        assert set(METRICS) & set(found.metrics) == set(METRICS) & set(quick) == wanted
        assert {n: array.shape for n, array in found.arrays.items()} == layout_shapes(pack.layout, "blind")
        assert not any(n.startswith("assignments") for n in found.arrays)


def test_a_gallery_has_the_held_out_images_of_largest_probability() -> None:
    data = small_images("blind")
    pack = Pack([trial(dataset="blind", layout="c3+c5*", seed=seed) for seed in (0, 1)])
    images_ND = data.images(data.held_out, slice(None), torch.float32)
    bytes_ND = (images_ND * 255).round().to(torch.uint8).numpy()
    for k, found in enumerate(evaluate(pack, data)):
        assert "gallery_c3" not in found.arrays  # of the primary block alone, which is the informed one
        gallery = found.arrays["gallery_c5"].reshape(5, GALLERY_IMAGES, -1)
        pack.train_mode(False)
        with torch.no_grad():
            log_probs_NC = pack.encoder(images_ND.expand(2, *images_ND.shape))[1].log_probs_KBC[k].tolist()
        for c in range(5):
            order = sorted(range(len(log_probs_NC)), key=lambda i, c=c: -log_probs_NC[i][c])
            assert np.array_equal(gallery[c], bytes_ND[order[:GALLERY_IMAGES]])


def test_pictures_start_from_the_first_of_each_class_and_then_from_the_first_others() -> None:
    for name, shares in (("three", THREE), ("blind", ())):
        data = small_images(name, shares)
        labels = data.held_out.labels_N.tolist()
        first = [labels.index(y) for y in range(len(shares))]
        wanted = [*first, *(i for i in range(60) if i not in first)][:8]
        (found,) = evaluate(Pack([trial(dataset=name, layout="c3*")]), data)
        images_ND = data.images(data.held_out, slice(None), torch.float32)
        assert np.array_equal(found.arrays["inputs"].reshape(8, -1), (images_ND[wanted] * 255).round().numpy())


def test_few_held_out_images_make_smaller_pictures() -> None:
    data = small_images("handful", held_out=3)
    layout = parse("n2*+c4*")
    shapes = layout_shapes(layout, "handful")
    assert [shapes[n][:2] for n in ("gallery_c4", "traversal_c4", "manipulation_n2")] == [(4, 3), (3, 4), (2, 3)]
    (found,) = evaluate(Pack([trial(dataset="handful", layout=str(layout))]), data)
    assert {n: array.shape for n, array in found.arrays.items()} == shapes


def test_an_account_of_images_without_labels_has_no_accuracy() -> None:
    data, only = unreadable("blind"), trial(dataset="blind", layout="c4*")
    model = from_pack(Pack([only]), only.trial_id)
    account = account_of(model, data, seeds=1, resamples=100, settings=Settings(hidden=(8,), max_steps=25))
    assert set(account.accuracies) == {"categories_used"}
