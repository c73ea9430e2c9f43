#!/usr/bin/env python3
"""Makes tests/data/parity/{resnet_basic,resnet_bottleneck,resnet_channels_last,vit,vit_mean,vit_rates,vit_dynamic,
vit_positions,bert,python}.safetensors and state_names.json.

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

from models import folder, gradients, randomise, save
import timm
import transformers
from safetensors.torch import save_file
from timm.layers import resample_abs_pos_embed
from timm.models import resnet, vision_transformer

made_by = {"script": "scripts/golden/backbones.py", "torch": torch.__version__, "timm": timm.__version__,
           "transformers": transformers.__version__}
torch.manual_seed(3)


def randomise_by_formula(model):
    """As randomise(), with weights that the test computes again instead of reading them."""
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if tensor.dtype == torch.long:
                continue
            number = sum(place * letter for place, letter in enumerate(name.encode(), 1))
            i = torch.arange(tensor.numel())
            values = ((31 * i * i + (2 * number + 17) * i + 7919 * number) % 65521 / 65521).view(tensor.shape)  # [0, 1)
            if tensor.dim() > 1:
                tensor.copy_((2 * values - 1) * (2.5 / tensor[0].numel() ** 0.5))
            elif name.endswith(("weight", "running_var")):
                tensor.copy_(0.5 + values)
            else:
                tensor.copy_(0.6 * values - 0.3)
    return model


def make_resnet(block, width, drop_path_rate=0.0):
    """timm's class has a stem of 64 channels; the stages are built again, by timm, for a stem of `width`."""
    channels = tuple(width << stage for stage in range(4))
    model = resnet.ResNet(block, [1, 2, 1, 1], num_classes=5, channels=channels)
    model.conv1, model.bn1 = torch.nn.Conv2d(3, width, 7, 2, 3, bias=False), torch.nn.BatchNorm2d(width)
    for name, stage in resnet.make_blocks((block,) * 4, channels, (1, 2, 1, 1), width, cardinality=1, base_width=64,
                                          act_layer=torch.nn.ReLU, norm_layer=torch.nn.BatchNorm2d, aa_layer=None,
                                          drop_path_rate=drop_path_rate)[0]:
        setattr(model, name, stage)
    return model


for name, block, width in (("resnet_basic", resnet.BasicBlock, 6), ("resnet_bottleneck", resnet.Bottleneck, 3)):
    model = randomise(make_resnet(block, width))
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
    golden |= {"train/features": features} | gradients(model, features, ["conv1.weight", last])
    golden |= {f"train/state/{key}": value.clone() for key, value in model.state_dict().items() if "running" in key or "num_batches" in key}
    model.load_state_dict(before)
    save(name, model, golden, made_by)

model = randomise(vision_transformer.VisionTransformer(img_size=32, patch_size=8, embed_dim=48, depth=2, num_heads=3, num_classes=5))
images = torch.randn(3, 3, 32, 32)
kept = {}
model.blocks[0].register_forward_hook(lambda module, given, out: kept.update(first=out))
model.blocks.register_forward_hook(lambda module, given, out: kept.update(last=out))
golden = {"input": images, "logits": model(images), "first_block": kept["first"], "blocks_out": kept["last"]}
features = model.forward_head(model.forward_features(images), pre_logits=True)
golden |= {"features": features} | gradients(model, features, ["patch_embed.proj.weight", "norm.weight"])
save("vit", model, golden, made_by)

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
golden |= gradients(model, mean, ["embeddings.word_embeddings.weight", "encoder.layer.1.output.dense.weight"])
save("bert", model, golden, made_by)

torch.manual_seed(5)
model = randomise(vision_transformer.VisionTransformer(img_size=32, patch_size=8, embed_dim=48, depth=1, num_heads=3, num_classes=0, dynamic_img_size=True))
golden = {}
for side in (24, 48):
    golden[f"input_{side}"] = torch.randn(2, 3, side, side)
    golden[f"features_{side}"] = model(golden[f"input_{side}"])
golden |= {"input": golden["input_24"], "features": golden["features_24"]} | gradients(model, golden["features_24"], ["pos_embed", "norm.weight"])
# A stored grid of positions for a larger and a smaller picture, as timm loads it; in bf16 too.
torch.manual_seed(6)
resized = vision_transformer.VisionTransformer(img_size=48, patch_size=8, embed_dim=48, depth=1, num_heads=3, num_classes=0)
resized.load_state_dict(vision_transformer.checkpoint_filter_fn(model.state_dict(), resized))
golden |= {"resized/pos_embed": resized.pos_embed, "resized/features": resized(golden["input_48"])}
save("vit_dynamic", model, golden, made_by)
stored = torch.randn(1, 1 + 14 * 14, 6)
tensors = {"stored": stored}
for side in (7, 24):
    for name, dtype in (("", torch.float32), ("_bf16", torch.bfloat16)):
        tensors[f"grid_{side}{name}"] = resample_abs_pos_embed(stored.to(dtype), (side, side), num_prefix_tokens=1)
save_file(tensors, folder / "vit_positions.safetensors", made_by)

# Rates act at the same places and draw the same random numbers: training from one seed gives one result.
rates = dict(drop_rate=0.1, pos_drop_rate=0.05, patch_drop_rate=0.4, proj_drop_rate=0.15, attn_drop_rate=0.2, drop_path_rate=0.5)
for name, pool in (("vit_mean", "avg"), ("vit_rates", "token")):
    torch.manual_seed(8)
    model = randomise(vision_transformer.VisionTransformer(img_size=32, patch_size=8, embed_dim=24, depth=3, num_heads=3, num_classes=5,
                                                           global_pool=pool, **rates))
    images = torch.randn(4, 3, 32, 32)
    attention = {}
    for i, block in enumerate(model.blocks):
        block.attn.attn_drop.register_forward_pre_hook(lambda module, given, i=i: attention.update({f"attention/{i}": given[0]}))
        block.attn.fused_attn = False  # the fused kernel keeps the weights to itself
    model.eval()
    golden = {"input": images, "tokens": model.forward_features(images), "logits": model(images)} | attention
    features = model.forward_head(model.forward_features(images), pre_logits=True)
    golden |= {"features": features} | gradients(model, features, ["patch_embed.proj.weight", "fc_norm.weight" if pool == "avg" else "norm.weight"])
    for block in model.blocks:
        block.attn.fused_attn = True
    model.train()
    torch.manual_seed(21)
    features = model.forward_head(model.forward_features(images), pre_logits=True)
    golden |= {f"train/{key}": value for key, value in
               ({"features": features} | gradients(model, features, ["patch_embed.proj.weight", "blocks.2.mlp.fc2.weight"])).items()}
    save(name, model, golden, made_by)

# Wide enough for the library's channels-last layout; the weights are a formula, so that the file stays small.
torch.manual_seed(9)
images = torch.randn(3, 3, 40, 48)
model = randomise_by_formula(make_resnet(resnet.Bottleneck, 16)).eval()
tokens = model.forward_features(images)
golden = {"input": images, "tokens": tokens.flatten(2).transpose(1, 2), "features": model.forward_head(tokens, pre_logits=True),
          "logits": model(images)}
for prefix, rate in (("train", 0.0), ("rates", 0.5)):
    model = randomise_by_formula(make_resnet(resnet.Bottleneck, 16, drop_path_rate=rate)).train()
    model.drop_rate = rate / 5
    torch.manual_seed(22)
    features = model.forward_head(model.forward_features(images), pre_logits=True)
    golden |= {f"{prefix}/{key}": value for key, value in
               ({"features": features} | gradients(model, features, ["conv1.weight", "layer4.0.bn2.weight"])).items()}
    golden |= {f"{prefix}/state/{key}": model.state_dict()[key] for key in ("bn1.running_var", "layer4.0.bn3.running_mean")}
save_file({key: value.detach().clone().contiguous() for key, value in golden.items()}, folder / "resnet_channels_last.safetensors", made_by)

names = [f"resnet{n}" for n in (18, 34, 50, 101)]
names += [f"vit_{size}_{side}" for size in ("tiny_patch16", "small_patch16", "base_patch16", "base_patch32") for side in (224, 384)]
with torch.device("meta"):
    models = {name: timm.create_model(name, num_classes=0) for name in names}
    bert = {"minilm_l6": dict(hidden_size=384, num_hidden_layers=6, intermediate_size=1536), "bert_base": {}}
    models |= {name: transformers.BertModel(transformers.BertConfig(**o), add_pooling_layer=False) for name, o in bert.items()}
    models["distilbert"] = transformers.DistilBertModel(transformers.DistilBertConfig())
rows = [f"{json.dumps(name)}:" + json.dumps({k: list(v.shape) for k, v in sorted(model.state_dict().items())}, separators=(",", ":"))
        for name, model in models.items()]
text = ",\n".join([f'"made_by":{json.dumps(made_by)}', *rows])
(folder / "state_names.json").write_text(f"{{{text}}}\n")

save_file(all_types(), folder / "python.safetensors", made_by)
