#!/usr/bin/env python3
"""Makes tests/data/parity/optimizer.safetensors: 20 steps of torch.optim.AdamW, and torch's learning rate schedules.

Usage: scripts/golden/optimizer.py  (needs torch, safetensors)
"""
import pathlib

import torch
from safetensors.torch import save_file
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR

STEPS = 20
torch.manual_seed(7)
tensors = {}

# "late" gets no gradient in the first five steps: torch leaves it alone then, weight decay included.
parameters = {"matrix": torch.randn(4, 3), "bias": torch.randn(3), "scalar": torch.randn(()), "late": torch.randn(2, 2)}
parameters = {name: torch.nn.Parameter(value) for name, value in parameters.items()}
tensors |= {f"before/{name}": p.detach().clone() for name, p in parameters.items()}
gradients = {name: torch.randn(STEPS, *p.shape) * torch.logspace(-4, 2, STEPS).view(-1, *[1] * p.dim()) for name, p in parameters.items()}
rates = torch.linspace(0.001, 0.1, STEPS, dtype=torch.float64)
optimizer = torch.optim.AdamW([{"params": [p for p in parameters.values() if p.dim() > 1], "weight_decay": 0.1},
                               {"params": [p for p in parameters.values() if p.dim() <= 1], "weight_decay": 0.0}],
                              betas=(0.8, 0.95), eps=1e-6)
after = {name: [] for name in parameters}
for step in range(STEPS):
    for group in optimizer.param_groups:
        group["lr"] = float(rates[step])
    for name, p in parameters.items():
        p.grad = None if name == "late" and step < 5 else gradients[name][step].clone()
    optimizer.step()
    for name, p in parameters.items():
        after[name].append(p.detach().clone())
tensors |= {f"gradients/{name}": value for name, value in gradients.items()} | {"rates": rates}
tensors |= {f"after/{name}": torch.stack(values) for name, values in after.items()}
for name, p in parameters.items():
    state = optimizer.state[p]
    tensors |= {f"exp_avg/{name}": state["exp_avg"], f"exp_avg_sq/{name}": state["exp_avg_sq"], f"step/{name}": state["step"]}


def schedule(warmup, total, final):
    """Warmup from 1/(w+1) up to 1 at step w, then a cosine that reaches `final` at step `total`."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    cosine = CosineAnnealingLR(optimizer, total - warmup, eta_min=final)
    if warmup:
        linear = LinearLR(optimizer, 1 / (warmup + 1), 1.0, warmup)
        cosine = SequentialLR(optimizer, [linear, cosine], [warmup])
    factors = []
    for _ in range(total):
        factors.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        cosine.step()
    return torch.tensor(factors, dtype=torch.float64)


# Key: warmup epochs, epochs, steps an epoch, final factor in percent.
for warmup, epochs, per_epoch, percent in ((0, 4, 5, 0), (1, 4, 5, 0), (2, 10, 7, 10), (3, 4, 1, 0), (0, 1, 1, 0)):
    key = f"schedule/{warmup}_{epochs}_{per_epoch}_{percent}"
    tensors[key] = schedule(warmup * per_epoch, epochs * per_epoch, percent / 100)

path = pathlib.Path(__file__).resolve().parents[2] / "tests/data/parity/optimizer.safetensors"
save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path,
          {"script": "scripts/golden/optimizer.py", "torch": torch.__version__})
