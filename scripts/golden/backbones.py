#!/usr/bin/env python3
"""Makes tests/data/parity/{resnet_basic,resnet_bottleneck,vit,vit_dynamic,bert,python}.safetensors and state_names.json.

The networks are small members of timm's and transformers' families with random weights, so that the files stay small.

Usage: scripts/golden/backbones.py            (needs torch, timm, torchvision, transformers, safetensors)
       scripts/golden/backbones.py --check    reads tests/data/parity/cpp.safetensors, which the library wrote
"""
import json
import pathlib
import sys

import torch

folder = pathlib.Path(__file__).resolve().parents[2] / "tests/data/parity"
TYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8,
         torch.bool]


def all_types():
    """One tensor a type with -1, 0, 1, 2 in it, and a 0-d and an empty one."""
    tensors = {str(t).split(".")[1]: torch.tensor([[-1, 0], [1, 2]]).to(t) for t in TYPES}
    return tensors | {"scalar": torch.tensor(0.5), "empty": torch.zeros(0, 3)}


if "--check" in sys.argv:
    import safetensors

    with safetensors.safe_open(folder / "cpp.safetensors", "pt") as file:
        assert file.metadata() == {"made_by": "sslmeme", "note": "ä \"quoted\""}, file.metadata()
        found = {name: file.get_tensor(name) for name in file.keys()}
    for name, tensor in all_types().items():
        assert found[name].dtype == tensor.dtype and torch.equal(found[name], tensor), name
    assert len(found) == len(all_types())
    print("cpp.safetensors holds what it should")
    sys.exit()

library = torch.library.Library("torchvision", "DEF")  # its compiled operators do not load beside a CPU torch
for operator in ("nms", "qnms"):
    library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

import timm
import transformers
from safetensors.torch import save_file
from timm.models import resnet, vision_transformer

made_by = {"script": "scripts/golden/backbones.py", "torch": torch.__version__, "timm": timm.__version__,
           "transformers": transformers.__version__}
torch.manual_seed(3)


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


def gradients(model, features, first, last):
    """Of Σ features ⊙ probe; the probe makes every entry count differently."""
    probe = torch.randn_like(features)
    parameters = dict(model.named_parameters())
    first_gradient, last_gradient = torch.autograd.grad((features * probe).sum(), [parameters[first], parameters[last]])
    return {"probe": probe, f"gradient/{first}": first_gradient, f"gradient/{last}": last_gradient}


def save(name, model, tensors):
    weights = {f"weights/{key}": value for key, value in model.state_dict().items()}
    tensors = {key: value.detach().clone().contiguous() for key, value in (weights | tensors).items()}
    save_file(tensors, folder / f"{name}.safetensors", made_by)


def make_resnet(block, width):
    """timm's class has a stem of 64 channels; the stages are built again, by timm, for a stem of `width`."""
    channels = tuple(width << stage for stage in range(4))
    model = resnet.ResNet(block, [1, 2, 1, 1], num_classes=5, channels=channels)
    model.conv1, model.bn1 = torch.nn.Conv2d(3, width, 7, 2, 3, bias=False), torch.nn.BatchNorm2d(width)
    for name, stage in resnet.make_blocks((block,) * 4, channels, (1, 2, 1, 1), width, cardinality=1, base_width=64,
                                          act_layer=torch.nn.ReLU, norm_layer=torch.nn.BatchNorm2d, aa_layer=None)[0]:
        setattr(model, name, stage)
    return randomise(model)


for name, block, width in (("resnet_basic", resnet.BasicBlock, 6), ("resnet_bottleneck", resnet.Bottleneck, 3)):
    model = make_resnet(block, width)
    images = torch.randn(3, 3, 40, 48)
    kept = {}
    model.layer1.register_forward_hook(lambda module, given, out: kept.update(out=out.clone()))
    model.eval()
    golden = {"input": images, "logits": model(images), "layer1": kept["out"],
              "features": model.forward_head(model.forward_features(images), pre_logits=True)}
    before = {key: value.clone() for key, value in model.state_dict().items()}
    model.train()
    features = model.forward_head(model.forward_features(images), pre_logits=True)
    last = "layer4.0.conv2.weight"
    golden |= {"train/features": features} | gradients(model, features, "conv1.weight", last)
    golden |= {f"train/state/{key}": value.clone() for key, value in model.state_dict().items() if "running" in key or "num_batches" in key}
    model.load_state_dict(before)
    save(name, model, golden)

model = randomise(vision_transformer.VisionTransformer(img_size=32, patch_size=8, embed_dim=48, depth=2, num_heads=3, num_classes=5))
images = torch.randn(3, 3, 32, 32)
kept = {}
model.blocks.register_forward_hook(lambda module, given, out: kept.update(given=given[0], out=out))
golden = {"input": images, "logits": model(images), "blocks_in": kept["given"], "blocks_out": kept["out"]}
features = model.forward_head(model.forward_features(images), pre_logits=True)
golden |= {"features": features} | gradients(model, features, "patch_embed.proj.weight", "norm.weight")
save("vit", model, golden)

config = transformers.BertConfig(vocab_size=90, hidden_size=48, num_hidden_layers=2, num_attention_heads=12, intermediate_size=192,
                                 max_position_embeddings=20)
model = randomise(transformers.BertModel(config, add_pooling_layer=False)).eval()
tokens = torch.randint(1, 90, (4, 11))
mask = torch.ones(4, 11, dtype=torch.bool)
for row, length in enumerate((11, 7, 2, 1)):
    mask[row, length:], tokens[row, length:] = False, 0
hidden = model(input_ids=tokens, attention_mask=mask.long()).last_hidden_state
weight = mask.unsqueeze(-1).float()  # sentence-transformers' Pooling, mode "mean"
mean = (hidden * weight).sum(1) / weight.sum(1).clamp(min=1e-9)
golden = {"tokens": tokens, "mask": mask, "first": hidden[:, 0], "mean": mean,
          "first_unpadded": model(input_ids=tokens[:1], attention_mask=mask[:1].long()).last_hidden_state[:, 0]}
golden |= gradients(model, mean, "embeddings.word_embeddings.weight", "encoder.layer.1.output.dense.weight")
save("bert", model, golden)

torch.manual_seed(5)
model = randomise(vision_transformer.VisionTransformer(img_size=32, patch_size=8, embed_dim=48, depth=1, num_heads=3, num_classes=0, dynamic_img_size=True))
golden = {}
for side in (24, 48):
    golden[f"input_{side}"] = torch.randn(2, 3, side, side)
    golden[f"features_{side}"] = model(golden[f"input_{side}"])
golden |= {"input": golden["input_24"], "features": golden["features_24"]} | gradients(model, golden["features_24"], "pos_embed", "norm.weight")
save("vit_dynamic", model, golden)

names = [f"resnet{n}" for n in (18, 34, 50)] + [f"vit_{size}_patch16_{side}" for size in ("tiny", "small", "base") for side in (224, 384)]
with torch.device("meta"):
    models = {name: timm.create_model(name, num_classes=0) for name in names}
    bert = {"minilm_l6": dict(hidden_size=384, num_hidden_layers=6, intermediate_size=1536), "bert_base": {}}
    models |= {name: transformers.BertModel(transformers.BertConfig(**o), add_pooling_layer=False) for name, o in bert.items()}
rows = [f"{json.dumps(name)}:" + json.dumps({k: list(v.shape) for k, v in sorted(model.state_dict().items())}, separators=(",", ":"))
        for name, model in models.items()]
text = ",\n".join([f'"made_by":{json.dumps(made_by)}', *rows])
(folder / "state_names.json").write_text(f"{{{text}}}\n")

save_file(all_types(), folder / "python.safetensors", made_by)
