#!/usr/bin/env python3
"""Writes the expected hashes of tests/unit/perceptual_hash_test: imagehash.phash's formula, with Pillow's bicubic in place of its Lanczos.

Usage: python scripts/golden/perceptual_hash.py      (needs pillow, numpy, scipy; run transforms.py first)
"""
import json
import pathlib

import numpy as np
import scipy.fftpack
from PIL import Image

DATA = pathlib.Path(__file__).resolve().parents[2] / "tests" / "data"
PICTURES = ("source", "grayscale", "hue_forwards", "solarize", "resize_bilinear_up", "resized_crop_bicubic", "perspective_nearest", "affine_bilinear")


def perceptual_hash(path: pathlib.Path) -> str:
    small = Image.open(path).convert("RGB").resize((32, 32), Image.Resampling.BICUBIC)
    pixels = np.asarray(small.convert("L"), dtype=np.float64)
    low = scipy.fftpack.dct(scipy.fftpack.dct(pixels, axis=0), axis=1)[:8, :8].ravel()
    assert np.abs(low - np.median(low)).min() > 1e-3, f"{path}: a coefficient is the median"
    value = 0
    for bit in low > np.median(low):
        value = value << 1 | int(bit)
    return f"{value:016x}"


folder = DATA / "inspect"
folder.mkdir(exist_ok=True)
hashes = {f"transforms/{name}.png": perceptual_hash(DATA / "transforms" / f"{name}.png") for name in PICTURES}
(folder / "perceptual_hash.json").write_text(json.dumps(hashes, indent=1) + "\n")
