#!/usr/bin/env python3
"""Makes tests/data/parity/retrieval_guided.safetensors: RGCL's loss, value and gradient in double precision, anchor by anchor.

log_ratio is equation 6 of arXiv:2311.08110 (v1), hinge what the authors' script runs (--loss triplet --metric cos). Several positives count as the mean of their
exponentials, as in the authors' code. Vectors are numbers that fp32 holds exactly; a vector of an absent example is noise that must not matter.

Usage: scripts/golden/retrieval_guided.py  (needs torch, safetensors)
"""
import pathlib

import torch
from safetensors.torch import save_file
from torch.nn.functional import cosine_similarity

torch.manual_seed(23)


def cos(a, b):
    return cosine_similarity(a, b, dim=0, eps=1e-12)


def log_ratio(i, z, labels, positives, negatives, temperature):
    in_batch = [z[j] for j in range(len(z)) if labels[j] != labels[i]]
    attracting = sum(torch.exp(cos(z[i], p) / temperature) for p in positives) / len(positives)
    repelling = sum(torch.exp(cos(z[i], n) / temperature) for n in negatives + in_batch)
    return -torch.log(attracting / (attracting + repelling))


def hinge(i, z, labels, positives, negatives, margin):
    in_batch = [cos(z[i], z[j]) for j in range(len(z)) if labels[j] != labels[i]]
    distance = sum(in_batch) / len(in_batch) if in_batch else 0
    distance = distance + sum(cos(z[i], n) for n in negatives)
    return torch.relu(distance - sum(cos(z[i], p) for p in positives) / len(positives) + margin)


def mean_over_anchors(of_anchor, z, labels, case, setting):
    terms = []
    for i in range(len(z)):
        positives = [p for p, there in zip(case["positives"][i], case["has_positive"][i]) if there]
        negatives = [n for n, there in zip(case["negatives"][i], case["has_negative"][i]) if there]
        if positives:
            terms.append(of_anchor(i, z, labels, positives, negatives, setting))
    return torch.stack(terms).mean()


def exact(x):
    return x.float().double()


def make(labels, width, positives=1, negatives=1, absent=0.0):
    n = len(labels)
    case = {"z": exact(torch.randn(n, width)), "labels": torch.tensor(labels), "positives": exact(torch.randn(n, positives, width)),
            "negatives": exact(torch.randn(n, negatives, width)), "has_positive": torch.rand(n, positives) >= absent,
            "has_negative": torch.rand(n, negatives) >= absent}
    case["has_positive"][0, 0] = True  # the mean has an anchor
    return case


near = make([0, 1, 1, 0], 5)
near["positives"] = near["z"].unsqueeze(1).clone()  # an anchor's twin
near["negatives"] = near["z"][[1, 0, 3, 2]].unsqueeze(1).clone()
CASES = {
    "small": make([0, 1, 1, 0], 3),
    "one": make([1], 4),
    "one_class": make([1] * 5, 4),
    "several": make([0, 1, 0, 1, 1, 0], 8, 3, 2),
    "absent": make([0, 1, 0, 1, 1, 0, 0, 1], 8, 2, 3, 0.5),
    "no_hard_negatives": make([0, 1, 1, 0], 6, 1, 0),
    "wide": make([0, 1] * 6, 64),
    "twins": near,
}

tensors = {}
for name, case in CASES.items():
    tensors |= {f"{name}/{key}": value for key, value in case.items()}
    for key, of_anchor, setting in [("log_ratio", log_ratio, 1), ("log_ratio_cold", log_ratio, 0.07), ("hinge", hinge, 0.1), ("hinge_wide", hinge, 0.7)]:
        z = case["z"].clone().requires_grad_()
        value = mean_over_anchors(of_anchor, z, case["labels"], case, setting)
        tensors |= {f"{name}/{key}/value": value, f"{name}/{key}/grad": torch.autograd.grad(value, z)[0]}

path = pathlib.Path(__file__).resolve().parents[2] / "tests/data/parity/retrieval_guided.safetensors"
made_by = {"script": "scripts/golden/retrieval_guided.py", "torch": torch.__version__}
save_file({name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}, path, made_by)
