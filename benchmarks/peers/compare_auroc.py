#!/usr/bin/env python3
"""AUROC of five million scores, ours beside scikit-learn: one thread each, by turns, the best of all rounds.

Usage: benchmarks/peers/compare_auroc.py build/dev/benchmarks/auroc_speed
Needs numpy, scikit-learn.
"""
import os
import pathlib
import subprocess
import sys
import tempfile
import time

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

import numpy
from sklearn import metrics

N, TURNS = 5_000_000, 3


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    rng = numpy.random.default_rng(1)
    labels = (rng.uniform(size=N) < 0.3).astype(numpy.int64)
    scores = numpy.round(rng.normal(size=N) + labels, 6)  # with ties
    with tempfile.TemporaryDirectory() as folder:
        files = [str(pathlib.Path(folder) / name) for name in ("scores", "labels")]
        scores.tofile(files[0])
        labels.tofile(files[1])
        ours, peer = [], []
        for _ in range(TURNS):
            seconds, value = map(float, subprocess.run([sys.argv[1], *files], check=True, capture_output=True, text=True).stdout.split())
            ours.append(seconds)
            began = time.perf_counter()
            other = metrics.roc_auc_score(labels, scores)
            peer.append(time.perf_counter() - began)
            if abs(value - other) > 1e-12:
                sys.exit(f"compare_auroc: {value} here, {other} there")
    print(f"{N} scores: {min(ours):.3f} s, scikit-learn {min(peer):.3f} s: {min(peer) / min(ours):.1f} times as fast, AUROC {other:.6f} on both sides")


main()
