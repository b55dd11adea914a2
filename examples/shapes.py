"""Draw images with known factors, so that an MI account can be checked against the truth: writes shapes.npz here.

python examples/shapes.py && vmi data shapes.npz --preview shapes.png
"""

from itertools import product

import numpy as np

SIDE = 16
SHAPES = ("square", "disc", "cross")


def draw(shape: str, radius: float, across: float, down: float) -> np.ndarray:
    """A white figure on black, [SIDE, SIDE] uint8, its edges smooth over one pixel."""
    y, x = np.mgrid[:SIDE, :SIDE]
    u, v = np.abs(x - across), np.abs(y - down)
    distance = {
        "square": np.maximum(u, v),
        "disc": np.hypot(u, v),
        "cross": np.maximum(np.minimum(u, v) + 0.6 * radius, np.maximum(u, v)),
    }[shape]
    return np.round(255 * np.clip(radius - distance + 0.5, 0, 1)).astype(np.uint8)


def all_shapes() -> tuple[np.ndarray, np.ndarray]:
    """Every shape at every size and place, once each: images [N, SIDE, SIDE] and the shapes' names [N]."""
    sizes, places = np.linspace(2.5, 4, 6), np.linspace(5, 10, 8)
    factors = list(product(SHAPES, sizes, places, places))
    return np.stack([draw(*each) for each in factors]), np.array([shape for shape, *_ in factors])


if __name__ == "__main__":
    images, labels = all_shapes()
    np.savez_compressed("shapes.npz", images=images, labels=labels)
    print(f"shapes.npz: {len(images)} images of {SIDE} x {SIDE} pixels, {len(SHAPES)} shapes")
