#!/usr/bin/env python3
"""Makes tests/data/parity/fusion.safetensors: the fusion heads written out from their sources, outputs and gradients in double precision.

concat, align and cross are those of Hate-CLIPper (arXiv:2210.05916), their unit vectors scaled by the square root of d as ours are; cmaf is MOMENTA's attention over two
vectors (arXiv:2109.05184, function selfattNFuse_L2 of its code): keys and queries shared by both, scores not scaled, softmax over the two, ReLU of a projection. Weights have
our names.

Usage: scripts/golden/fusion.py  (needs torch, safetensors)
"""
import math
import pathlib

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

BATCH, IMAGE, TEXT, DIM, HIDDEN = 5, 7, 4, 6, 3
torch.manual_seed(29)


def linear(w, name, x):
    return F.linear(x, w[name + ".weight"], w[name + ".bias"])


def mapped(w, name, x):
    return F.normalize(linear(w, name, x), dim=1) * math.sqrt(DIM)


def cmaf(w, u, v):
    query_1, key_1 = F.relu(linear(w, "attention.query", u)), F.relu(linear(w, "attention.key", u))
    query_2, key_2 = F.relu(linear(w, "attention.query", v)), F.relu(linear(w, "attention.key", v))
    score_1 = torch.bmm(query_1.view(-1, 1, DIM // 2), key_2.view(-1, DIM // 2, 1)).reshape(-1, 1)
    score_2 = torch.bmm(query_2.view(-1, 1, DIM // 2), key_1.view(-1, DIM // 2, 1)).reshape(-1, 1)
    weights = torch.softmax(torch.cat((score_1, score_2), 1), dim=1)
    return F.relu(linear(w, "attention.project", torch.cat((u * weights[:, :1], v * weights[:, 1:]), 1)))


FUSIONS = {  # name: (width of the fused features, fusion)
    "concat": (2 * DIM, lambda w, u, v: torch.cat((u, v), 1)),
    "align": (DIM, lambda w, u, v: u * v),
    "cross": (DIM * DIM, lambda w, u, v: torch.bmm(u.unsqueeze(2), v.unsqueeze(1)).flatten(1, 2)),
    "cmaf": (DIM, cmaf),
}
SHAPES = {"image_map.linear": (DIM, IMAGE), "text_map.linear": (DIM, TEXT), "mlp.3": (1, HIDDEN)}
ATTENTION = {"attention.query": (DIM // 2, DIM), "attention.key": (DIM // 2, DIM), "attention.project": (DIM, 2 * DIM)}

tensors = {}
for name, (width, fuse) in FUSIONS.items():
    shapes = SHAPES | {"mlp.0": (HIDDEN, width)} | (ATTENTION if name == "cmaf" else {})
    w = {}
    for module, shape in shapes.items():
        w[module + ".weight"] = torch.randn(shape).double().requires_grad_()
        w[module + ".bias"] = torch.randn(shape[0]).double().requires_grad_()
    image, text, probe = torch.randn(BATCH, IMAGE).double(), torch.randn(BATCH, TEXT).double(), torch.randn(BATCH).double()
    fused = fuse(w, mapped(w, "image_map.linear", image), mapped(w, "text_map.linear", text))
    embedding = linear(w, "mlp.0", fused)
    logits = linear(w, "mlp.3", F.relu(embedding)).squeeze(1)
    gradients = torch.autograd.grad((logits * probe).sum(), list(w.values()))
    tensors |= {f"{name}/{key}": value for key, value in
                {"image": image, "text": text, "probe": probe, "embedding": embedding, "logits": logits}.items()}
    tensors |= {f"{name}/weights/{key}": value for key, value in w.items()}
    tensors |= {f"{name}/gradient/{key}": value for key, value in zip(w, gradients)}

path = pathlib.Path(__file__).resolve().parents[2] / "tests/data/parity/fusion.safetensors"
made_by = {"script": "scripts/golden/fusion.py", "torch": torch.__version__}
save_file({name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}, path, made_by)
