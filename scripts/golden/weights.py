#!/usr/bin/env python3
"""Makes tests/data/parity/weights_*.safetensors: small models with random weights as their own libraries save them, and in
weights_expected.safetensors what each makes of an input.

Usage: scripts/golden/weights.py            (needs torch, timm, torchvision, open_clip, transformers, safetensors)
       scripts/golden/weights.py --check    the libraries load, strictly, what `weights_parity_test "[.golden]"` wrote, and give the
                                            same features
"""
import argparse
import pathlib
import subprocess
import sys
import tempfile

import torch

root = pathlib.Path(__file__).resolve().parents[2]
folder = root / "tests/data/parity"

library = torch.library.Library("torchvision", "DEF")  # its compiled operators do not load beside a CPU torch
for operator in ("nms", "qnms"):
    library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

import open_clip
import timm
import torchvision
import transformers
from open_clip.model import CLIP, CustomTextCLIP
from safetensors.torch import load_file, save_file
from timm.models.vision_transformer import VisionTransformer

made_by = {"format": "pt", "script": "scripts/golden/weights.py", "torch": torch.__version__, "timm": timm.__version__,
           "torchvision": torchvision.__version__, "open_clip": open_clip.__version__, "transformers": transformers.__version__}


def torchvision_vit():
    return torchvision.models.VisionTransformer(image_size=32, patch_size=8, num_layers=2, num_heads=3, hidden_dim=24, mlp_dim=96, num_classes=5)


def timm_vit():
    return VisionTransformer(img_size=32, patch_size=8, embed_dim=24, depth=2, num_heads=3, num_classes=0)


def hugging_face_vit():
    return transformers.ViTForImageClassification(transformers.ViTConfig(
        image_size=32, patch_size=8, hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=96, num_labels=5))


def hugging_face_resnet(kind):
    """As our ResNets of blocks {1, 2, 1, 1} and width 3."""
    expansion = 4 if kind == "bottleneck" else 1
    return transformers.ResNetForImageClassification(transformers.ResNetConfig(
        embedding_size=3, hidden_sizes=[3 * expansion << stage for stage in range(4)], depths=[1, 2, 1, 1], layer_type=kind, num_labels=5))


def hugging_face_clip():
    text = dict(vocab_size=60, hidden_size=16, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=10,
                projection_dim=12, bos_token_id=58, eos_token_id=59, pad_token_id=0)
    vision = dict(image_size=32, patch_size=8, hidden_size=24, intermediate_size=96, num_hidden_layers=2, num_attention_heads=3, projection_dim=12)
    return transformers.CLIPModel(transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=12))


def open_clip_options():
    return 12, dict(image_size=32, patch_size=8, layers=2, width=24, head_width=8), dict(context_length=10, vocab_size=60, layers=2, width=16, heads=2)


def open_clip_resnet():
    width, _, text = open_clip_options()
    return CLIP(width, dict(image_size=32, layers=[1, 1, 1, 1], width=2, head_width=16), text)


def bert_config():
    return transformers.BertConfig(vocab_size=60, hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=96,
                                   max_position_embeddings=12)


def distilbert_config():
    return transformers.DistilBertConfig(vocab_size=60, dim=24, n_layers=2, n_heads=3, hidden_dim=96, max_position_embeddings=12)


def image_features(model, images):
    """The pooled and normed class token, or CLIP's projection, whatever the library."""
    if isinstance(model, torchvision.models.VisionTransformer):
        model.heads, kept = torch.nn.Identity(), model.heads
        features = model(images)
        model.heads = kept
        return features
    if isinstance(model, VisionTransformer):
        return model(images)
    if isinstance(model, transformers.ViTForImageClassification):
        return model.vit(images).last_hidden_state[:, 0]
    if isinstance(model, transformers.ViTModel):
        return model(images).last_hidden_state[:, 0]
    if isinstance(model, transformers.ResNetForImageClassification):
        return model.resnet(images).pooler_output.flatten(1)
    if isinstance(model, transformers.ResNetModel):
        return model(images).pooler_output.flatten(1)
    if isinstance(model, transformers.CLIPModel):
        return model.visual_projection(model.vision_model(images).pooler_output)
    return model.encode_image(images)


def text_features(model, tokens, mask):
    if isinstance(model, transformers.CLIPModel):
        return model.text_projection(model.text_model(tokens).pooler_output)
    if isinstance(model, transformers.PreTrainedModel):
        return model.base_model(input_ids=tokens, attention_mask=mask.long()).last_hidden_state[:, 0]
    return model.encode_text(tokens)


def same(name, found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    print(f"{name}: loaded strictly, same features")


def from_pretrained(model, file):
    """Through a folder, which is how transformers' own strictness comes about."""
    with tempfile.TemporaryDirectory() as place:
        model.config.save_pretrained(place)
        (pathlib.Path(place) / "model.safetensors").write_bytes(file.read_bytes())
        options = {"add_pooling_layer": False} if isinstance(model, (transformers.BertModel, transformers.ViTModel)) else {}
        loaded, told = type(model).from_pretrained(place, output_loading_info=True, **options)
    wrong = {key: value for key, value in told.items() if value}
    assert not wrong, (file.name, wrong)
    return loaded.eval()


def check():
    written = pathlib.Path(tempfile.gettempdir()) / "sslmeme_weights"
    expected = load_file(folder / "weights_expected.safetensors")
    images, tokens, mask = expected["images"], expected["tokens"], expected["mask"]

    def strict(model, name):
        model.load_state_dict(load_file(written / f"{name}.safetensors"), strict=True)
        return model.eval()

    same("torchvision", image_features(strict(torchvision_vit(), "torchvision"), images), expected["torchvision"])
    resnet = torchvision.models.ResNet(torchvision.models.resnet.BasicBlock, [1, 1, 1, 1], num_classes=5)
    same("torchvision's resnet", strict(resnet, "resnet")(images), load_file(written / "resnet_expected.safetensors")["logits"])
    headless = timm_vit()
    headless.reset_classifier(5)
    strict(headless, "timm")
    headless.reset_classifier(0)
    same("timm", image_features(headless, images), expected["torchvision"])
    model = hugging_face_vit()
    model.config.layer_norm_eps = 1e-6  # of the network that was written
    same("hugging_face_vit", image_features(from_pretrained(model, written / "hugging_face_vit.safetensors"), images), expected["torchvision"])
    bare = transformers.ViTModel(model.config, add_pooling_layer=False)
    same("hugging_face_vit_bare", image_features(from_pretrained(bare, written / "hugging_face_vit_bare.safetensors"), images), expected["torchvision"])
    for kind in ("basic", "bottleneck"):
        name = f"hugging_face_resnet_{kind}"
        model = from_pretrained(hugging_face_resnet(kind), written / f"{name}.safetensors")
        same(name, image_features(model, images), expected[name])
        same(f"{name}, logits", model(images).logits, expected[f"{name}/logits"])
        bare = transformers.ResNetModel(model.config)
        same(f"{name}_bare", image_features(from_pretrained(bare, written / f"{name}_bare.safetensors"), images), expected[name])
    for name, model in (("open_clip", strict(CLIP(*open_clip_options()), "open_clip")),
                        ("open_clip_resnet", strict(open_clip_resnet(), "open_clip_resnet")),
                        ("hugging_face_clip", from_pretrained(hugging_face_clip(), written / "hugging_face_clip.safetensors"))):
        same(f"{name}, pictures", image_features(model, images), expected[f"{name}/images"])
        same(f"{name}, texts", text_features(model, expected["clip_tokens"], None), expected[f"{name}/texts"])
        assert abs(model.logit_scale.item() - 2.5) < 1e-6
    for name, model in (("bert", transformers.BertModel(bert_config(), add_pooling_layer=False)),
                        ("distilbert", transformers.DistilBertModel(distilbert_config()))):
        file = written / f"{name}.safetensors"
        same(name, text_features(from_pretrained(model, file), tokens, mask), expected[name])
    strict(transformers.BertModel(bert_config(), add_pooling_layer=False), "bert")


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
    return model.eval()


def save(name, state):
    save_file({key: value.detach().clone().contiguous() for key, value in state.items()}, folder / f"weights_{name}.safetensors", made_by)


def save_by_transformers(name, model):
    """As a file on the Hub is made: transformers translates its own names then."""
    with tempfile.TemporaryDirectory() as place:
        model.save_pretrained(place)
        save(name, load_file(pathlib.Path(place) / "model.safetensors"))


def make_resnets(images, tokens):
    """ResNets of transformers and open_clip, and what they make of the inputs."""
    torch.manual_seed(18)
    expected = {}
    for kind in ("basic", "bottleneck"):
        name, model = f"hugging_face_resnet_{kind}", randomise(hugging_face_resnet(kind))
        expected |= {name: image_features(model, images), f"{name}/logits": model(images).logits}
        save_by_transformers(name, model)
    model = randomise(open_clip_resnet())
    expected |= {"open_clip_resnet/images": image_features(model, images), "open_clip_resnet/texts": text_features(model, tokens, None)}
    save("open_clip_resnet", model.state_dict())
    return expected


def make():
    torch.manual_seed(17)
    expected = {"images": torch.randn(2, 3, 32, 32)}
    images = expected["images"]
    rows = [[58, 7, 21, 3, 59], [58, 5, 57, 57, 1, 2, 30, 41, 12, 59], [58, 59]]
    expected["clip_tokens"] = torch.tensor([row + [0] * (10 - len(row)) for row in rows])
    expected["tokens"] = torch.randint(1, 60, (3, 9))
    expected["mask"] = torch.ones(3, 9, dtype=torch.bool)
    for row, length in enumerate((9, 4, 1)):
        expected["mask"][row, length:], expected["tokens"][row, length:] = False, 0

    model = randomise(torchvision_vit())
    expected |= {"torchvision": image_features(model, images), "torchvision/logits": model(images)}
    save("torchvision", model.state_dict())

    model = randomise(hugging_face_vit())
    expected |= {"hugging_face_vit": image_features(model, images), "hugging_face_vit/logits": model(images).logits}
    save_by_transformers("hugging_face_vit", model)
    model = randomise(transformers.ViTModel(model.config))
    expected["hugging_face_vit_in_memory"] = image_features(model, images)
    save("hugging_face_vit_in_memory", model.state_dict())

    model = randomise(hugging_face_clip())
    expected |= {"hugging_face_clip/images": image_features(model, images), "hugging_face_clip/texts": text_features(model, expected["clip_tokens"], None)}
    save_by_transformers("hugging_face_clip", model)

    for name, kind in (("open_clip", CLIP), ("open_clip_custom_text", CustomTextCLIP)):
        model = randomise(kind(*open_clip_options()))
        expected |= {f"{name}/images": image_features(model, images), f"{name}/texts": text_features(model, expected["clip_tokens"], None)}
        save(name, model.state_dict())
    # OpenAI's archives hold three numbers too.
    numbers = {"input_resolution": torch.tensor(32), "context_length": torch.tensor(10), "vocab_size": torch.tensor(60)}
    save("open_clip", load_file(folder / "weights_open_clip.safetensors") | numbers)

    for name, kind, config in (("bert", transformers.BertForMaskedLM, bert_config()), ("distilbert", transformers.DistilBertForMaskedLM, distilbert_config())):
        model = randomise(kind(config))
        expected[name] = text_features(model, expected["tokens"], expected["mask"])
        if name == "distilbert":
            save_by_transformers(name, model)
        else:  # with a pooler, and with the names of files that came from TensorFlow
            bare = transformers.BertModel(config)
            state = {key: value for key, value in model.state_dict().items() if "decoder" not in key}
            state |= {f"bert.{key}": value for key, value in bare.state_dict().items() if key.startswith("pooler.")}
            old = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
            for new, before in old.items():
                state = {key.replace(new, before): value for key, value in state.items()}
            save(name, state | {"bert.embeddings.position_ids": torch.arange(12).unsqueeze(0)})

    # What DINO's main_dino.py saves: the student within DDP, the teacher without; through our converter.
    student, teacher = randomise(timm_vit()), randomise(timm_vit())
    expected |= {"dino/teacher": image_features(teacher, images), "dino/student": image_features(student, images)}
    head = {"mlp.0.weight": torch.randn(8, 24), "mlp.0.bias": torch.randn(8), "last_layer.weight_g": torch.ones(6, 1), "last_layer.weight_v": torch.randn(6, 8)}
    checkpoint = {
        "student": {f"module.backbone.{k}": v for k, v in student.state_dict().items()} | {f"module.head.{k}": v for k, v in head.items()},
        "teacher": {f"backbone.{k}": v for k, v in teacher.state_dict().items()} | {f"head.{k}": v for k, v in head.items()},
        "optimizer": {"state": {0: {"step": torch.tensor(3.0), "exp_avg": torch.zeros(4)}}, "param_groups": [{"lr": 0.1, "params": [0]}]},
        "dino_loss": {"center": torch.zeros(1, 6)}, "epoch": 4, "args": argparse.Namespace(arch="vit_small", out_dim=6),
    }
    with tempfile.TemporaryDirectory() as place:
        torch.save(checkpoint, f"{place}/checkpoint.pth")
        subprocess.run([sys.executable, root / "scripts/convert_weights.py", f"{place}/checkpoint.pth", folder / "weights_dino.safetensors"], check=True)

    expected |= make_resnets(images, expected["clip_tokens"])

    # The types that scripts/golden/backbones.py does not have.
    types = {"U16": torch.uint16, "U32": torch.uint32, "U64": torch.uint64, "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2}
    save("types", {name: torch.tensor([[0.0, 1.0, 2.0]]).to(kind) for name, kind in types.items()})
    save("expected", expected)


with torch.no_grad():
    check() if "--check" in sys.argv else make()
