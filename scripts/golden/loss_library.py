#!/usr/bin/env python3
"""Makes tests/data/parity/loss_library.safetensors: values and gradients of published losses in double precision.

lightly: NT-Xent, with a memory bank MoCo, negative cosine (SimSiam; BYOL is 2 + 2 times it), Barlow Twins, VICReg, KoLeo, SwAV and Sinkhorn. torchvision: focal.
open_clip: SigLIP. Formulas written out below: MoCo v3, soft-target CLIP, supervised contrastive, DINO; cross-entropies of torch. Inputs are numbers that
fp32 holds exactly.

Usage: scripts/golden/loss_library.py  (needs torch, torchvision, lightly, open_clip, safetensors)
"""
import pathlib

import torch

library = torch.library.Library("torchvision", "DEF")  # its compiled operators do not load beside a CPU torch
for operator in ("nms", "qnms"):
    library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

import lightly
import lightly.loss as L
import open_clip
import torch.nn.functional as F
from lightly.loss.swav_loss import sinkhorn
from open_clip.loss import SigLipLoss
from safetensors.torch import save_file
from torchvision.ops import sigmoid_focal_loss


def soft_target_clip(image, text, temperature):
    logits = text @ image.T / temperature
    targets = F.softmax((image @ image.T + text @ text.T) / 2 * temperature, dim=-1)
    of_texts = (-targets * F.log_softmax(logits, dim=-1)).sum(1)
    of_images = (-targets.T * F.log_softmax(logits.T, dim=-1)).sum(1)
    return ((of_texts + of_images) / 2).mean()


def siglip(a, b):
    loss = SigLipLoss()
    return loss(F.normalize(a), F.normalize(b), torch.tensor(10.0).double(), torch.tensor(-10.0).double())


def sup_con(z, labels, temperature):
    """Equation 2 of arXiv:2004.11362, anchor by anchor."""
    z = F.normalize(z)
    terms = []
    for i in range(len(z)):
        others = [a for a in range(len(z)) if a != i]
        positives = [p for p in others if labels[p] == labels[i]]
        if positives:
            log_p = F.log_softmax(z[others] @ z[i] / temperature, dim=0)
            terms.append(-sum(log_p[others.index(p)] for p in positives) / len(positives))
    return torch.stack(terms).mean()


def moco_v3(query, key, temperature=0.2):
    """Algorithm 1 of arXiv:2104.02057, one direction."""
    logits = F.normalize(query) @ F.normalize(key.detach()).T / temperature
    return 2 * temperature * F.cross_entropy(logits, torch.arange(len(query)))


def dino(student, teacher, center, student_temperature, teacher_temperature):
    """Algorithm 1 of arXiv:2104.14294 with several crops: every teacher view against every other student view."""
    total, pairs = 0, 0
    for i, t in enumerate(teacher):
        q = F.softmax((t - center) / teacher_temperature, dim=-1).detach()
        for v, x in enumerate(student):
            if v != i:
                total, pairs = total + (-q * F.log_softmax(x / student_temperature, dim=-1)).sum(-1).mean(), pairs + 1
    return total / pairs


def binary_losses(labels):
    """Of logits, by name."""
    y = labels.double()
    return {
        "bce": lambda x: F.binary_cross_entropy_with_logits(x, y),
        "bce_weighted": lambda x: F.binary_cross_entropy_with_logits(x, y, pos_weight=torch.tensor(3.0).double()),
        "focal": lambda x: sigmoid_focal_loss(x, y, alpha=-1, gamma=2, reduction="mean"),
        "focal_paper": lambda x: sigmoid_focal_loss(x, y, alpha=0.25, gamma=2, reduction="mean"),
    }


def exact(*shape, scale=1.0):
    return (torch.randn(*shape) * scale).double()


torch.manual_seed(11)
PAIR_LOSSES = {
    "nt_xent": L.NTXentLoss(temperature=0.5),
    "nt_xent_cold": L.NTXentLoss(temperature=0.01),
    "simsiam": lambda p, z: L.NegativeCosineSimilarity()(p, z.detach()),
    "byol": lambda p, z: 2 + 2 * L.NegativeCosineSimilarity()(p, z.detach()),
    "barlow_twins": L.BarlowTwinsLoss(),
    "vicreg": L.VICRegLoss(),
    "koleo": lambda a, b: (L.KoLeoLoss()(a) + L.KoLeoLoss()(b)) / 2,
    "soft_target_clip": lambda a, b: soft_target_clip(a, b, 1.0),
    "soft_target_clip_2": lambda a, b: soft_target_clip(a, b, 2.0),
    "sigmoid": siglip,
    "moco_v3": moco_v3,
}
twins = exact(5, 4)
PAIRS = {
    "small": (exact(6, 8), exact(6, 8)),
    "two": (exact(2, 3), exact(2, 3)),
    "tall": (exact(33, 5), exact(33, 5)),
    "wide": (exact(4, 40), exact(4, 40)),
    "duplicates": (exact(3, 6)[[0, 1, 0, 2, 1]], exact(5, 6)),
    "equal": (twins, twins.clone()),
    "long_vectors": (exact(5, 4, scale=1e3), exact(5, 4, scale=1e-3)),
}

tensors = {}


def add_pairs(case, a, b, names=PAIR_LOSSES):
    tensors.update({f"{case}/a": a, f"{case}/b": b})
    for name in names:
        x, y = a.float().double().requires_grad_(), b.float().double().requires_grad_()
        value = PAIR_LOSSES[name](x, y)
        grads = torch.autograd.grad(value, [x, y], allow_unused=True)
        tensors[f"{case}/{name}/value"] = value
        for key, grad in zip(("grad_a", "grad_b"), grads):
            if grad is not None:
                tensors[f"{case}/{name}/{key}"] = grad


for case, (a, b) in PAIRS.items():
    add_pairs(case, a, b)

z, labels = exact(9, 4), torch.tensor([3, 1, 3, 7, 1, 3, 9, 1, 1])
x = z.clone().requires_grad_()
for name, temperature in (("sup_con", 0.07), ("sup_con_warm", 0.5)):
    value = sup_con(x, labels, temperature)
    tensors |= {f"{name}/value": value, f"{name}/grad": torch.autograd.grad(value, x)[0]}
tensors |= {"sup_con/z": z, "sup_con/labels": labels}

logits, targets = torch.cat([exact(9, scale=3), torch.tensor([60.0, -60.0, 0.0]).double()]), torch.tensor([0, 1] * 6)
x = logits.clone().requires_grad_()
for name, loss in binary_losses(targets).items():
    value = loss(x)
    tensors |= {f"{name}/value": value, f"{name}/grad": torch.autograd.grad(value, x)[0]}
tensors |= {"binary/logits": logits, "binary/labels": targets}

logits, targets = exact(7, 4, scale=2), torch.tensor([0, 3, 1, 1, 2, 0, 3])
x = logits.clone().requires_grad_()
for name, smoothing in (("cross_entropy", 0.0), ("cross_entropy_smooth", 0.1)):
    value = F.cross_entropy(x, targets, label_smoothing=smoothing)
    tensors |= {f"{name}/value": value, f"{name}/grad": torch.autograd.grad(value, x)[0]}
tensors |= {"classes/logits": logits, "classes/labels": targets}

views = [F.normalize(exact(6, 5)) @ F.normalize(exact(5, 12), dim=0) for _ in range(4)]
views = [v.float().double() for v in views]
inputs = [v.clone().requires_grad_() for v in views]
value = L.SwaVLoss()(inputs[:2], inputs[2:])[0]
tensors |= {"swav/value": value, "swav/codes": sinkhorn(views[0])}
tensors |= {f"swav/view_{i}": v for i, v in enumerate(views)}
tensors |= {f"swav/grad_{i}": g for i, g in enumerate(torch.autograd.grad(value, inputs))}

for name, (v, t, b, k) in {"multi_crop": (5, 2, 3, 37), "two_views": (2, 2, 4, 16), "three_teachers": (4, 3, 2, 9), "one_teacher": (3, 1, 2, 8)}.items():
    student, teacher, center = exact(v, b, k, scale=0.3), exact(t, b, k, scale=0.3), exact(k, scale=0.1)
    x = student.clone().requires_grad_()
    value = dino(x, teacher, center, 0.1, 0.04)
    tensors |= {f"dino/{name}/student": student, f"dino/{name}/teacher": teacher, f"dino/{name}/center": center, f"dino/{name}/value": value}
    tensors |= {f"dino/{name}/grad": torch.autograd.grad(value, x)[0], f"dino/{name}/next_center": 0.9 * center + 0.1 * teacher.mean((0, 1))}

add_pairs("one", exact(1, 6), exact(1, 6), [name for name in PAIR_LOSSES if name not in ("barlow_twins", "vicreg", "koleo")])
add_pairs("large_logits", exact(5, 7, scale=30), exact(5, 7, scale=30))
zero_row = exact(5, 4)
zero_row[2] = 0
add_pairs("zero_row", zero_row, exact(5, 4))

moco = L.NTXentLoss(temperature=0.1, memory_bank_size=(12, 5))
moco.memory_bank.bank = F.normalize(exact(12, 5).float().double())
tensors["moco/queue"] = moco.memory_bank.bank.clone()
for step in range(4):
    query, key = exact(4, 5), exact(4, 5)
    x = query.clone().requires_grad_()
    value = moco(x, key)
    tensors |= {f"moco/{step}/query": query, f"moco/{step}/key": key, f"moco/{step}/value": value}
    tensors |= {f"moco/{step}/grad": torch.autograd.grad(value, x)[0], f"moco/{step}/next_queue": moco.memory_bank.bank.clone()}

# More shapes of the losses that take no pair of batches.
def keep(case, name, loss, x, **more):
    """The value of loss(x) and its gradient as NAME, x and what goes with it as CASE."""
    x = x.float().double().requires_grad_()
    value = loss(x)
    tensors.update({f"{name}/value": value, f"{name}/grad": torch.autograd.grad(value, x)[0]})
    tensors.update({f"{case}/{key}": tensor for key, tensor in more.items()})


repeated = exact(3, 6)[[0, 1, 0, 2, 1]]
for case, z, labels in (
    ("wide", exact(4, 30), [0, 1, 0, 1]),
    ("tall", exact(20, 3), [i * i % 5 for i in range(20)]),
    ("pair", exact(2, 3), [4, 4]),
    ("duplicates", repeated, [0, 0, 0, 1, 1]),
    ("long", exact(6, 4, scale=1e3), [0, 0, 1, 1, 2, 2]),
):
    labels = torch.tensor(labels)
    for temperature in (0.07, 0.01):
        keep(f"sup_con_{case}", f"sup_con_{case}/{temperature}", lambda x: sup_con(x, labels, temperature), z, z=z, labels=labels)

for case, logits in (
    ("one", exact(1)),
    ("many", exact(33, scale=3)),
    ("ties", torch.zeros(6).double()),
    ("huge", torch.tensor([1e4, -1e4, 300.0, -300.0, 1e-8, -1e-8]).double()),
):
    labels = torch.tensor([i % 3 % 2 for i in range(len(logits))])
    for name, loss in binary_losses(labels).items():
        keep(f"binary_{case}", f"{name}_{case}", loss, logits, logits=logits, labels=labels)

for case, logits in (("one", exact(1, 3)), ("two", exact(5, 2)), ("many", exact(6, 50, scale=3)), ("ties", torch.zeros(3, 4).double()), ("huge", exact(6, 5, scale=1e3))):
    labels = torch.arange(len(logits)) % logits.size(1)
    for name, smoothing in (("cross_entropy", 0.0), ("cross_entropy_smooth", 0.1)):
        keep(f"classes_{case}", f"{name}_{case}", lambda x: F.cross_entropy(x, labels, label_smoothing=smoothing), logits, logits=logits, labels=labels)

for case, (n, k) in {"one": (1, 4), "wide": (3, 40), "tall": (17, 3)}.items():
    views = [(F.normalize(exact(n, 5)) @ F.normalize(exact(5, k), dim=0)).float().double() for _ in range(3)]
    inputs = [v.clone().requires_grad_() for v in views]
    value = L.SwaVLoss()(inputs[:2], inputs[2:])[0]
    tensors |= {f"swav_{case}/value": value, f"swav_{case}/codes": sinkhorn(views[0])}
    tensors |= {f"swav_{case}/view_{i}": v for i, v in enumerate(views)}
    tensors |= {f"swav_{case}/grad_{i}": g for i, g in enumerate(torch.autograd.grad(value, inputs))}

for case, (v, t, b, k, scale, temperature) in {
    "one": (3, 2, 1, 11, 0.3, 0.04),
    "warm": (4, 2, 3, 20, 0.3, 0.07),
    "large_logits": (4, 2, 3, 20, 30, 0.04),
    "ties": (3, 2, 2, 8, 0, 0.04),
}.items():
    student, teacher, center = exact(v, b, k, scale=scale), exact(t, b, k, scale=scale), exact(k, scale=0.1)
    x = student.clone().requires_grad_()
    value = dino(x, teacher, center, 0.1, temperature)
    tensors |= {f"dino/{case}/student": student, f"dino/{case}/teacher": teacher, f"dino/{case}/center": center, f"dino/{case}/value": value}
    tensors |= {f"dino/{case}/grad": torch.autograd.grad(value, x)[0], f"dino/{case}/next_center": 0.9 * center + 0.1 * teacher.mean((0, 1))}

# Cold, and with gradients of what is learned.
twins = exact(6, 5)
for case, (a, b) in {"learned": (exact(7, 5), exact(7, 5)), "learned_duplicates": (exact(3, 5)[[0, 1, 0, 2]], exact(4, 5)), "learned_twins": (twins, twins.clone())}.items():
    for name, (scale, bias) in {"default": (10.0, -10.0), "cold": (100.0, -10.0)}.items():
        x, y = a.float().double().requires_grad_(), b.float().double().requires_grad_()
        log_scale, offset = torch.tensor(scale).double().log().requires_grad_(), torch.tensor(bias).double().requires_grad_()
        value = SigLipLoss()(F.normalize(x), F.normalize(y), log_scale.exp(), offset)
        grads = torch.autograd.grad(value, [x, y, log_scale, offset])
        tensors |= {f"{case}/a": a, f"{case}/b": b, f"{case}/sigmoid_{name}/value": value}
        tensors |= {f"{case}/sigmoid_{name}/{key}": grad for key, grad in zip(("grad_a", "grad_b", "grad_log_scale", "grad_bias"), grads)}
    x, y = a.float().double().requires_grad_(), b.float().double()
    value = moco_v3(x, y, 0.02)
    tensors |= {f"{case}/moco_v3_cold/value": value, f"{case}/moco_v3_cold/grad_a": torch.autograd.grad(value, x)[0]}

for case, (query, key, queue, temperature) in {
    "one": (exact(1, 3), exact(1, 3), exact(5, 3), 0.1),
    "wide": (exact(4, 20), exact(4, 20), exact(8, 20), 0.07),
    "duplicates": (repeated, exact(5, 6), torch.cat([repeated, exact(2, 6)]), 0.1),
    "cold": (exact(5, 6, scale=1e3), exact(5, 6), exact(9, 6), 0.01),
}.items():
    query, key, queue = query.float().double(), key.float().double(), F.normalize(queue.float().double())
    contrast = L.NTXentLoss(temperature=temperature, memory_bank_size=(len(queue), queue.size(1)))
    contrast.memory_bank.bank = queue.clone()
    x = query.clone().requires_grad_()
    value = contrast(x, key)
    tensors |= {f"moco_{case}/query": query, f"moco_{case}/key": key, f"moco_{case}/queue": queue, f"moco_{case}/value": value}
    tensors |= {f"moco_{case}/grad": torch.autograd.grad(value, x)[0]}

# Degenerate scores and vectors.
for case, scores in {
    "duplicates": lambda: (F.normalize(exact(3, 5)) @ F.normalize(exact(5, 7), dim=0))[[0, 1, 0, 2, 1]],
    "ties": lambda: torch.zeros(4, 6).double(),
    "far_apart": lambda: exact(5, 6, scale=2),  # beyond the 80 ε within which fp32 is enough
}.items():
    views = [scores().float().double() for _ in range(3)]
    inputs = [v.clone().requires_grad_() for v in views]
    value = L.SwaVLoss()(inputs[:2], inputs[2:])[0]
    tensors |= {f"swav_{case}/value": value, f"swav_{case}/codes": sinkhorn(views[0])}
    tensors |= {f"swav_{case}/view_{i}": v for i, v in enumerate(views)}
    tensors |= {f"swav_{case}/grad_{i}": g for i, g in enumerate(torch.autograd.grad(value, inputs))}

zero_row = exact(5, 4)
zero_row[2] = 0
labels = torch.tensor([0, 1, 0, 1, 1])
keep("sup_con_zero_row", "sup_con_zero_row/0.07", lambda x: sup_con(x, labels, 0.07), zero_row, z=zero_row, labels=labels)

key, queue = exact(5, 4).float().double(), F.normalize(exact(7, 4).float().double())
key[3] = 0
contrast = L.NTXentLoss(temperature=0.1, memory_bank_size=(7, 4))
contrast.memory_bank.bank = queue.clone()
x = zero_row.clone().requires_grad_()
value = contrast(x, key)
tensors |= {"moco_zero_row/query": zero_row, "moco_zero_row/key": key, "moco_zero_row/queue": queue, "moco_zero_row/value": value}
tensors |= {"moco_zero_row/grad": torch.autograd.grad(value, x)[0]}

# Both sides agree, with logits of 10⁴: the value is small beside what it is the difference of.
teacher, center = 400 + exact(2, 2, 60, scale=0.05), exact(60, scale=0.1)
teacher, center = teacher.float().double(), center.float().double()
student = (2.5 * (torch.stack([teacher[1], teacher[0], teacher[0]]) - center)).float().double()
x = student.clone().requires_grad_()
value = dino(x, teacher, center, 0.1, 0.04)
tensors |= {"dino/agreement/student": student, "dino/agreement/teacher": teacher, "dino/agreement/center": center, "dino/agreement/value": value}
tensors |= {"dino/agreement/grad": torch.autograd.grad(value, x)[0], "dino/agreement/next_center": 0.9 * center + 0.1 * teacher.mean((0, 1))}

path = pathlib.Path(__file__).resolve().parents[2] / "tests/data/parity/loss_library.safetensors"
made_by = {"script": "scripts/golden/loss_library.py", "torch": torch.__version__, "lightly": lightly.__version__, "open_clip": open_clip.__version__}
save_file({name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}, path, made_by)
