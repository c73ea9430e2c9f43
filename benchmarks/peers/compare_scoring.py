#!/usr/bin/env python3
"""Scoring memes, score_memes beside a Python script on open_clip and Pillow that does the same: memes a second, two threads each.

Both read 550 × 400 JPEGs, resize them to 224 × 224 (bilinear, ImageNet's mean and deviation), tokenize the captions by CLIP's merges, run both towers of
ViT-B-32, fuse their normalised maps by one linear layer, and write a line of JSON a meme. The weights are the same random ones, and so must the scores be,
to 1e-3. Loading programs and weights is left out on both sides. Ours runs with one and two reading threads, the peer with and without worker processes; the faster of each counts. Sides go by turns.

Usage: benchmarks/peers/compare_scoring.py build/dev/examples/score_memes [--memes N] [--json FILE]
Needs torch, open_clip, pillow, numpy, safetensors.
"""
import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import zlib

SIDE, THREADS, BATCH, TURNS, DIM = 224, 2, 32, 2, 512
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SETTINGS = {"size": SIDE, "max_tokens": 77, "threshold": 0.5, "temperature": 1.0}


def import_open_clip():
    import torch

    library = torch.library.Library("torchvision", "DEF")  # its compiled operators do not load beside a CPU torch
    for operator in ("nms", "qnms"):
        library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import open_clip

    return torch, open_clip


def write_run(folder):
    """A run directory for score_memes: the towers under our names, a head, no bank. Returns nothing that the peer needs but files."""
    torch, open_clip = import_open_clip()
    from safetensors.torch import save_file

    torch.manual_seed(0)
    clip = open_clip.create_model("ViT-B-32", pretrained=None)
    tensors = {}
    for name, value in clip.state_dict().items():
        if name.startswith("visual."):
            tensors[f"image.{name.removeprefix('visual.')}"] = value
        elif name not in ("logit_scale", "attn_mask"):
            tensors[f"text.{name}"] = value
    for side in ("image", "text"):
        tensors[f"fusion.{side}_map.linear.weight"] = torch.randn(DIM, DIM) / DIM**0.5
        tensors[f"fusion.{side}_map.linear.bias"] = torch.zeros(DIM)
    tensors["fusion.mlp.0.weight"] = torch.randn(1, 2 * DIM) / DIM**0.5
    tensors["fusion.mlp.0.bias"] = torch.zeros(1)
    folder.mkdir()
    save_file({name: value.contiguous() for name, value in tensors.items()}, folder / "model.safetensors")
    torch.save(clip.state_dict(), folder / "open_clip.pt")
    save_file({}, folder / "bank.safetensors")
    (folder / "bank.jsonl").write_text("")
    merges = pathlib.Path(open_clip.__file__).parent / "bpe_simple_vocab_16e6.txt.gz"
    (folder / "merges.txt.gz").write_bytes(merges.read_bytes())
    encoder = lambda modality: {"modality": modality, "name": "ViT-B-32", "options": {}}
    fusion = {"kind": "concat", "norm": "l2", "dim": DIM, "hidden": 0, "layers": 0}
    method = {"method": "supervised", "image": encoder("image"), "text": encoder("text"), "fusion": fusion, "train_encoders": True}
    (folder / "config.json").write_text(json.dumps({"method": method}))
    files = {}
    for name in ("model.safetensors", "bank.safetensors", "bank.jsonl", "merges.txt.gz"):
        content = (folder / name).read_bytes()
        files[name] = {"bytes": len(content), "crc32": zlib.crc32(content)}
    (folder / "scorer.json").write_text(json.dumps(SETTINGS | {"tokenizer": {"kind": "clip", "file": "merges.txt.gz"}, "files": files}))


def peer(run, memes, workers, out):
    torch, open_clip = import_open_clip()
    import numpy as np
    from PIL import Image
    from safetensors.torch import load_file

    torch.set_num_threads(THREADS)
    clip = open_clip.create_model("ViT-B-32", pretrained=None)
    clip.load_state_dict(torch.load(run / "open_clip.pt"))
    clip.eval()
    head = {name: value for name, value in load_file(run / "model.safetensors").items() if name.startswith("fusion.")}
    tokenizer = open_clip.get_tokenizer("ViT-B-32")
    mean, deviation = (np.array(values, np.float32).reshape(3, 1, 1) for values in (MEAN, DEVIATION))
    records = [json.loads(line) for line in (memes / "train.jsonl").read_text().splitlines()]

    class Memes(torch.utils.data.Dataset):
        def __len__(self):
            return len(records)

        def __getitem__(self, i):
            picture = Image.open(memes / records[i]["img"]).convert("RGB").resize((SIDE, SIDE), Image.BILINEAR)
            pixels = np.asarray(picture).transpose(2, 0, 1).astype(np.float32) / 255
            return torch.from_numpy((pixels - mean) / deviation), tokenizer(records[i]["text"])[0], records[i]["id"]

    def mapped(x, side):
        y = torch.nn.functional.linear(x, head[f"fusion.{side}_map.linear.weight"], head[f"fusion.{side}_map.linear.bias"])
        return torch.nn.functional.normalize(y, dim=1) * DIM**0.5

    began = time.perf_counter()
    loader = torch.utils.data.DataLoader(Memes(), BATCH, num_workers=workers)
    with torch.inference_mode(), open(out, "w") as file:
        for pictures, tokens, ids in loader:
            fused = torch.cat([mapped(clip.encode_image(pictures), "image"), mapped(clip.encode_text(tokens), "text")], 1)
            logits = torch.nn.functional.linear(fused, head["fusion.mlp.0.weight"], head["fusion.mlp.0.bias"])[:, 0]
            for i, p in zip(ids.tolist(), torch.sigmoid(logits).tolist()):
                file.write(json.dumps({"id": i, "probability": p, "harmful": p >= 0.5}) + "\n")
    print(len(records) / (time.perf_counter() - began))


def scores(path):
    return {line["id"]: line["probability"] for line in map(json.loads, path.read_text().splitlines())}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("score_memes")
    parser.add_argument("--memes", type=int, default=256)
    parser.add_argument("--json", type=pathlib.Path)
    arguments = parser.parse_args()
    import compare_training

    compare_training.PICTURES = arguments.memes
    environment = os.environ | {"OMP_NUM_THREADS": str(THREADS)}

    def run(command):
        return subprocess.run([str(part) for part in command], env=environment, check=True, capture_output=True, text=True).stdout

    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        memes, model = folder / "memes", folder / "run"
        memes.mkdir()
        compare_training.draw_memes(memes)
        write_run(model)

        def ours(workers):
            text = run([arguments.score_memes, "--model", model, "--data", memes, "--split", "train", "--out", folder / "ours.jsonl",
                        "--batch", BATCH, "--workers", workers, "--overwrite"])
            return float(re.search(r"\(([\d.]+) a second\)", text).group(1))

        def theirs(workers):
            return float(run([sys.executable, __file__, "--peer", model, memes, workers, folder / "peer.jsonl"]))

        sides = {"score_memes, 1 worker": lambda: ours(1), "score_memes, 2 workers": lambda: ours(2), "open_clip + Pillow": lambda: theirs(0),
                 "open_clip + Pillow, 2 workers": lambda: theirs(2)}
        best = dict.fromkeys(sides, 0.0)
        for _ in range(TURNS):
            for side, measure in sides.items():
                best[side] = max(best[side], measure())
        a, b = scores(folder / "ours.jsonl"), scores(folder / "peer.jsonl")
        apart = max(abs(a[i] - b[i]) for i in b)
        assert len(a) == len(b) == arguments.memes and apart < 1e-3, f"the scores differ by {apart}"
    fastest = lambda program: max(value for side, value in best.items() if side.startswith(program))
    ratio = fastest("score_memes") / fastest("open_clip")
    for side, value in best.items():
        print(f"{side:<32}{value:>8.1f} memes/s")
    print(f"score_memes is {ratio:.2f} times as fast; scores differ by at most {apart:.1e}")
    if arguments.json:
        arguments.json.write_text(json.dumps(best | {"ratio": ratio, "apart": apart}, indent=1) + "\n")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--peer"]:
        peer(pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3]), int(sys.argv[4]), pathlib.Path(sys.argv[5]))
    else:
        main()
