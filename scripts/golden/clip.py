#!/usr/bin/env python3
"""Makes tests/data/parity/{clip_towers,clip_resnet}.safetensors and clip_state_names.json.

The networks are small members of open_clip's families with random weights, so that the files stay small.

Usage: scripts/golden/clip.py            (needs torch, open_clip, safetensors)
"""
import json
import math
import pathlib

import torch


from models import folder, gradients, randomise, save
import open_clip
from open_clip.model import CLIP, resize_pos_embed, resize_text_pos_embed
from open_clip.modified_resnet import ModifiedResNet
from safetensors.torch import save_file

made_by = {"script": "scripts/golden/clip.py", "torch": torch.__version__, "open_clip": open_clip.__version__}
torch.manual_seed(11)


def make_clip(quick_gelu=False, **vision):
    vision = dict(image_size=32, patch_size=8, layers=2, width=24, head_width=8) | vision
    text = dict(context_length=10, vocab_size=60, layers=2, width=24, heads=3)
    return CLIP(20, vision, text, quick_gelu=quick_gelu).eval()


def attention_maps(transformer, mask, run):
    """The weights of each layer, which its MultiheadAttention gives when asked for them."""
    maps = []

    def record(module, given, out):
        query, key, value = (x.transpose(0, 1) for x in given)
        maps.append(torch.nn.functional.multi_head_attention_forward(
            query, key, value, module.embed_dim, module.num_heads, module.in_proj_weight, module.in_proj_bias, None, None, False, 0.0,
            module.out_proj.weight, module.out_proj.bias, attn_mask=mask, average_attn_weights=False)[1])

    hooks = [block.attn.register_forward_hook(record) for block in transformer.resblocks]
    run()
    for hook in hooks:
        hook.remove()
    return maps


# The text tower: start 58, end 59, padded with 0. A row fills the context, one is the shortest, one has its end twice.
rows = [[58, 7, 21, 3, 59], [58, 5, 57, 57, 1, 2, 30, 41, 12, 59], [58, 59], [58, 44, 59, 9, 59, 6]]
tokens = torch.tensor([row + [0] * (10 - len(row)) for row in rows])
images = torch.randn(3, 3, 32, 32)

model = randomise(make_clip())
with torch.no_grad():
    model.logit_scale.fill_(math.log(1 / 0.07))
golden = {"images": images, "tokens": tokens}
towers = {"gelu": model, "quick": make_clip(quick_gelu=True), "mean": make_clip(pool_type="avg")}
for name, member in towers.items():
    member.load_state_dict(model.state_dict())
    golden |= {f"{name}/image_features": member.encode_image(images), f"{name}/text_features": member.encode_text(tokens)}
    golden |= {f"{name}/logits_per_image": member.get_logits(images, tokens)[0]}
del golden["mean/text_features"], golden["mean/logits_per_image"]

model.visual.output_tokens = True
golden["image_patches"] = model.visual(images)[1]  # after ln_post, without the class token
model.visual.output_tokens = False
kept = {}
model.ln_final.register_forward_hook(lambda module, given, out: kept.update(out=out))
model.encode_text(tokens)
golden["text_tokens"] = kept["out"]
for kind, maps in (("image", attention_maps(model.visual.transformer, None, lambda: model.encode_image(images))),
                   ("text", attention_maps(model.transformer, model.attn_mask, lambda: model.encode_text(tokens)))):
    golden |= {f"{kind}_attention/{i}": weights for i, weights in enumerate(maps)}

block = "transformer.resblocks.0"
golden |= gradients(model.visual, model.encode_image(images),
                    ["conv1.weight", "class_embedding", "positional_embedding", f"{block}.attn.in_proj_weight", "proj"], "image/")
golden |= gradients(model, model.encode_text(tokens),
                    ["token_embedding.weight", "positional_embedding", f"{block}.attn.in_proj_bias", f"{block}.mlp.c_proj.weight", "text_projection"],
                    "text/")
golden |= {f"quick/{key}": value for key, value in
           gradients(towers["quick"].visual, towers["quick"].encode_image(images), ["conv1.weight", "proj"]).items()}

for name, count in (("down", 37), ("up", 5)):  # grids of 6 × 6 and 2 × 2 for one of 4 × 4
    state = {"visual.positional_embedding": torch.randn(count, 24)}
    golden[f"resize/image_{name}/given"] = state["visual.positional_embedding"]
    resize_pos_embed(state, model)
    golden[f"resize/image_{name}/result"] = state["visual.positional_embedding"]
for name, count in (("down", 16), ("up", 7)):
    state = {"positional_embedding": torch.randn(count, 24)}
    golden[f"resize/text_{name}/given"] = state["positional_embedding"]
    resize_text_pos_embed(state, model)
    golden[f"resize/text_{name}/result"] = state["positional_embedding"]
save("clip_towers", model, golden, made_by)

model = randomise(ModifiedResNet(layers=[1, 2, 1, 1], output_dim=12, heads=4, image_size=64, width=2))
images = torch.randn(2, 3, 64, 64)
kept = {}
model.layer4.register_forward_hook(lambda module, given, out: kept.update(layer4=out.clone()))
model.eval()
golden = {"input": images, "features": model(images)}
golden |= {"tokens": kept["layer4"].flatten(2).transpose(1, 2)}
before = {key: value.clone() for key, value in model.state_dict().items()}
model.train()
features = model(images)
golden |= {"train/features": features}
golden |= gradients(model, features, ["conv1.weight", "layer2.0.downsample.0.weight", "layer4.0.conv2.weight", "attnpool.positional_embedding",
                                      "attnpool.q_proj.weight", "attnpool.c_proj.weight"])
golden |= {f"train/state/{key}": value.clone() for key, value in model.state_dict().items() if "running" in key or "num_batches" in key}
model.load_state_dict(before)
save("clip_resnet", model, golden, made_by)

def named_state(name):
    """Names and shapes of the two towers of a full-size model."""
    with torch.device("meta"):
        state = CLIP(**open_clip.get_model_config(name)).state_dict()
    shapes = {key: list(value.shape) for key, value in sorted(state.items()) if key != "logit_scale"}
    return {"image": {key.removeprefix("visual."): shape for key, shape in shapes.items() if key.startswith("visual.")},
            "text": {key: shape for key, shape in shapes.items() if not key.startswith("visual.")}}


states = {"image": {}, "text": {}}
for name in ("ViT-B-16", "ViT-B-32", "RN50"):
    state = named_state(name)
    assert state == named_state(f"{name}-quickgelu")
    for kind, shapes in state.items():
        states[kind][name] = shapes
lines = [f'"made_by":{json.dumps(made_by)}']
for kind, models in states.items():
    inner = ",\n".join(f"{json.dumps(name)}:{json.dumps(state, separators=(',', ':'))}" for name, state in models.items())
    lines.append(f'"{kind}":{{\n{inner}\n}}')
(folder / "clip_state_names.json").write_text("{" + ",\n".join(lines) + "}\n")
