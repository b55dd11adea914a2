"""Random affine views against closed forms: the identity, shifts by whole pixels, and who depends on whom."""

import math

import pytest
import torch

from vmi.data import augmentation
from vmi.data.random_streams import seeded

SHAPE = (8, 8)


def images(members: int = 3, batch: int = 5, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(members, batch, 64, generator=generator, dtype=dtype)


def seen(x: torch.Tensor, strengths: list[float], seeds: list[int]) -> torch.Tensor:
    generators = [seeded(seed, "views") for seed in seeds]
    return augmentation.view(x, SHAPE, torch.tensor(strengths, dtype=x.dtype), generators)


def test_strength_zero_is_the_image_itself() -> None:
    x = images()
    assert torch.equal(seen(x, [0.0, 1.0, 0.0], [1, 2, 3])[[0, 2]], x[[0, 2]])


def test_no_parameters_no_change() -> None:
    identity = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(augmentation.affine(torch.zeros(1, 1, 5, dtype=torch.float64))[0, 0], identity)


def test_matrix_is_rotation_times_shear_over_scale_and_shift() -> None:
    p = torch.tensor([0.3, -0.7, 0.5, 0.2, -0.9], dtype=torch.float64)
    angle, scale, shear = augmentation.ANGLE * 0.3, math.exp(augmentation.LOG_SCALE * -0.7), augmentation.SHEAR * 0.5
    rotation = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    wanted = rotation @ torch.tensor([[1.0, shear], [0.0, 1.0]]) / scale
    found = augmentation.affine(p[None, None])[0, 0]
    torch.testing.assert_close(found[:, :2], wanted.double(), atol=1e-7, rtol=0)
    shift = torch.tensor([0.2, -0.9], dtype=torch.float64) * augmentation.SHIFT
    torch.testing.assert_close(found[:, 2], shift)


def test_determinant_is_one_over_scale_squared() -> None:
    """A rotation and a shear keep the area; only the scale changes it."""
    p = torch.rand(4, 6, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * 2 - 1
    found = torch.linalg.det(augmentation.affine(p)[..., :2])
    torch.testing.assert_close(found, torch.exp(-2 * augmentation.LOG_SCALE * p[..., 1]))


def test_a_shift_by_whole_pixels_moves_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a side is 4 pixels of 8: a shift of 1/4 of it reads one pixel to the right, black comes in."""
    monkeypatch.setattr(
        augmentation, "affine", lambda p: torch.tensor([[1.0, 0, 0.25], [0, 1, 0]]).to(p).expand(3, 5, 2, 3)
    )
    x = images()
    moved = seen(x, [1.0] * 3, [1, 2, 3]).reshape(3, 5, *SHAPE)
    torch.testing.assert_close(moved[..., :-1], x.reshape(3, 5, *SHAPE)[..., 1:])
    assert not moved[..., -1].abs().max() > 1e-12


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_member_sees_the_same_alone_and_in_any_pack(dtype: torch.dtype) -> None:
    x = images(4, dtype=dtype)
    together = seen(x, [0.5, 1.0, 0.0, 2.0], [1, 2, 3, 4])
    for k, (strength, seed) in enumerate(zip([0.5, 1.0, 0.0, 2.0], [1, 2, 3, 4], strict=True)):
        assert torch.equal(seen(x[k : k + 1], [strength], [seed])[0], together[k])


def test_views_stay_within_the_pixels_range_and_differ() -> None:
    x = images()
    found = seen(x, [1.0] * 3, [1, 2, 3])
    assert found.min() >= 0 and found.max() <= 1
    assert not torch.equal(found[0], x[0])
    assert not torch.equal(found[0], seen(x, [1.0] * 3, [9, 2, 3])[0])
