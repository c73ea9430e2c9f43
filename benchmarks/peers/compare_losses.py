#!/usr/bin/env python3
"""Our losses beside open_clip's, lightly's and DINO's formula written out in PyTorch: seconds (best of all repetitions, forward and backward) and peak memory beyond the inputs.

Both sides run in processes of their own, by turns, with the same number of threads, on vectors of the same shape.

Usage: benchmarks/peers/compare_losses.py build/release/benchmarks/loss_speed [--json FILE] [--only NAME] [--device cuda]
Needs torch, torchvision, open_clip, lightly.
"""
import argparse
import json
import os
import subprocess
import sys
import time

CASES = [  # loss, N, D, repetitions a turn
    ("info_nce", 256, 512, 200),
    ("info_nce", 4096, 512, 3),
    ("info_nce", 16384, 512, 1),
    ("nt_xent", 256, 128, 200),
    ("nt_xent", 4096, 128, 3),
    ("nt_xent", 8192, 512, 1),
    ("sigmoid", 256, 512, 200),
    ("sigmoid", 4096, 512, 3),
    ("barlow_twins", 256, 2048, 10),
    ("vicreg", 256, 2048, 10),
    ("koleo", 4096, 768, 5),
    ("swav", 256, 3000, 30),
    ("dino", 32, 65536, 3),
]
TURNS = 3


def peer(name, n, d, repetitions, device="cpu"):
    import torch

    torch.set_default_device(device)

    if device == "cpu":  # torchvision's compiled operators do not load beside a CPU torch
        library = torch.library.Library("torchvision", "DEF")
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import lightly.loss as L
    import open_clip
    import torch.nn.functional as F

    scale = torch.tensor(1 / 0.07).log().requires_grad_()
    clip = open_clip.ClipLoss()
    swav = L.SwaVLoss()
    siglip, bias = open_clip.loss.SigLipLoss(), torch.tensor(-10.0).requires_grad_()
    center = torch.zeros(1, 1)

    def dino(student, teacher):
        """The published formula (arXiv:2104.14294, algorithm 1) with ten crops, its centre included."""
        student = (student / 0.1).chunk(10)
        q = F.softmax((teacher - center) / 0.04, dim=-1).detach().chunk(2)
        terms = [torch.sum(-t * F.log_softmax(x, dim=-1), dim=-1).mean() for i, t in enumerate(q) for v, x in enumerate(student) if v != i]
        0.9 * center + 0.1 * teacher.mean(0, keepdim=True)
        return sum(terms) / len(terms)

    losses = {
        "dino": dino,
        "info_nce": lambda a, b: clip(F.normalize(a, dim=-1), F.normalize(b, dim=-1), scale.exp()),
        "sigmoid": lambda a, b: siglip(F.normalize(a, dim=-1), F.normalize(b, dim=-1), 10 * torch.ones(()), bias),
        "nt_xent": L.NTXentLoss(),
        "barlow_twins": L.BarlowTwinsLoss(),
        "vicreg": L.VICRegLoss(),
        "koleo": lambda a, b: L.KoLeoLoss()(a),
        "swav": lambda a, b: swav([a, b], []),
    }
    loss = losses[name]

    def megabytes(key):
        return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(key)) / 1024

    views = (10, 2) if name == "dino" else (1, 1)
    inputs = lambda n, d: [torch.randn(v * n, d) for v in views]
    if name == "swav":  # its scores are cosines
        inputs = lambda n, d: [torch.rand(n, d) * 2 - 1, torch.rand(n, d) * 2 - 1]
    warm_up = inputs(2, 8)
    warm_up[0].requires_grad_()
    torch.autograd.grad(loss(*warm_up), warm_up[0])
    a, b = inputs(n, d)
    variables = [a] if name in ("dino", "koleo") else [a, b]
    [x.requires_grad_() for x in variables]
    if device == "cpu":
        before = megabytes("VmRSS:")
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    else:
        before = torch.cuda.memory_allocated() / 2**20
        torch.cuda.reset_peak_memory_stats()
    best = 1e30
    for _ in range(repetitions):
        start = time.perf_counter()
        value = loss(a, b)
        torch.autograd.grad(value, variables)
        value.item()  # waits for the device
        best = min(best, time.perf_counter() - start)
        assert torch.isfinite(value), name
    peak = megabytes("VmHWM:") if device == "cpu" else torch.cuda.max_memory_allocated() / 2**20
    print(json.dumps({"seconds": best, "extra_megabytes": peak - before, "threads": torch.get_num_threads()}))


def run(command):
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--json")
    parser.add_argument("--only")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--peer", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peer:
        name, *numbers = arguments.peer
        return peer(name, *map(int, numbers), arguments.device)
    rows = []
    print(f"{'loss':14}{'N':>8}{'D':>6}{'ours':>12}{'peer':>12}{'faster':>9}{'ours, MB':>11}{'peer, MB':>11}{'threads':>9}")
    for name, n, d, repetitions in CASES:
        if arguments.only not in (None, name):
            continue
        shape = [name, str(n), str(d), str(repetitions if arguments.device == "cpu" else 30)]
        sides = {"ours": [arguments.program, *shape, arguments.device], "peer": [sys.executable, os.path.abspath(__file__), "-", "--device", arguments.device, "--peer", *shape]}
        best = {}
        for _ in range(TURNS):
            for side, command in sides.items():
                result = run(command)
                if side not in best or result["seconds"] < best[side]["seconds"]:
                    best[side] = result
        ours, other = best["ours"], best["peer"]
        if ours["threads"] != other["threads"]:
            sys.exit(f"compare_losses: {ours['threads']} threads against {other['threads']}: set OMP_NUM_THREADS")
        rows.append({"loss": name, "n": n, "d": d, "ours": ours, "peer": other, "faster": other["seconds"] / ours["seconds"]})
        print(f"{name:14}{n:8}{d:6}{ours['seconds'] * 1e3:10.2f}ms{other['seconds'] * 1e3:10.2f}ms{rows[-1]['faster']:8.2f}×"
              f"{ours['extra_megabytes']:11.1f}{other['extra_megabytes']:11.1f}{ours['threads']:9}", flush=True)
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump(rows, file, indent=2)


main()
