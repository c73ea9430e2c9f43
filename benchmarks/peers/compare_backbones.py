#!/usr/bin/env python3
"""Encoders and tokenizers, ours beside Python: samples a second of inference and of a training step, and the share of the machine's best matrix product.

Peers: timm (pictures), open_clip (words of CLIP), transformers (MiniLM; tokenizers' Rust WordPiece), open_clip's SimpleTokenizer, in eager mode or with torch.compile (--compile),
at their best settings: inference_mode, weights in bf16 for inference, autocast for training, channels_last for ResNets, fused AdamW, malloc told to keep freed memory. Both
sides run in processes of their own, by turns, with the same number of threads and the same shapes; captions have 10 to 18 tokens, which open_clip pads to 77. The fastest turn of each side counts: what is slower is slowed by others. Ours tokenizes in one thread,
tokenizers in as many as --threads says, and open_clip's tokenizer keeps the words it has met.
The share of the product is 2 × multiply-adds of the model (counted on the peer by torch's FlopCounterMode, texts by the tokens that count) over those of a 2048³ product measured beside it.

Usage: benchmarks/peers/compare_backbones.py build/dev/benchmarks/backbone_speed [--only NAME…] [--mode infer|train] [--precision fp32|bf16] [--compile] [--json FILE]
Needs torch, timm, torchvision, open_clip, transformers.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

from allocator import KEEP_FREED_MEMORY

ENCODERS = {  # name: batch
    "vit_tiny_patch16_224": 32,
    "vit_small_patch16_224": 16,
    "vit_base_patch16_224": 8,
    "resnet18": 32,
    "resnet50": 16,
    "ViT-B-32 text": 64,
    "minilm_l6": 64,
}
TOKENIZERS = ("clip", "wordpiece")


def prepare():
    import logging
    import torch

    if hasattr(prepare, "library"):
        return
    logging.disable(logging.WARNING)  # of fresh weights
    prepare.library = torch.library.Library("torchvision", "DEF")  # its compiled operators do not load beside a CPU torch
    for operator in ("nms", "qnms"):
        prepare.library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


def make(name, batch):
    """The peer's module, what it is called with, and the share of its tokens that count."""
    import torch

    prepare()
    lengths = torch.arange(batch) % 9 + 10
    if name == "ViT-B-32 text":
        import open_clip

        class Text(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.model = open_clip.create_model("ViT-B-32")
                del self.model.visual

            def forward(self, tokens):
                return self.model.encode_text(tokens)

        tokens = torch.randint(1, 49407, (batch, 77)) * (torch.arange(77) < lengths[:, None])
        tokens.scatter_(1, lengths[:, None] - 1, 49407)
        return Text(), (tokens,), 18 / 77
    if name == "minilm_l6":
        from transformers import BertConfig, BertModel

        class Text(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.model = BertModel(BertConfig(hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536), add_pooling_layer=False)

            def forward(self, tokens, mask):
                hidden = self.model(input_ids=tokens, attention_mask=mask).last_hidden_state
                weight = mask.unsqueeze(-1).float()
                return (hidden.float() * weight).sum(1) / weight.sum(1)

        mask = (torch.arange(18) < lengths[:, None]).long()
        return Text(), (torch.randint(1, 30522, (batch, 18)) * mask, mask), 1
    import timm

    model = timm.create_model(name, num_classes=0)
    pictures = torch.randn(batch, 3, 224, 224)
    if name.startswith("resnet"):
        model, pictures = model.to(memory_format=torch.channels_last), pictures.contiguous(memory_format=torch.channels_last)
    return model, (pictures,), 1


def turns(seconds, turn):
    for _ in range(2):
        turn()
    began = last = time.perf_counter()
    while last - began < seconds:
        turn()
        now = time.perf_counter()
        print(now - last, flush=True)
        last = now


def peer_encode(name, mode, precision, batch, seconds, compiled):
    import torch

    torch.manual_seed(0)
    model, inputs, _ = make(name, batch)
    half = precision == "bf16"
    if mode == "infer":
        model.eval()
        if half:
            model = model.to(torch.bfloat16)
            inputs = tuple(x.to(torch.bfloat16) if x.is_floating_point() else x for x in inputs)
        run = torch.compile(model) if compiled else model
        with torch.inference_mode():
            turns(seconds, lambda: run(*inputs))
        return
    model.train()
    run = torch.compile(model) if compiled else model
    optimizer = torch.optim.AdamW([p for p in model.parameters()], lr=1e-4, fused=True)

    def step():
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            loss = run(*inputs).float().square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    turns(seconds, step)


def peer_tokenize(kind, vocabulary, texts, seconds):
    prepare()
    lines = pathlib.Path(texts).read_text().splitlines()
    if kind == "clip":
        from open_clip.tokenizer import SimpleTokenizer

        tokenizer = SimpleTokenizer(vocabulary)
        turns(seconds, lambda: tokenizer(lines))
    else:
        from transformers import BertTokenizerFast

        tokenizer = BertTokenizerFast(vocab=vocabulary)
        turns(seconds, lambda: tokenizer(lines, padding=True, truncation=True, max_length=77, return_tensors="pt"))


def operations(name, mode, batch):
    """Of a turn: 2 × multiply-adds of the tokens that count; training is three times the forward pass."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    model, inputs, share = make(name, batch)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.eval()(*inputs)
    return counter.get_total_flops() * share * (3 if mode == "train" else 1)


def captions(folder):
    import random

    dice = random.Random(1)
    words = ["".join(dice.choices("etaoinshrdlucmfwypvbgkqjxz", k=dice.randint(2, 9))) for _ in range(3000)] + "when you are the one who is not and a it of".split() * 60
    path = folder / "texts.txt"
    path.write_text("\n".join(" ".join(dice.choices(words, k=12)).capitalize() + dice.choice("?!. ") for _ in range(5000)) + "\n")
    return path


def vocabulary(kind):
    return pathlib.Path(__file__).resolve().parents[2] / "tests/data/text" / {"clip": "bpe_simple_vocab_16e6.txt.gz", "wordpiece": "vocab.txt"}[kind]


def measure(command, environment):
    process = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True)
    seconds = [float(line) for line in process.stdout.split()]
    if process.returncode != 0 or not seconds:
        sys.exit(f"failed: {' '.join(map(str, command))}")
    return seconds


def compare(ours, theirs, environment, of_peer, rounds):
    results = {"ours": [], "peer": []}
    for _ in range(rounds):
        results["ours"] += measure(ours, environment)
        results["peer"] += measure(theirs, of_peer)
    return {side: min(seconds) for side, seconds in results.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("backbone_speed")
    parser.add_argument("--only", nargs="+", choices=[*ENCODERS, *TOKENIZERS])
    parser.add_argument("--mode", choices=("infer", "train"))
    parser.add_argument("--precision", choices=("fp32", "bf16"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=2, help="of each round of each side")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--compile", action="store_true", help="the peer uses torch.compile")
    parser.add_argument("--json")
    a = parser.parse_args()
    environment = os.environ | {"OMP_NUM_THREADS": str(a.threads), "TOKENIZERS_PARALLELISM": "true", "RAYON_NUM_THREADS": str(a.threads), "HF_HUB_OFFLINE": "1"}
    of_peer = environment | KEEP_FREED_MEMORY
    rows = []
    print(f"{'encoder':<24}{'':<7}{'':<6}{'batch':>6}{'ours /s':>10}{'peer /s':>10}{'faster':>9}{'ours, of product':>18}{'peer':>7}")
    for name, batch in ENCODERS.items():
        if a.only and name not in a.only:
            continue
        for mode in ("infer", "train"):
            work = None
            for precision in ("fp32", "bf16"):
                if a.mode not in (None, mode) or a.precision not in (None, precision):
                    continue
                work = work or operations(name, mode, batch)
                product = 2 * 2048**3 / min(measure([a.backbone_speed, "product", precision, "1"], environment))
                ours = [a.backbone_speed, "encode", name, mode, precision, str(batch), str(a.seconds)]
                theirs = [sys.executable, __file__, "--peer", "encode", name, mode, precision, str(batch), str(a.seconds), str(int(a.compile))]
                seconds = compare(ours, theirs, environment, of_peer, a.rounds)
                rate = {side: batch / s for side, s in seconds.items()}
                share = {side: work / s / product for side, s in seconds.items()}
                rows.append({"encoder": name, "mode": mode, "precision": precision, "batch": batch, "threads": a.threads, "compiled": a.compile, "seconds": seconds,
                             "faster": seconds["peer"] / seconds["ours"], "share_of_product": share, "product_flops": product})
                print(f"{name:<24}{mode:<7}{precision:<6}{batch:>6}{rate['ours']:>10.1f}{rate['peer']:>10.1f}{seconds['peer'] / seconds['ours']:>8.2f}×"
                      f"{share['ours']:>18.2f}{share['peer']:>7.2f}", flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        texts = captions(pathlib.Path(temporary))
        for kind in TOKENIZERS:
            if a.only and kind not in a.only:
                continue
            file = vocabulary(kind)
            ours = [a.backbone_speed, "tokenize", kind, str(file), str(texts), str(a.seconds)]
            theirs = [sys.executable, __file__, "--peer", "tokenize", kind, str(file), str(texts), str(a.seconds)]
            seconds = compare(ours, theirs, environment, of_peer, a.rounds)
            rows.append({"tokenizer": kind, "texts": 5000, "seconds": seconds, "faster": seconds["peer"] / seconds["ours"]})
            print(f"{'tokenize, ' + kind:<37}{5000:>6}{5000 / seconds['ours']:>10.0f}{5000 / seconds['peer']:>10.0f}{seconds['peer'] / seconds['ours']:>8.2f}×", flush=True)
    if a.json:
        pathlib.Path(a.json).write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    if sys.argv[1:3] == ["--peer", "encode"]:
        name, mode, precision, batch, seconds, compiled = sys.argv[3:]
        peer_encode(name, mode, precision, int(batch), float(seconds), compiled == "1")
    elif sys.argv[1:3] == ["--peer", "tokenize"]:
        kind, vocabulary_file, texts, seconds = sys.argv[3:]
        peer_tokenize(kind, vocabulary_file, texts, float(seconds))
    else:
        main()
