#!/usr/bin/env python3
"""Makes tests/data/parity/losses.safetensors: the published formulas of CASS and CLIP in double precision.

Cosine is the loss of CASS's code, InfoNCE is open_clip.ClipLoss. Inputs are numbers that fp32 holds exactly.

Usage: scripts/golden/losses.py  (needs torch, torchvision, open_clip, safetensors)
"""
import math
import pathlib

import torch

library = torch.library.Library("torchvision", "DEF")  # its compiled operators do not load beside a CPU torch
for operator in ("nms", "qnms"):
    library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

import open_clip
import torch.nn.functional as F
from safetensors.torch import save_file


def cosine(a, b):
    """github.com/pranavsinghps1/CASS: loss_fn(x, y) = 2 - 2 * (normalize(x) * normalize(y)).sum(-1), averaged over the batch."""
    return (2 - 2 * (F.normalize(a, dim=-1, p=2) * F.normalize(b, dim=-1, p=2)).sum(dim=-1)).mean()


def info_nce(a, b, log_scale):
    return open_clip.ClipLoss()(F.normalize(a, dim=-1), F.normalize(b, dim=-1), log_scale.exp())


def randn(*shape):
    return torch.randn(*shape).double()


torch.manual_seed(5)
duplicates = randn(3, 8)[[0, 1, 0, 2, 1, 0]]
twins = randn(5, 7)
CASES = {  # name: (z_a, z_b, temperature)
    "small": (randn(4, 3), randn(4, 3), 0.07),
    "wide": (randn(3, 200), randn(3, 200), 0.07),
    "tall": (randn(64, 5), randn(64, 5), 0.2),
    "one_pair": (randn(1, 6), randn(1, 6), 0.07),
    "one_dimension": (randn(5, 1), randn(5, 1), 0.5),
    "duplicates": (duplicates, randn(6, 8), 0.07),
    "all_the_same": (torch.ones(4, 3).double(), torch.ones(4, 3).double(), 0.07),
    "equal": (twins, twins.clone(), 0.1),
    "opposite": (twins, -twins, 0.1),
    "large_logits": (randn(8, 4), randn(8, 4), 0.01),
    "long_vectors": (randn(6, 4) * 1e6, randn(6, 4) * 1e-6, 0.07),
}

tensors = {}
for name, (a, b, temperature) in CASES.items():
    a, b = a.float().double().requires_grad_(), b.float().double().requires_grad_()
    log_scale = torch.tensor(math.log(1 / temperature), dtype=torch.float64, requires_grad=True)
    value = cosine(a, b)
    grad_a, grad_b = torch.autograd.grad(value, [a, b])
    tensors |= {f"{name}/a": a, f"{name}/b": b, f"{name}/log_scale": log_scale}
    tensors |= {f"{name}/cosine/value": value, f"{name}/cosine/grad_a": grad_a, f"{name}/cosine/grad_b": grad_b}
    value = info_nce(a, b, log_scale)
    grads = torch.autograd.grad(value, [a, b, log_scale])
    tensors |= {f"{name}/info_nce/value": value}
    tensors |= {f"{name}/info_nce/{key}": grad for key, grad in zip(("grad_a", "grad_b", "grad_log_scale"), grads)}

# Zero vectors: of gradients those of the other rows count, since that of a norm at 0 is a convention.
a, b = randn(4, 3), randn(4, 3)
a[1], b[2] = 0, 0
a, b = a.requires_grad_(), b.requires_grad_()
log_scale = torch.tensor(math.log(1 / 0.07), dtype=torch.float64, requires_grad=True)
tensors |= {"zeros/a": a, "zeros/b": b, "zeros/log_scale": log_scale, "zeros/cosine/value": cosine(a, b)}
tensors |= {f"zeros/cosine/{key}": grad for key, grad in zip(("grad_a", "grad_b"), torch.autograd.grad(cosine(a, b), [a, b]))}
value = info_nce(a, b, log_scale)
grads = torch.autograd.grad(value, [a, b, log_scale])
tensors |= {"zeros/info_nce/value": value}
tensors |= {f"zeros/info_nce/{key}": grad for key, grad in zip(("grad_a", "grad_b", "grad_log_scale"), grads)}

path = pathlib.Path(__file__).resolve().parents[2] / "tests/data/parity/losses.safetensors"
made_by = {"script": "scripts/golden/losses.py", "torch": torch.__version__, "open_clip": open_clip.__version__}
save_file({name: tensor.detach().clone().double() for name, tensor in tensors.items()}, path, made_by)
