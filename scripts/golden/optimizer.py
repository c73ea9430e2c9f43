#!/usr/bin/env python3
"""Makes tests/data/parity/optimizer.safetensors: steps of torch's AdamW and SGD, lightly's LARS and timm's LAMB, learning
rate schedules of torch and timm, timm's layer decay.

Usage: scripts/golden/optimizer.py  (needs torch, lightly, timm, safetensors)
"""
import json
import pathlib

import timm
import torch
from lightly.utils.lars import LARS
from safetensors.torch import save_file
from timm.optim import Lamb, param_groups_layer_decay
from timm.scheduler import CosineLRScheduler
from torch.optim.lr_scheduler import (CosineAnnealingLR, CosineAnnealingWarmRestarts, LinearLR, MultiStepLR, PolynomialLR,
                                      SequentialLR)

STEPS = 20
rates = torch.linspace(0.001, 0.1, STEPS, dtype=torch.float64)
tensors = {"rates": rates}


def take_steps(prefix, parameters, gradients, optimizer):
    """Keeps the parameters before and after each step, and the gradients."""
    tensors.update({f"{prefix}before/{name}": p.detach().clone() for name, p in parameters.items()})
    after = {name: [] for name in parameters}
    for step in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = float(rates[step])
        for name, p in parameters.items():
            p.grad = None if name == "late" and step < 5 else gradients[name][step].clone()
        optimizer.step()
        for name, p in parameters.items():
            after[name].append(p.detach().clone())
    tensors.update({f"{prefix}gradients/{name}": value for name, value in gradients.items()})
    tensors.update({f"{prefix}after/{name}": torch.stack(values) for name, values in after.items()})


torch.manual_seed(7)

# "late" gets no gradient in the first five steps: torch leaves it alone then, weight decay included.
parameters = {"matrix": torch.randn(4, 3), "bias": torch.randn(3), "scalar": torch.randn(()), "late": torch.randn(2, 2)}
parameters = {name: torch.nn.Parameter(value) for name, value in parameters.items()}
gradients = {name: torch.randn(STEPS, *p.shape) * torch.logspace(-4, 2, STEPS).view(-1, *[1] * p.dim()) for name, p in parameters.items()}
optimizer = torch.optim.AdamW([{"params": [p for p in parameters.values() if p.dim() > 1], "weight_decay": 0.1},
                               {"params": [p for p in parameters.values() if p.dim() <= 1], "weight_decay": 0.0}],
                              betas=(0.8, 0.95), eps=1e-6)
take_steps("", parameters, gradients, optimizer)
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



def trajectory(name, make, decay):
    """20 steps in double with a matrix that decays, one of zeros, and a vector that does not decay."""
    torch.manual_seed(11)
    values = {"matrix": torch.randn(4, 3), "zeros": torch.zeros(2, 3), "bias": torch.randn(3)}
    values = {key: torch.nn.Parameter(value.double()) for key, value in values.items()}
    gradients = {key: torch.randn(STEPS, *p.shape, dtype=torch.float64) for key, p in values.items()}
    gradients["matrix"][3] = 0
    optimizer = make([{"params": [values["matrix"], values["zeros"]], "weight_decay": decay},
                      {"params": [values["bias"]], "weight_decay": 0.0}])
    take_steps(f"{name}/", values, gradients, optimizer)


trajectory("sgd", lambda groups: torch.optim.SGD(groups, lr=1, momentum=0.9), 0.1)
trajectory("nesterov", lambda groups: torch.optim.SGD(groups, lr=1, momentum=0.8, nesterov=True), 0.1)
trajectory("plain", lambda groups: torch.optim.SGD(groups, lr=1), 0.1)
trajectory("lars", lambda groups: LARS(groups, lr=1, momentum=0.9), 0.01)
trajectory("lars_nesterov", lambda groups: LARS(groups, lr=1, momentum=0.9, nesterov=True, trust_coefficient=0.02), 0.01)
trajectory("lamb", lambda groups: Lamb(groups, lr=1, betas=(0.8, 0.95), max_grad_norm=None), 0.1)


def torch_factors(make, steps):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = make(optimizer)
    factors = []
    for _ in range(steps):
        factors.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return torch.tensor(factors, dtype=torch.float64)


tensors["shape/wave"] = torch_factors(lambda o: CosineAnnealingLR(o, 16, eta_min=1e-3), 100)
tensors["shape/restarts"] = torch_factors(lambda o: CosineAnnealingWarmRestarts(o, 10, T_mult=2, eta_min=0.05), 100)
tensors["shape/milestones"] = torch_factors(lambda o: MultiStepLR(o, [30, 60, 90], gamma=0.2), 100)
tensors["shape/polynomial"] = torch_factors(lambda o: PolynomialLR(o, 100, power=1.5), 100)
tensors["shape/linear"] = torch_factors(lambda o: LinearLR(o, 0.25, 1.0, 20), 100)
peak = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
timm_schedule = CosineLRScheduler(peak, t_initial=80, lr_min=0.01, warmup_t=20, warmup_lr_init=0.1, warmup_prefix=True,
                                  t_in_epochs=False)
factors = []
for step in range(100):
    timm_schedule.step_update(step)
    factors.append(peak.param_groups[0]["lr"])
tensors["shape/timm"] = torch.tensor(factors, dtype=torch.float64)

# timm's layer decay: the factor of each parameter, by name, without and with a classifier.
decays = {}
for model, classes in (("vit_tiny_patch16_224", 0), ("resnet18", 0), ("resnet50", 0), ("vit_tiny_patch16_224", 5), ("resnet18", 5)):
    encoder = timm.create_model(model, num_classes=classes)
    names = {id(p): name for name, p in encoder.named_parameters()}
    groups = param_groups_layer_decay(encoder, layer_decay=0.5)
    decays[f"{model}, {classes} classes"] = {names[id(p)]: group["lr_scale"] for group in groups for p in group["params"]}
folder = pathlib.Path(__file__).resolve().parents[2] / "tests/data/parity"
(folder / "layer_decay.json").write_text(json.dumps(decays, indent=0) + "\n")

save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "optimizer.safetensors",
          {"script": "scripts/golden/optimizer.py", "torch": torch.__version__})
