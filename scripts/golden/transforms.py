#!/usr/bin/env python3
"""Writes the expected results of tests/unit/transforms_test and image_io_test: what Pillow and torchvision make of the same pictures.

Usage: python scripts/golden/transforms.py      (needs pillow, numpy, torch, torchvision; see the versions in the files' VERSIONS)
"""
import pathlib
import struct
import zlib

import numpy as np
import PIL
import torch
from PIL import Image

library = torch.library.Library("torchvision", "DEF")  # torchvision's own operators need not load
for operator in ("nms", "qnms"):
    library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
import torchvision  # noqa: E402
from torchvision.transforms import InterpolationMode as Mode  # noqa: E402
from torchvision.transforms import functional as F  # noqa: E402

DATA = pathlib.Path(__file__).resolve().parents[2] / "tests" / "data"


def picture(width: int, height: int, seed: int = 0) -> Image.Image:
    """Waves of all frequencies with some noise and saturated patches: nothing in it is symmetric."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    channels = [127 + 120 * np.sin(x * (0.05 + 0.1 * c) + y * (0.21 - 0.06 * c) + c) for c in range(3)]
    values = np.stack(channels, -1) + rng.normal(0, 12, (height, width, 3))
    values[: height // 4, : width // 5] = [250, 10, 30]
    values[-height // 5 :, -width // 4 :] = 128
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))


def write_transforms(folder: pathlib.Path) -> None:
    source = picture(61, 47)
    start = [[0, 0], [60, 0], [60, 46], [0, 46]]
    end = [[5, 3], [55, 1], [58, 40], [2, 44]]
    results = {
        "source": source,
        "resize_bilinear_down": F.resize(source, [13, 20], Mode.BILINEAR),
        "resize_bilinear_up": F.resize(source, [90, 100], Mode.BILINEAR),
        "resize_bicubic_down": F.resize(source, [13, 20], Mode.BICUBIC),
        "resize_bicubic_up": F.resize(source, [90, 100], Mode.BICUBIC),
        "resize_nearest": F.resize(source, [70, 33], Mode.NEAREST),
        "resize_shorter_edge": F.resize(source, 32, Mode.BILINEAR),
        "resized_crop_bicubic": F.resized_crop(source, 7, 5, 30, 40, [24, 24], Mode.BICUBIC),
        "center_crop": F.center_crop(source, 32),
        "center_crop_padded": F.center_crop(source, 56),
        "brightness_down": F.adjust_brightness(source, 0.6),
        "brightness_up": F.adjust_brightness(source, 1.7),
        "contrast_down": F.adjust_contrast(source, 0.5),
        "contrast_up": F.adjust_contrast(source, 1.6),
        "saturation_down": F.adjust_saturation(source, 0.3),
        "saturation_up": F.adjust_saturation(source, 1.8),
        "hue_forwards": F.adjust_hue(source, 0.2),
        "hue_backwards": F.adjust_hue(source, -0.35),
        "grayscale": F.rgb_to_grayscale(source, 3),
        "solarize": F.solarize(source, 100),
        "blur": F.gaussian_blur(source, [7, 7], [1.3, 1.3]),
        "perspective_bilinear": F.perspective(source, start, end, Mode.BILINEAR),
        "perspective_nearest": F.perspective(source, start, end, Mode.NEAREST),
        "affine_nearest": F.affine(source, 10, [3, -2], 1.1, [0.0, 0.0], Mode.NEAREST),
        "affine_bilinear": F.affine(source, -25, [-4, 6], 0.8, [0.0, 0.0], Mode.BILINEAR),
    }
    for name, image in results.items():
        image.save(folder / f"{name}.png", optimize=True)


def interlaced_png(image: Image.Image) -> bytes:
    """An Adam7 RGB PNG, which Pillow reads but does not write."""
    values = np.asarray(image)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    rows = b"".join(b"\0" + row.tobytes() for y, x, dy, dx in passes for row in values[y::dy, x::dx])
    header = struct.pack(">IIBBBBB", image.width, image.height, 8, 2, 0, 0, 1)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def write_pictures(folder: pathlib.Path) -> None:
    def save(name: str, image: Image.Image, **options) -> None:
        image.save(folder / name, **options)
        with Image.open(folder / name) as saved:
            if saved.mode == "I;16":
                rgb = Image.fromarray(np.round(np.asarray(saved) / 257).astype(np.uint8)).convert("RGB")
            elif "transparency" in saved.info or saved.mode == "RGBA":
                rgba = saved.convert("RGBA")
                rgb = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
            else:
                rgb = saved.convert("RGB")
            rgb.save(folder / f"{name}.expected.png", optimize=True)

    rgb = picture(48, 32)
    save("baseline.jpg", rgb, quality=90)
    save("progressive.jpg", rgb, quality=90, progressive=True)
    save("grey.jpg", rgb.convert("L"), quality=90)
    save("cmyk.jpg", rgb.convert("CMYK"), quality=95)
    save("rgb.png", rgb)
    save("grey.png", rgb.convert("L"))
    save("one_bit.png", rgb.convert("1"))
    save("palette.png", rgb.quantize(16))
    save("palette_transparent.png", rgb.quantize(16), transparency=3)
    save("grey16.png", Image.fromarray((np.asarray(rgb.convert("L")).astype(np.uint16) * 251 + 77)))
    alpha = Image.fromarray(np.linspace(0, 255, 48 * 32).reshape(32, 48).astype(np.uint8))
    save("rgba.png", Image.merge("RGBA", (*rgb.split(), alpha)))
    save("rgb.bmp", rgb)
    (folder / "interlaced.png").write_bytes(interlaced_png(rgb))
    rgb.save(folder / "interlaced.png.expected.png", optimize=True)
    # Each shows the same picture once turned upright.
    undo = {2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
            5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_270}
    for orientation, how in undo.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        rgb.transpose(how).save(folder / f"orientation_{orientation}.jpg", quality=98, subsampling=0, exif=exif)


if __name__ == "__main__":
    for area, write in (("transforms", write_transforms), ("pictures", write_pictures)):
        (DATA / area).mkdir(parents=True, exist_ok=True)
        write(DATA / area)
        versions = f"scripts/golden/transforms.py: pillow {PIL.__version__}, torchvision {torchvision.__version__}\n"
        (DATA / area / "VERSIONS").write_text(versions)
