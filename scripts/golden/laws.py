#!/usr/bin/env python3
"""Writes what tests/unit/transform_laws_test compares our dice with: the distributions of the parameters that torchvision's get_params draw.

Usage: python scripts/golden/laws.py      (needs torch, torchvision; see "versions" in the file)

Of each parameter it keeps, at some of its quantiles, how many of the draws were not above them.
"""
import json
import pathlib

import numpy as np
import torch

library = torch.library.Library("torchvision", "DEF")  # torchvision's own operators need not load
for operator in ("nms", "qnms"):
    library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
import torchvision  # noqa: E402
from torchvision import transforms as T  # noqa: E402

FILE = pathlib.Path(__file__).resolve().parents[2] / "tests" / "data" / "transforms" / "laws.json"
DRAWS = 100_000
QUANTILES = 33


def box_columns(boxes: np.ndarray, width: int, height: int) -> dict[str, np.ndarray]:
    """boxes: rows of top, left, height, width. `left_share` is the place among those that the width leaves."""
    top, left, h, w = boxes.T.astype(float)
    return {
        "left": left,
        "top": top,
        "width": w,
        "height": h,
        "area": w * h,
        "aspect": w / h,
        "left_share": left / np.maximum(width - w, 1),
        "top_share": top / np.maximum(height - h, 1),
    }


def crop(width: int, height: int, scale: list[float], ratio: list[float]) -> dict[str, np.ndarray]:
    image = torch.empty(3, height, width)
    boxes = [T.RandomResizedCrop.get_params(image, scale, ratio) for _ in range(DRAWS)]
    return box_columns(np.array(boxes), width, height)


def erasing(width: int, height: int, scale: list[float], ratio: list[float]) -> dict[str, np.ndarray]:
    image = torch.empty(3, height, width)
    boxes = [T.RandomErasing.get_params(image, scale, ratio, [0.0])[:4] for _ in range(DRAWS)]
    return box_columns(np.array(boxes), width, height)


def affine() -> dict[str, np.ndarray]:
    draws = [T.RandomAffine.get_params([-10.0, 25.0], [0.1, 0.3], [0.7, 1.4], [-5.0, 15.0, -20.0, 3.0], [61, 47]) for _ in range(DRAWS)]
    rows = np.array([[angle, *shift, scale, *shear] for angle, shift, scale, shear in draws])
    return dict(zip(("degrees", "shift_x", "shift_y", "scale", "shear_x", "shear_y"), rows.T))


def perspective() -> dict[str, np.ndarray]:
    rows = np.array([T.RandomPerspective.get_params(61, 47, 0.5)[1] for _ in range(DRAWS)]).reshape(DRAWS, 8)
    return dict(zip(("x0", "y0", "x1", "y1", "x2", "y2", "x3", "y3"), rows.T.astype(float)))


def jitter() -> dict[str, np.ndarray]:
    """brightness 0.4, contrast 1.5, saturation 0.2, hue 0.1; `order` is read as a number of four digits."""
    ranges = T.ColorJitter(0.4, 1.5, 0.2, 0.1)
    draws = [ranges.get_params(ranges.brightness, ranges.contrast, ranges.saturation, ranges.hue) for _ in range(DRAWS)]
    rows = np.array([[int("".join(map(str, order.tolist()))), *factors] for order, *factors in draws])
    return dict(zip(("order", "brightness", "contrast", "saturation", "hue"), rows.T))


def blur() -> dict[str, np.ndarray]:
    return {"sigma": np.array([T.GaussianBlur.get_params(0.1, 2.0) for _ in range(DRAWS)])}


def main() -> None:
    torch.manual_seed(1)
    usual = [3 / 4, 4 / 3]
    laws = {
        "crop 550 400": crop(550, 400, [0.08, 1.0], usual),
        "crop 61 47": crop(61, 47, [0.9, 1.0], usual),
        "crop 300 60": crop(300, 60, [0.1, 0.6], usual),
        "erasing 224 224": erasing(224, 224, [0.02, 0.33], [0.3, 3.3]),
        "erasing 100 40": erasing(100, 40, [0.1, 0.9], [0.3, 3.3]),
        "affine": affine(),
        "perspective": perspective(),
        "jitter": jitter(),
        "blur": blur(),
        "erasing 80 60": erasing(80, 60, [0.05, 0.2], [0.5, 4.0]),
    }
    lines = []
    for transform, columns in laws.items():
        for name, values in columns.items():
            at = np.unique([float(f"{q:.6g}") for q in np.quantile(values, np.linspace(0, 1, QUANTILES))])
            below = [int((values <= x).sum()) for x in at]
            lines.append(json.dumps({"transform": transform, "parameter": name, "at": at.tolist(), "below": below}))
    head = {"versions": f"torchvision {torchvision.__version__}, torch {torch.__version__}", "draws": DRAWS}
    FILE.write_text(json.dumps(head)[:-1] + ', "laws": [\n' + ",\n".join(lines) + "\n]}\n")


if __name__ == "__main__":
    main()
