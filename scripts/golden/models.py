"""What the scripts that make goldens of whole networks share. Import it before timm, open_clip and transformers."""
import pathlib

import torch
from safetensors.torch import save_file

library = torch.library.Library("torchvision", "DEF")  # its compiled operators do not load beside a CPU torch
for operator in ("nms", "qnms"):
    library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

folder = pathlib.Path(__file__).resolve().parents[2] / "tests/data/parity"


def randomise(model):
    """Initial weights leave branches at zero; here every weight counts."""
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if tensor.dtype == torch.long:
                continue
            if tensor.dim() > 1:
                tensor.normal_(0, 1.5 / (tensor[0].numel() ** 0.5))
            elif name.endswith(("weight", "running_var")):
                tensor.uniform_(0.5, 1.5)
            else:
                tensor.normal_(0, 0.3)
    return model


def gradients(module, features, names, prefix=""):
    """Of Σ features ⊙ probe; the probe makes every entry count differently."""
    probe = torch.randn_like(features)
    parameters = dict(module.named_parameters())
    found = torch.autograd.grad((features * probe).sum(), [parameters[name] for name in names])
    return {f"{prefix}probe": probe} | {f"{prefix}gradient/{name}": gradient for name, gradient in zip(names, found)}


def save(name, model, tensors, made_by):
    """The weights under the reference's own names, and the tensors."""
    weights = {f"weights/{key}": value for key, value in model.state_dict().items()}
    tensors = {key: value.detach().clone().contiguous() for key, value in (weights | tensors).items()}
    save_file(tensors, folder / f"{name}.safetensors", made_by)
