#!/usr/bin/env python3
"""Writes the expected results of tests/unit/{transforms,exact_transforms,auto_augment,image_io}_test: what Pillow and torchvision make of
the same pictures.

Usage: python scripts/golden/transforms.py      (needs pillow, numpy, torch, torchvision; see the versions in the files' VERSIONS)
"""
import json
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
from torchvision.transforms import RandAugment, autoaugment  # noqa: E402
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
        "affine_sheared": F.affine(source, 12, [2, -3], 0.9, [15.0, -8.0], Mode.BILINEAR),
        "affine_about_corner": F.affine(source, 20, [0, 0], 1.2, [-10.0, 0.0], Mode.BILINEAR, center=[0, 46]),
    }
    for name, image in results.items():
        image.save(folder / f"{name}.png", optimize=True)


def pattern(kind: str, width: int, height: int) -> Image.Image:
    """A picture that the tests make by the same formula, so that none of its size need be stored."""
    y, x, c = np.mgrid[0:height, 0:width, 0:3]
    waves = ((7 * x + 13 * y + 50 * c) ^ (x * y // 8)) & 255
    values = {
        "waves": waves,
        "gentle": 60 + 10 * c + waves // 4,
        "constant": 200 - 70 * c + 0 * x,
        "two": np.where((x + y) % 3 == 0, 40 + 60 * c, 41 - 20 * c),
        "mostly": np.where(x % 7 == 0, waves, 128),
    }[kind]
    return Image.fromarray(values.astype(np.uint8))


def fingerprint(image: Image.Image) -> str:
    """64-bit FNV-1a of the pixels."""
    value = 0xCBF29CE484222325
    for byte in image.tobytes():
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return f"{value:016x}"


def write_exact(folder: pathlib.Path) -> None:
    """What must be equal to the last bit, as fingerprints: [kind, width, height, arguments ..., fingerprint]."""
    modes = {"nearest": Mode.NEAREST, "bilinear": Mode.BILINEAR, "bicubic": Mode.BICUBIC}
    pictures = [(kind, *size) for kind in ("waves", "gentle", "constant", "two", "mostly") for size in ((61, 47), (1, 40))]
    pictures += [("waves", 1, 1), ("waves", 2, 2), ("waves", 2, 5), ("two", 3, 3), ("waves", 40, 1), ("mostly", 150, 110), ("gentle", 90, 70)]

    resized = []  # box (left, top, width, height) and size (width, height)
    for kind, width, height, box, size in (
        ("waves", 1, 40, (0, 0, 1, 40), (7, 9)), ("waves", 40, 1, (0, 0, 40, 1), (13, 3)), ("waves", 1, 1, (0, 0, 1, 1), (5, 4)),
        ("waves", 550, 400, (0, 0, 550, 400), (224, 224)), ("waves", 550, 400, (0, 0, 550, 400), (308, 224)),
        ("waves", 550, 400, (0, 0, 550, 400), (32, 23)), ("waves", 550, 400, (0, 0, 550, 400), (2, 1)), ("waves", 550, 400, (0, 0, 550, 400), (1, 300)),
        ("waves", 550, 400, (13, 101, 301, 97), (96, 96)), ("waves", 550, 400, (549, 0, 1, 400), (16, 16)), ("waves", 61, 47, (60, 46, 1, 1), (3, 3)),
        ("two", 61, 47, (0, 0, 61, 47), (224, 170)), ("constant", 61, 47, (3, 4, 50, 20), (5, 31)),
    ):
        for mode in modes:
            result = F.resized_crop(pattern(kind, width, height), box[1], box[0], box[3], box[2], [size[1], size[0]], modes[mode])
            resized.append([kind, width, height, box, size, mode, fingerprint(result)])

    moved = []  # degrees, shift, scale, shear, centre
    for kind, width, height, degrees, shift, scale, shear, center in (
        ("waves", 61, 47, 0, (0, 0), 1.0, (17.0, 0.0), None), ("waves", 61, 47, 0, (0, 0), 1.0, (0.0, -17.0), None),
        ("waves", 61, 47, 0, (0, 0), 1.0, (-9.0, 30.0), (0, 0)), ("waves", 61, 47, 33, (4, -7), 0.7, (5.0, 12.0), None),
        ("waves", 61, 47, -140, (1, 1), 1.9, (80.0, 20.0), (10.5, 40.25)), ("waves", 61, 47, 0, (5, -3), 1.0, (0.0, 0.0), None),
        ("waves", 61, 47, 0, (0, 0), 1.37, (0.0, 0.0), None), ("waves", 61, 47, 0, (-2, 8), 0.31, (0.0, 0.0), (3, 4)),
        ("waves", 61, 47, 180, (0, 0), 1.0, (0.0, 0.0), None), ("waves", 61, 47, 90, (0, 0), 1.0, (0.0, 0.0), None),
        ("waves", 1, 40, 10, (0, 0), 1.0, (10.0, 0.0), None), ("waves", 61, 47, 20, (0, 0), 0.001, (0.0, 0.0), None),
        ("waves", 550, 400, 7, (11, -40), 0.9, (3.0, -4.0), None),
    ):
        result = F.affine(pattern(kind, width, height), degrees, list(shift), scale, list(shear), Mode.NEAREST, center=center)
        moved.append([kind, width, height, degrees, shift, scale, shear, center, fingerprint(result)])

    def each(operation, values=(None,)):
        return [[*p, v, fingerprint(operation(pattern(*p)) if v is None else operation(pattern(*p), v))] for p in pictures for v in values]

    exact = {
        "resized_crop": resized,
        "affine": moved,
        "posterize": each(F.posterize, (1, 4, 7, 8)),
        "equalize": each(F.equalize),
        "autocontrast": each(F.autocontrast),
        "adjust_sharpness": each(F.adjust_sharpness, (0.0, 0.35, 1.0, 1.9, 7.5)),
    }
    write_lists(folder / "exact.json", exact)


def write_rand_augment(folder: pathlib.Path) -> None:
    """RandAugment's magnitudes, and each operation with three of them, of both signs where it has any."""
    magnitudes = []  # bins, width, height, operation, signed, magnitudes
    for bins, width, height in ((31, 224, 224), (31, 61, 47), (11, 550, 400), (2, 331, 331)):
        for name, (values, signed) in RandAugment(num_magnitude_bins=bins)._augmentation_space(bins, (height, width)).items():
            magnitudes.append([bins, width, height, name, signed, [float(v) for v in values.reshape(-1)]])
    applied = []  # operation, bin, sign, magnitude, fingerprint
    width, height = 61, 47
    for name, (values, signed) in RandAugment()._augmentation_space(31, (height, width)).items():
        for bin in (4, 9, 30) if values.ndim else (0,):
            for sign in (1, -1) if signed else (1,):
                magnitude = sign * float(values[bin] if values.ndim else 0.0)
                result = autoaugment._apply_op(pattern("waves", width, height), name, magnitude, Mode.NEAREST, None)
                applied.append([name, bin, sign, magnitude, fingerprint(result)])
    write_lists(folder / "rand_augment.json", {"magnitudes": magnitudes, "applied": applied})
    source = picture(61, 47)
    for name, magnitude in (("ShearX", 0.21), ("ShearY", -0.3), ("Rotate", 27.0)):
        result = autoaugment._apply_op(source, name, magnitude, Mode.BILINEAR, None)
        result.save(folder / f"rand_augment_{name}.png", optimize=True)


def write_lists(path: pathlib.Path, lists: dict) -> None:
    """JSON with one item a line."""
    parts = [f'"{key}": [\n' + ",\n".join(json.dumps(item) for item in items) + "\n]" for key, items in lists.items()]
    path.write_text("{\n" + ",\n".join(parts) + "\n}\n")


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
    for area, write in (
        ("transforms", write_transforms),
        ("transforms", write_exact),
        ("transforms", write_rand_augment),
        ("pictures", write_pictures),
    ):
        (DATA / area).mkdir(parents=True, exist_ok=True)
        write(DATA / area)
        versions = f"scripts/golden/transforms.py: pillow {PIL.__version__}, torchvision {torchvision.__version__}\n"
        (DATA / area / "VERSIONS").write_text(versions)
