#!/usr/bin/env python3
"""Makes tests/data/parity/heads.safetensors: lightly's heads, their outputs in training and in evaluation, and gradients.

Weights keep lightly's names. Affine parts that ours has not (the last BatchNorm of MoCo v3 in lightly; none in the published code) stay at 1 and 0.

Usage: scripts/golden/heads.py  (needs torch, torchvision, lightly, safetensors)
"""
import pathlib

import torch

library = torch.library.Library("torchvision", "DEF")  # its compiled operators do not load beside a CPU torch
for operator in ("nms", "qnms"):
    library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

import lightly
import lightly.models.modules.heads as heads
import torch.nn.functional as F
from safetensors.torch import save_file

IN, HIDDEN, OUT, BATCH = 6, 10, 7, 9
torch.manual_seed(17)

PROJECTIONS = {
    "dino": heads.DINOProjectionHead(IN, HIDDEN, 5, OUT),
    "dino_batch_norm": heads.DINOProjectionHead(IN, HIDDEN, 5, OUT, batch_norm=True),
    "dino_free_norm": heads.DINOProjectionHead(IN, HIDDEN, 5, OUT, norm_last_layer=False),
    "byol": heads.BYOLProjectionHead(IN, HIDDEN, OUT),
    "simsiam": heads.SimSiamProjectionHead(IN, HIDDEN, OUT),
    "moco_v3": heads.MoCoProjectionHead(IN, HIDDEN, OUT, num_layers=3, batch_norm=True),
}
PREDICTORS = {
    "byol": heads.BYOLPredictionHead(OUT, HIDDEN, OUT),
    "simsiam": heads.SimSiamPredictionHead(OUT, HIDDEN, OUT),
    "moco_v3": heads.MoCoProjectionHead(OUT, HIDDEN, OUT, num_layers=2, batch_norm=True),
}
tensors = {}


def randomise(module, last_affine_is_fixed):
    """Every number its own; the moving statistics stay fresh."""
    state = {name: parameter for name, parameter in module.named_parameters()}
    if last_affine_is_fixed:
        last = len(module.layers) - 1
        state = {name: parameter for name, parameter in state.items() if not name.startswith(f"layers.{last}.")}
    with torch.no_grad():
        for name, parameter in state.items():
            if name == "last_layer.weight_g":
                if parameter.requires_grad:
                    parameter.uniform_(0.5, 1.5)
            elif parameter.dim() == 1 and name.endswith("weight"):
                parameter.uniform_(0.5, 1.5)
            else:
                parameter.normal_(0, 0.4)


def keep(case, module, **more):
    tensors.update({f"{case}/weights/{name}": tensor.clone() for name, tensor in module.state_dict().items()})
    tensors.update({f"{case}/{name}": tensor for name, tensor in more.items()})


for name, head in PROJECTIONS.items():
    randomise(head, name == "moco_v3")
    x = torch.randn(BATCH, IN).requires_grad_()
    probe = torch.randn(BATCH, OUT)
    keep(f"projection/{name}", head, x=x, probe=probe)
    out = head.train()(x)
    first = head.layers[0].weight
    grad_x, grad_first = torch.autograd.grad((out * probe).sum(), [x, first])
    keep_after = {"train": out, "grad_x": grad_x, "grad_first": grad_first, "eval": head.eval()(x)}
    tensors.update({f"projection/{name}/{key}": value for key, value in keep_after.items()})

for name, head in PREDICTORS.items():
    randomise(head, name == "moco_v3")
    z_a, z_b = torch.randn(BATCH, OUT).requires_grad_(), torch.randn(BATCH, OUT)
    keep(f"prediction/{name}", head, z_a=z_a, z_b=z_b)
    value = -F.cosine_similarity(head.train()(z_a), z_b, dim=1).mean()  # SimSiam's loss, whatever the head
    tensors.update({f"prediction/{name}/value": value, f"prediction/{name}/grad_a": torch.autograd.grad(value, z_a)[0]})

path = pathlib.Path(__file__).resolve().parents[2] / "tests/data/parity/heads.safetensors"
made_by = {"script": "scripts/golden/heads.py", "torch": torch.__version__, "lightly": lightly.__version__}
save_file({name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}, path, made_by)
