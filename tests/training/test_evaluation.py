"""Held-out evaluation: accuracies against scikit-learn and by hand, arrays, independence of pack-mates."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.coloured import held
from support.packs import small_pack, trial, varied

from vmi.data import dataset as data
from vmi.spec.arrays import HISTOGRAM_BINS, MANIPULATED_INPUTS, TRAVERSAL_ROWS, is_picture, layout_shapes
from vmi.spec.metrics import METRICS, available
from vmi.training import accuracy, evaluation
from vmi.training.evaluation import Evaluation, evaluate
from vmi.training.pack import Pack
from vmi.training.train import train


def evaluated(pack: Pack) -> list[Evaluation]:
    digits = data.load("digits")
    (*_, last) = train(pack, digits)
    assert last.pack is not None
    return evaluate(last.pack, digits)


def test_maps_are_fitted_on_one_split_and_scored_on_the_other() -> None:
    train_categories, train_labels = np.array([0, 0, 0, 1, 1, 2]), np.array([5, 5, 1, 1, 1, 5])
    categories, labels = np.array([0, 1, 2, 3]), np.array([5, 1, 1, 0])
    found = accuracy.scores(train_categories, train_labels, categories, labels, 4, 6)
    assert found["accuracy_majority"] == 2 / 4  # 0 -> 5 right, 1 -> 1 right, 2 -> 5 wrong, 3 never seen: wrong
    assert found["accuracy_train"] == 5 / 6
    assert found["categories_used"] == 4


def test_one_to_one_map_is_the_best_of_all_permutations() -> None:
    from itertools import permutations

    counts = np.random.default_rng(0).integers(0, 50, (5, 5))
    best = max(sum(counts[i, p[i]] for i in range(5)) for p in permutations(range(5)))
    mapping = accuracy.hungarian_map(counts)
    assert sum(counts[i, mapping[i]] for i in range(5)) == best


def test_more_categories_than_classes_leave_some_unmapped() -> None:
    mapping = accuracy.hungarian_map(np.eye(4, 2, dtype=np.int64))
    assert sorted(mapping.tolist()) == [-1, -1, 0, 1]


def test_a_category_needs_one_image_in_a_hundred_to_count_as_used() -> None:
    held_out = np.array([0] * 990 + [1] * 9 + [2])
    labels = np.zeros(1000, dtype=np.int64)
    assert accuracy.scores(held_out, labels, held_out, labels, 3, 2)["categories_used"] == 1


@settings(max_examples=300, deadline=None)
@given(
    images=st.lists(st.tuples(st.integers(0, 7), st.integers(0, 4)), min_size=1, max_size=400),
    same=st.booleans(),
)
def test_agreement_with_the_classes_is_scikit_learn_s_to_the_last_bit(
    images: list[tuple[int, int]], same: bool
) -> None:
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    categories, labels = np.array(images, dtype=np.int64).T
    labels = np.minimum(categories, 4) if same else labels
    counts = accuracy.contingency(categories, labels, 8, 5)
    assert accuracy.normalized_mi(counts) == normalized_mutual_info_score(labels, categories)
    assert accuracy.adjusted_rand(counts) == adjusted_rand_score(labels, categories)


@pytest.mark.parametrize("layout", ["n16+c10*", "n2*+n30", "n4*+n4+c5*+c2", "c10*", "n16+c10"])
def test_every_metric_that_a_layout_can_give_is_given_and_finite(layout: str) -> None:
    pack = Pack([trial(layout=layout, mi_weight=0.0, seed=seed) for seed in (0, 1)])
    for found in evaluated(pack):
        assert {name for name in METRICS if name in found.metrics} == set(available(pack.layout))
        assert all(math.isfinite(v) for v in found.metrics.values())
        assert {name: array.shape for name, array in found.arrays.items()} == layout_shapes(pack.layout, "digits")


def test_what_must_hold_holds_on_a_trained_pack() -> None:
    for found in evaluated(small_pack(4, steps=60)):
        m = found.metrics
        assert m["mi_real_bound_nats"] <= m["mi_encoder_nats"] + 1e-9 <= m["rate_c10_nats"] + 2e-9
        assert m["mi_encoder_lower_nats"] <= min(m["mi_encoder_upper_nats"], math.log(360)) + 1e-9
        assert m["category_entropy_nats"] <= math.log(10) + 1e-9
        assert m["rate_c10_nats"] - m["mi_encoder_nats"] == pytest.approx(
            math.log(10) - m["category_entropy_nats"], abs=1e-9
        )


def test_arrays_count_every_held_out_image() -> None:
    found = evaluated(small_pack(1))[0]
    assert found.arrays["assignments_c10"].sum() == 360
    assert (found.arrays["probabilities_c10"].sum(1) == 360).all()
    assert found.arrays["probabilities_c10"].shape == (10, HISTOGRAM_BINS)
    assert found.arrays["traversal_c10"].dtype == np.uint8
    # Rows keep an image's style and columns its category: with an untrained code they still differ.
    assert found.arrays["traversal_n16"].std() > 0


def test_every_trial_starts_its_pictures_from_the_same_held_out_images() -> None:
    digits = data.load("digits")
    labels = digits.held_out.labels_N.tolist()
    first = [labels.index(y) for y in range(TRAVERSAL_ROWS)]
    wanted = (digits.images(digits.held_out, slice(None), torch.float32)[first] * 255).round().numpy()
    for fields in ({"preset": "vae"}, {"preset": "corrected", "layout": "n2*+n30"}, {"seed": 7}):
        (found,) = evaluated(Pack([trial(**fields)]))
        assert found.arrays["inputs"].dtype == np.uint8
        assert np.array_equal(found.arrays["inputs"].reshape(wanted.shape), wanted)


@pytest.mark.parametrize("shape", [(3, 10, 7), (2, 9, 6), (4, 8, 8)])
@pytest.mark.parametrize("network", ["mlp", "conv"])
def test_pictures_of_several_channels_have_them_last(shape: tuple[int, int, int], network: str) -> None:
    coloured = data.load(held(shape, levels=0))
    pack = Pack([trial(dataset=coloured.spec.name, network=network, hidden="4-12", layout="n2*+c10*")])
    (found,) = evaluate(pack, coloured)
    for name, wanted in layout_shapes(pack.layout, coloured.spec.name).items():
        assert found.arrays[name].shape == wanted, name
        assert wanted[-3:] == (*shape[1:], shape[0]) or not is_picture(name)
    images_NCHW = coloured.held_out.pixels_ND[:TRAVERSAL_ROWS].unflatten(1, shape)  # the classes in turn
    for c in range(shape[0]):
        assert np.array_equal(found.arrays["inputs"][..., c], (255 * images_NCHW[:, c]).round().numpy())
    with torch.no_grad():
        normal, category = pack.encoder.eval()(images_NCHW.flatten(1)[None])
        one_hot_KRC = torch.nn.functional.one_hot(category.log_probs_KBC.argmax(-1), 10)
        again_KRD = pack.decoder.eval()(torch.cat([normal.mean_KBZ, one_hot_KRC], -1)).sigmoid()
    again_RCHW = again_KRD[0].unflatten(1, shape)
    assert np.abs(found.arrays["reconstructions"] - 255.0 * again_RCHW.permute(0, 2, 3, 1).numpy()).max() < 0.51


def test_a_manipulation_moves_each_input_along_one_dimension_and_a_plane_along_both() -> None:
    (found,) = evaluated(Pack([trial(layout="n2*+n30", steps=60)]))
    moved, plane, one = (found.arrays[f"{name}_n2"] for name in ("manipulation", "plane", "traversal"))
    assert moved.shape[:3] == (2, MANIPULATED_INPUTS, 9) and plane.shape[:2] == (9, 9)
    assert np.array_equal(moved[:, 0], one)  # the first input is the one that the traversals start from
    assert not np.array_equal(moved[0, 0], moved[0, 1])
    # With the first dimension along rows: at 0 in the other one, a column of the plane moves it alone.
    assert np.ptp(plane[:, 4].astype(int), axis=0).max() > 0 and np.ptp(plane[4].astype(int), axis=0).max() > 0
    assert not np.array_equal(plane, plane.swapaxes(0, 1))


def test_a_member_s_evaluation_does_not_depend_on_its_pack_mates() -> None:
    together, alone = evaluated(Pack(varied(3))), evaluated(Pack(varied(3)[2:]))
    assert together[2].metrics == alone[0].metrics
    assert all(np.array_equal(together[2].arrays[name], array) for name, array in alone[0].arrays.items())


def test_nor_on_how_many_are_scored_with_it_where_the_images_take_many_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "CHUNK", 20)
    digits = data.load("digits")
    (*_, last) = train(Pack(varied(6)), digits)
    assert last.pack is not None
    together = evaluate(last.pack, digits)
    for members in ([0], [5], [1, 2], [0, 3, 5], [0, 1, 2, 4], [1, 2, 3, 4, 5]):
        found = evaluate(last.pack.keep(members), digits)
        assert [of.metrics for of in found] == [together[k].metrics for k in members], members
