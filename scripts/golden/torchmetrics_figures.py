#!/usr/bin/env python3
"""Makes tests/data/metrics/torchmetrics.json: what torchmetrics says of scores and of retrieval.

Usage: scripts/golden/torchmetrics_figures.py  (needs torch, torchmetrics)
"""
import json
import pathlib

import torch

_torchvision = torch.library.Library("torchvision", "DEF")  # its compiled operators do not load beside another torch
for name in ("nms", "qnms"):
    _torchvision.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
import torchmetrics
from torchmetrics.functional import classification, retrieval


def binary(seed, n, part, digits):
    g = torch.Generator().manual_seed(seed)
    labels = (torch.rand(n, generator=g) < part).long()
    labels[:2], labels[2:4] = 0, 1
    # Rounded for ties; never on an edge of ten or fifteen bins, which torchmetrics closes on the other side.
    scores = (0.5 + 0.25 * (labels - 0.5) + 0.2 * torch.randn(n, generator=g, dtype=torch.double)).clamp(0.1, 0.9)
    scores = (scores * 10**digits).round() / 10**digits + 0.0013
    of = lambda f, **more: f(scores, labels, **more).item()
    return {
        "scores": scores.tolist(), "labels": labels.tolist(), "auroc": of(classification.binary_auroc),
        "average_precision": of(classification.binary_average_precision), "accuracy": of(classification.binary_accuracy),
        "precision": of(classification.binary_precision), "recall": of(classification.binary_recall), "f1": of(classification.binary_f1_score),
        "calibration_error": {bins: of(classification.binary_calibration_error, n_bins=bins) for bins in (10, 15)},
    }


def paired(seed, n, d):
    """recall@k is torchmetrics' hit rate where each query has one match."""
    g = torch.Generator().manual_seed(seed)
    images = torch.randn(n, d, generator=g)
    texts = images + torch.randn(n, d, generator=g)
    similarity = torch.nn.functional.normalize(images) @ torch.nn.functional.normalize(texts).T
    match = torch.eye(n, dtype=torch.bool)

    def recall(rows, k):
        return torch.stack([retrieval.retrieval_hit_rate(row, m, top_k=k) for row, m in zip(rows, match)]).mean().item()

    return {
        "images": images.tolist(), "texts": texts.tolist(), "image_to_text": {k: recall(similarity, k) for k in (1, 5, 10)},
        "text_to_image": {k: recall(similarity.T, k) for k in (1, 5, 10)},
    }


def main():
    golden = {
        "versions": {"torchmetrics": torchmetrics.__version__, "torch": torch.__version__},
        "binary": [binary(1, 40, 0.5, 1), binary(2, 300, 0.2, 2), binary(3, 500, 0.7, 3)], "retrieval": [paired(4, 30, 4), paired(5, 60, 8)],
    }
    path = pathlib.Path(__file__).parents[2] / "tests/data/metrics/torchmetrics.json"
    path.write_text(json.dumps(golden) + "\n")
    print(f"{path}: {path.stat().st_size} bytes")


main()
