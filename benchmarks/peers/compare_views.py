#!/usr/bin/env python3
"""Reading pictures and making views of them, ours beside torchvision on Pillow and Albumentations on OpenCV: milliseconds a picture of processor time on one thread, up to tensors: of the peers new ones, ours the memory of a batch, as the loader
makes them. All sides keep freed memory, as our programs do.

The pictures are 550 × 400 JPEGs of quality 90 (those of compare_training.py). Every side runs in a process of its own, by turns; the best round counts, of the same dice in each. Probabilities, ranges and
kernel sizes are those of our recipes (src/data/views.cpp). What the libraries do otherwise: Albumentations' pictures are shrunk without antialiasing (OpenCV's INTER_CUBIC and
INTER_LINEAR), and the corners of its perspective are drawn from another law.

Usage: benchmarks/peers/compare_views.py build/dev/benchmarks/views_speed [--json FILE]
Needs torch, torchvision, albumentations, opencv, pillow, numpy.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

from allocator import KEEP_FREED_MEMORY

PICTURES, ROUNDS, TURNS = 240, 2, 3
NAMES = ("decode", "dino", "clip_eval", "cass_384")
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
TAPS = 23  # of the blur


def torchvision_views():
    import torch

    library = torch.library.Library("torchvision", "DEF")  # its compiled operators do not load beside a CPU torch
    for operator in ("nms", "qnms"):
        library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    torch.set_num_threads(1)
    import PIL
    import torchvision
    from PIL import Image
    from torchvision import transforms as T

    cubic = T.InterpolationMode.BICUBIC
    ending = [T.ToTensor(), T.Normalize(MEAN, DEVIATION)]

    def dino_view(size, scale, blur, solarize):
        return T.Compose([T.RandomResizedCrop(size, scale=scale, interpolation=cubic), T.RandomHorizontalFlip(), T.RandomApply([T.ColorJitter(0.4, 0.4, 0.2, 0.1)], p=0.8),
                          T.RandomGrayscale(p=0.2), T.RandomApply([T.GaussianBlur(TAPS, (0.1, 2.0))], p=blur), T.RandomSolarize(128, p=solarize), *ending])

    jitter = T.ColorJitter(0.2, 0.2, 0.2)
    views = {
        "decode": [],
        "dino": [dino_view(224, (0.4, 1.0), 1.0, 0), dino_view(224, (0.4, 1.0), 0.1, 0.2)] + [dino_view(96, (0.05, 0.4), 0.5, 0)] * 8,
        "clip_eval": [T.Compose([T.Resize(224, interpolation=cubic), T.CenterCrop(224), *ending])],
        "cass_384": [T.Compose([T.Resize((384, 384)), T.RandomApply([jitter, T.RandomPerspective(0.2, p=0.5)], p=0.3), T.RandomApply([jitter, T.RandomAffine(10)], p=0.3),
                                T.RandomVerticalFlip(p=0.3), T.RandomHorizontalFlip(p=0.3), *ending])],
    }
    print(f"versions torchvision {torchvision.__version__}, Pillow {PIL.__version__}, torch {torch.__version__}")
    return lambda path: Image.open(path).convert("RGB"), {name: [lambda x, v=view: v(x) for view in of] for name, of in views.items()}


def albumentations_views():
    import albumentations as A
    import cv2
    import torch
    from albumentations.pytorch import ToTensorV2

    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    ending = [A.Normalize(MEAN, DEVIATION), ToTensorV2()]

    def dino_view(size, scale, blur, solarize):
        return A.Compose([A.RandomResizedCrop(size=(size, size), scale=scale, interpolation=cv2.INTER_CUBIC), A.HorizontalFlip(p=0.5), A.ColorJitter(0.4, 0.4, 0.2, 0.1, p=0.8),
                          A.ToGray(p=0.2), A.GaussianBlur(blur_limit=(TAPS, TAPS), sigma_limit=(0.1, 2.0), p=blur), A.Solarize(p=solarize), *ending])

    jitter = A.ColorJitter(0.2, 0.2, 0.2, 0, p=1)
    views = {
        "decode": [],
        "dino": [dino_view(224, (0.4, 1.0), 1.0, 0), dino_view(224, (0.4, 1.0), 0.1, 0.2)] + [dino_view(96, (0.05, 0.4), 0.5, 0)] * 8,
        "clip_eval": [A.Compose([A.SmallestMaxSize(224, interpolation=cv2.INTER_CUBIC), A.CenterCrop(224, 224), *ending])],
        "cass_384": [A.Compose([A.Resize(384, 384), A.Compose([jitter, A.Perspective(scale=(0, 0.1), p=0.5)], p=0.3), A.Compose([jitter, A.Affine(rotate=(-10, 10), interpolation=cv2.INTER_NEAREST, p=1)], p=0.3),
                                A.VerticalFlip(p=0.3), A.HorizontalFlip(p=0.3), *ending])],
    }
    print(f"versions Albumentations {A.__version__}, OpenCV {cv2.__version__}")
    return (lambda path: cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2RGB),
            {name: [lambda x, v=view: v(image=x)["image"] for view in of] for name, of in views.items()})


def seed(value):
    import random

    import numpy
    import torch

    random.seed(value)
    numpy.random.seed(value)
    torch.manual_seed(value)


def peer(which, folder):
    read, views = {"torchvision": torchvision_views, "albumentations": albumentations_views}[which]()
    paths = sorted(str(path) for path in folder.iterdir())
    for name in NAMES:
        best = 1e30
        for _ in range(ROUNDS):
            seed(0)  # the same dice in every round, or the best would be that of the fewest transforms
            began = time.process_time()
            for path in paths:
                picture = read(path)
                for view in views[name]:
                    view(picture)
            best = min(best, time.process_time() - began)
        print(name, 1e3 * best / len(paths), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("views_speed")
    parser.add_argument("--json")
    arguments = parser.parse_args()
    import compare_training

    compare_training.PICTURES = PICTURES
    environment = os.environ | KEEP_FREED_MEMORY | {"OMP_NUM_THREADS": "1", "NO_ALBUMENTATIONS_UPDATE": "1"}
    with tempfile.TemporaryDirectory() as temporary:
        compare_training.draw_memes(pathlib.Path(temporary))
        folder = str(pathlib.Path(temporary) / "img")
        sides = {"ours": [arguments.views_speed, folder, str(ROUNDS)]}
        for which in ("torchvision", "albumentations"):
            sides[which] = [sys.executable, __file__, "--peer", which, folder]
        best = {side: dict.fromkeys(NAMES, 1e30) for side in sides}
        versions = {}
        for _ in range(TURNS):
            for side, command in sides.items():
                done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
                for name, value in (line.split(maxsplit=1) for line in done.stdout.splitlines()):
                    if name == "versions":
                        versions[side] = value
                    else:
                        best[side][name] = min(best[side][name], float(value))
    print(f"{'ms a picture':<14}{'ours':>8}{'torchvision':>13}{'faster':>9}{'Albumentations':>16}{'faster':>9}")
    for name in NAMES:
        ours, first, second = (best[side][name] for side in sides)
        print(f"{name:<14}{ours:>8.2f}{first:>13.2f}{first / ours:>8.2f}×{second:>16.2f}{second / ours:>8.2f}×")
    print("; ".join(versions.values()))
    if arguments.json:
        pathlib.Path(arguments.json).write_text(json.dumps(best, indent=1) + "\n")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--peer"]:
        peer(sys.argv[2], pathlib.Path(sys.argv[3]))
    else:
        main()
