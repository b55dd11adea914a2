"""Random views against closed forms: the identity, shifts by whole pixels, mirrors, cuts, and who depends on whom."""

import math
from dataclasses import fields
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from vmi.data import augmentation
from vmi.data.augmentation import Ranges
from vmi.data.random_streams import seeded
from vmi.spec.config import TrialConfig

SHAPE = (8, 8)
Shape = tuple[int, int, int]
VIEW_FIELDS = [field.name for field in fields(TrialConfig) if field.name.startswith("view_")]


def images(members: int = 3, batch: int = 5, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(members, batch, 64, generator=generator, dtype=dtype)


def ranges(members: int, dtype: torch.dtype = torch.float64, **fields: float | list[float]) -> Ranges:
    """The fields' defaults, and these in their place: one value, or one of each member."""

    def config(k: int) -> SimpleNamespace:
        given = {name: value[k] if isinstance(value, list) else value for name, value in fields.items()}
        return SimpleNamespace(**{name: given.get(name, getattr(TrialConfig, name)) for name in VIEW_FIELDS})

    return Ranges.of([config(k) for k in range(members)], dtype, torch.device("cpu"))


def seen(
    x: torch.Tensor, strengths: list[float], seeds: list[int], shape: Shape = (1, *SHAPE), **fields: float | list[float]
) -> torch.Tensor:
    generators = ([seeded(seed, purpose) for seed in seeds] for purpose in ("views", "views form"))
    strength_K = torch.tensor(strengths, dtype=x.dtype)
    own = ranges(len(seeds), x.dtype, **fields)
    counts = (augmentation.PARAMETERS, augmentation.MORE_PARAMETERS)[: 1 + own.more[0]]
    uniforms = [augmentation.drawn(x, count, of_members) for count, of_members in zip(counts, generators, strict=False)]
    return augmentation.view(x, shape, strength_K, own, *uniforms)


STILL = {"view_angle": 0, "view_log_scale": 0, "view_shear": 0, "view_shift": 0}


def test_strength_zero_is_the_image_itself() -> None:
    x = images()
    assert torch.equal(seen(x, [0.0, 1.0, 0.0], [1, 2, 3])[[0, 2]], x[[0, 2]])


def test_no_parameters_no_change() -> None:
    identity = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(
        augmentation.affine(torch.zeros(1, 1, 5, dtype=torch.float64), ranges(1))[0, 0], identity
    )


def test_matrix_is_rotation_times_shear_over_scale_and_shift() -> None:
    p = torch.tensor([0.3, -0.7, 0.5, 0.2, -0.9], dtype=torch.float64)
    angle, scale, shear = math.radians(15) * 0.3, math.exp(0.1 * -0.7), 0.2 * 0.5
    rotation = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    wanted = rotation @ torch.tensor([[1.0, shear], [0.0, 1.0]]) / scale
    found = augmentation.affine(p[None, None], ranges(1))[0, 0]
    torch.testing.assert_close(found[:, :2], wanted.double(), atol=1e-7, rtol=0)
    shift = torch.tensor([0.2, -0.9], dtype=torch.float64) / 7
    torch.testing.assert_close(found[:, 2], shift)


def test_determinant_is_one_over_scale_squared() -> None:
    """A rotation and a shear keep the area; only the scale changes it."""
    p = torch.rand(4, 6, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * 2 - 1
    found = torch.linalg.det(augmentation.affine(p, ranges(4))[..., :2])
    torch.testing.assert_close(found, torch.exp(-2 * 0.1 * p[..., 1]))


def test_a_shift_by_whole_pixels_moves_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a side is 4 pixels of 8: a shift of 1/4 of it reads one pixel to the right, black comes in."""
    monkeypatch.setattr(
        augmentation, "affine", lambda p, _: torch.tensor([[1.0, 0, 0.25], [0, 1, 0]]).to(p).expand(3, 5, 2, 3)
    )
    x = images()
    moved = seen(x, [1.0] * 3, [1, 2, 3]).reshape(3, 5, *SHAPE)
    torch.testing.assert_close(moved[..., :-1], x.reshape(3, 5, *SHAPE)[..., 1:])
    assert not moved[..., -1].abs().max() > 1e-12


def test_a_mirror_turns_as_many_images_as_it_should_and_nothing_else() -> None:
    x = images(2, 2000)
    found = seen(x, [1.0, 1.0], [1, 2], **STILL, view_flip=[0.25, 1.0])
    mirrored = x.reshape(2, 2000, *SHAPE).flip(-1).reshape(x.shape)
    turned, as_it_was = ((found - each).abs().amax(-1) < 1e-9 for each in (mirrored, x))
    assert (turned | as_it_was).all() and turned[1].all()
    # A share of 0.25 of 2,000: 5 standard deviations are 0.05.
    assert abs(turned[0].double().mean().item() - 0.25) < 0.05


def test_a_part_is_as_large_as_its_range_and_lies_within_the_image() -> None:
    """Of an image that is its own coordinate, the corners of a view say which part it is."""
    down, across = torch.meshgrid(*[torch.arange(8, dtype=torch.float64)] * 2, indexing="ij")
    x = torch.stack([across.flatten(), down.flatten()])[:, None].expand(2, 3000, 64).contiguous()
    found = seen(x, [1.0, 1.0], [5, 5], **STILL, view_crop=0.5).reshape(2, 3000, *SHAPE)
    # The middle, where no black comes in: from one pixel to the next a view goes on by its part of the side.
    wide = found[0, :, 4, 4] - found[0, :, 4, 3]
    torch.testing.assert_close(wide, found[1, :, 4, 4] - found[1, :, 3, 4])
    assert 0.5 <= wide.min() < 0.51 and 0.99 < wide.max() <= 1 + 1e-9
    # Its middle is off that of the image by what was cut away, at most: half of (1 - part) times the side.
    off = (found[:, :, 3:5, 3:5].mean((2, 3)) - 3.5).abs()
    assert (off <= (1 - wide) * 4 + 1e-9).all() and (off / (1 - wide) / 4).max() > 0.99


def test_a_bend_moves_each_point_by_its_range_at_most_and_the_whole_by_nothing_on_average() -> None:
    across = torch.arange(8, dtype=torch.float64).repeat(8)
    x = across[None, None].expand(1, 4000, 64).contiguous()
    found = seen(x, [1.0], [3], **STILL, view_elastic=0.25).reshape(4000, *SHAPE)
    moved = (found - x.reshape(4000, *SHAPE))[:, 2:6, 2:6]
    # 0.25 of half a side is one pixel; between four points the weights of a cubic add up to 1.375, without their signs.
    assert 0.8 < moved.abs().max() <= 1.375**2 and abs(moved.mean()) < 0.02
    assert moved.std(0).min() > 0.2


MORE: list[dict[str, Any]] = [
    {},
    {"view_flip": [0.5, 0.0, 0.0, 1.0], "view_crop": [0.0, 0.3, 0.0, 0.1]},
    {"view_elastic": [0.2, 0.0, 0.0, 0.1], "view_angle": [1.0, 90.0, 15.0, 0.0]},
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("fields", MORE)
def test_a_member_sees_the_same_alone_and_in_any_pack(dtype: torch.dtype, fields: dict[str, Any]) -> None:
    x, strengths, seeds = images(4, dtype=dtype), [0.5, 1.0, 0.0, 2.0], [1, 2, 3, 4]
    together = seen(x, strengths, seeds, **fields)
    for k, (strength, seed) in enumerate(zip(strengths, seeds, strict=True)):
        own = {name: values[k] for name, values in fields.items()}
        assert torch.equal(seen(x[k : k + 1], [strength], [seed], **own)[0], together[k])


@pytest.mark.parametrize("shape", [(3, 8, 8), (4, 5, 9), (2, 7, 4)])
@pytest.mark.parametrize("fields", [{}, {"view_flip": 0.5, "view_crop": 0.3, "view_elastic": 0.2}])
def test_all_planes_of_an_image_get_the_same_view(shape: Shape, fields: dict[str, float]) -> None:
    x = torch.rand(2, 5, math.prod(shape), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = seen(x, [1.0, 0.5], [1, 2], shape, **fields).unflatten(-1, shape)
    for c, plane in enumerate(x.unflatten(-1, shape).unbind(2)):
        alone = seen(plane.flatten(2), [1.0, 0.5], [1, 2], (1, *shape[1:]), **fields)
        torch.testing.assert_close(found[:, :, c].flatten(2), alone, atol=1e-12, rtol=0)


@pytest.mark.parametrize("plane", [(5, 9), (6, 4)])
def test_a_quarter_turn_of_an_oblong_image_turns_pixels_and_stretches_nothing(
    plane: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading at R(90 degrees) p, p in pixels from the middle; black where that is outside of the image."""
    quarter = torch.tensor([[0.0, -1, 0], [1, 0, 0]], dtype=torch.float64)
    monkeypatch.setattr(augmentation, "affine", lambda p, _: quarter.repeat(1, 1, 1, 1))
    x = torch.rand(1, 1, math.prod(plane), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = seen(x, [1.0], [1], (1, *plane)).reshape(plane)
    height, width = plane
    for row in range(height):
        for column in range(width):
            i, j = column + (height - width) // 2, (height + width) // 2 - 1 - row
            wanted = x.reshape(plane)[i, j] if 0 <= i < height and 0 <= j < width else torch.zeros_like(x[0, 0, 0])
            torch.testing.assert_close(found[row, column], wanted, atol=1e-9, rtol=0)


def test_views_stay_within_the_pixels_range_and_differ() -> None:
    x = images()
    found = seen(x, [1.0] * 3, [1, 2, 3])
    assert found.min() >= 0 and found.max() <= 1
    assert not torch.equal(found[0], x[0])
    assert not torch.equal(found[0], seen(x, [1.0] * 3, [9, 2, 3])[0])
