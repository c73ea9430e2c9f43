#!/usr/bin/env python3
"""Decoding pictures, ours beside OpenCV and Pillow: milliseconds a picture on one thread, out of memory into RGB bytes.

The pictures are 550 × 400: those of compare_training.py, as PNG written by Pillow with its defaults (RGB, RGBA, grey) and as JPEG of quality 90.
Every side runs in a process of its own, by turns; the best round counts. OpenCV's RGBA is what IMREAD_UNCHANGED gives, without compositing.

Usage: benchmarks/peers/compare_decode.py build/dev/benchmarks/decode_speed [--json FILE]
Needs opencv, pillow, numpy.
"""
import argparse
import io
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

from allocator import KEEP_FREED_MEMORY

PICTURES, ROUNDS, TURNS = 20, 3, 4
KINDS = ("png_rgb", "png_rgba", "png_grey", "jpeg")


def write_pictures(folder):
    import numpy as np
    from PIL import Image

    import compare_training

    compare_training.PICTURES = PICTURES
    compare_training.draw_memes(folder)
    for kind in KINDS:
        (folder / kind).mkdir()
    ramp = Image.fromarray(np.linspace(0, 255, 400 * 550).reshape(400, 550).astype(np.uint8))
    for path in sorted((folder / "img").iterdir()):
        picture = Image.open(path).convert("RGB")
        picture.save(folder / "png_rgb" / f"{path.stem}.png")
        Image.merge("RGBA", (*picture.split(), ramp)).save(folder / "png_rgba" / f"{path.stem}.png")
        picture.convert("L").save(folder / "png_grey" / f"{path.stem}.png")
        picture.save(folder / "jpeg" / f"{path.stem}.jpg", quality=90)


def opencv_decoder():
    import cv2
    import numpy as np

    cv2.setNumThreads(0)

    def decode(data, kind):
        values = np.frombuffer(data, np.uint8)
        if kind == "png_rgba":
            return cv2.cvtColor(cv2.imdecode(values, cv2.IMREAD_UNCHANGED), cv2.COLOR_BGRA2RGBA)
        return cv2.imdecode(values, cv2.IMREAD_COLOR_RGB)

    return decode


def pillow_decoder():
    from PIL import Image

    def decode(data, kind):
        picture = Image.open(io.BytesIO(data))
        if kind == "png_rgba":
            return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
        return picture.convert("RGB")

    return decode


def peer(which, folder):
    decode = {"OpenCV": opencv_decoder, "Pillow": pillow_decoder}[which]()
    for kind in KINDS:
        files = [path.read_bytes() for path in sorted((folder / kind).iterdir())]
        best = 1e30
        for _ in range(ROUNDS):
            began = time.perf_counter()
            for data in files:
                decode(data, kind)
            best = min(best, time.perf_counter() - began)
        print(kind, 1e3 * best / len(files), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("decode_speed")
    parser.add_argument("--json")
    arguments = parser.parse_args()
    import cv2
    import PIL
    from PIL import features

    environment = os.environ | KEEP_FREED_MEMORY | {"OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as folder:
        write_pictures(pathlib.Path(folder))
        sides = {"ours": [arguments.decode_speed, folder, str(ROUNDS)]}
        for which in ("OpenCV", "Pillow"):
            sides[which] = [sys.executable, __file__, "--peer", which, folder]
        best = {side: dict.fromkeys(KINDS, 1e30) for side in sides}
        for _ in range(TURNS):
            for side, command in sides.items():
                done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
                for kind, value in (line.split() for line in done.stdout.splitlines()):
                    best[side][kind] = min(best[side][kind], float(value))
    codecs = [line.strip() for line in cv2.getBuildInformation().splitlines() if line.strip().startswith(("ZLib:", "JPEG:", "PNG:"))]
    print(f"OpenCV {cv2.__version__} ({'; '.join(' '.join(line.split()) for line in codecs)})")
    print(f"Pillow {PIL.__version__} (zlib {features.version('zlib')}, libjpeg-turbo {features.version('libjpeg_turbo')})")
    print(f"{'ms a picture':<14}{'ours':>8}{'OpenCV':>10}{'faster':>9}{'Pillow':>10}{'faster':>9}")
    for kind in KINDS:
        ours, first, second = (best[side][kind] for side in sides)
        print(f"{kind:<14}{ours:>8.2f}{first:>10.2f}{first / ours:>8.2f}×{second:>10.2f}{second / ours:>8.2f}×")
    if arguments.json:
        pathlib.Path(arguments.json).write_text(json.dumps(best, indent=1) + "\n")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--peer"]:
        peer(sys.argv[2], pathlib.Path(sys.argv[3]))
    else:
        main()
