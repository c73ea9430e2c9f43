#!/usr/bin/env python3
"""Training from files to updated weights, ours beside tuned Python: seconds a step and seconds from launch to the first optimizer step.

Peers: timm encoders, lightly's DINO head and loss, open_clip's loss, transformers' BERT; Albumentations (OpenCV) in a torch DataLoader with persistent workers; bf16
autocast unless --fp32 says otherwise, channels_last for the CNNs, fused AdamW, multi-tensor EMA and clipping, malloc told to keep freed memory; --compile adds torch.compile. Both sides run in processes of their own, by turns, with
the same number of threads, workers, pictures and views. The pictures (550 × 400 JPEG, quality 90) and their captions of twelve words are drawn by this script.

On a GPU (--device cuda --workers N) batches are larger, pictures come several times an epoch, views lie in pinned memory and cuDNN chooses among its algorithms, on both sides; a step then is the mean over all but the first
eight, since data may come in bursts.

Usage: benchmarks/peers/compare_training.py build/dev/benchmarks/training_speed [--only METHOD] [--fp32] [--compile] [--device cuda] [--json FILE]
Needs torch, torchvision, timm, lightly, open_clip, transformers, albumentations, opencv, pillow, numpy.
"""
import argparse
import json
import os
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile
import time

from allocator import KEEP_FREED_MEMORY

METHODS = {  # batch, steps a turn
    "dino_vit_tiny": (16, 5),
    "dino_vit_small": (8, 5),
    "cass_small": (32, 10),
    "cass_large": (16, 6),
    "clip": (32, 10),
}
METHODS_ON_GPU = {
    "dino_vit_tiny": (64, 40),
    "dino_vit_small": (64, 40),
    "cass_small": (256, 40),
    "cass_large": (128, 40),
    "clip": (256, 40),
}
THREADS, PICTURES, WORDS = 2, 256, 12
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def draw_memes(folder, times=1):
    """Gradients, shapes and grain: files of the size that photographs have. The split has each so many times."""
    import numpy as np
    from PIL import Image, ImageDraw

    rng, dice = np.random.default_rng(1), random.Random(1)
    vocabulary = ["".join(dice.choices("abcdefghijklmnopqrstuvwxyz", k=dice.randint(2, 9))) for _ in range(800)]
    (folder / "img").mkdir()
    lines = []
    for i in range(PICTURES):
        coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize((550, 400), Image.BICUBIC)
        draw = ImageDraw.Draw(coarse)
        for _ in range(25):
            x, y, r = dice.randint(0, 549), dice.randint(0, 399), dice.randint(5, 60)
            draw.ellipse((x - r, y - r, x + r, y + r), fill=tuple(dice.choices(range(256), k=3)))
        grain = np.asarray(coarse).astype(np.int16) + rng.normal(0, 9, (400, 550, 1)).astype(np.int16)
        Image.fromarray(grain.clip(0, 255).astype(np.uint8)).save(folder / "img" / f"{i}.jpg", quality=90)
        for t in range(times):
            lines.append(json.dumps({"id": i * times + t, "img": f"img/{i}.jpg", "label": i % 2, "text": " ".join(dice.choices(vocabulary, k=WORDS))}))
    (folder / "train.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *dict.fromkeys(vocabulary)]) + "\n")


def peer(name, folder, batch, steps, workers, compiled, bf16, device):
    import torch

    if device == "cpu":
        library = torch.library.Library("torchvision", "DEF")  # its compiled operators do not load beside a CPU torch
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    torch.backends.cudnn.benchmark = True
    import albumentations as A
    import cv2
    import timm
    from albumentations.pytorch import ToTensorV2

    cv2.setNumThreads(0)
    torch.set_num_threads(THREADS)
    records = [json.loads(line) for line in (folder / "train.jsonl").read_text().splitlines()]
    ending = [A.Normalize(MEAN, DEVIATION), ToTensorV2()]

    def crop(size, scale, interpolation=cv2.INTER_CUBIC):
        return A.RandomResizedCrop(size=(size, size), scale=scale, interpolation=interpolation)

    def dino_view(size, scale, blur, solarize):
        return A.Compose([crop(size, scale), A.HorizontalFlip(p=0.5), A.ColorJitter(0.4, 0.4, 0.2, 0.1, p=0.8), A.ToGray(p=0.2),
                          A.GaussianBlur(blur_limit=0, sigma_limit=(0.1, 2.0), p=blur), A.Solarize(p=solarize), *ending])

    if name.startswith("dino"):
        views = [dino_view(224, (0.4, 1.0), 1.0, 0), dino_view(224, (0.4, 1.0), 0.1, 0.2)] + [dino_view(96, (0.05, 0.4), 0.5, 0)] * 8
    elif name.startswith("cass"):
        jitter = A.ColorJitter(0.2, 0.2, 0.2, 0.2)
        views = [A.Compose([A.Resize(224, 224), A.Compose([jitter, A.Perspective(scale=(0.05, 0.2), p=1)], p=0.3),
                            A.Compose([jitter, A.Rotate((-10, 10), p=1)], p=0.3), A.VerticalFlip(p=0.3), A.HorizontalFlip(p=0.3), *ending])]
    else:
        views = [A.Compose([crop(224, (0.9, 1.0)), *ending])]

    class Memes(torch.utils.data.Dataset):
        def __len__(self):
            return len(records)

        def __getitem__(self, i):
            picture = cv2.cvtColor(cv2.imread(str(folder / records[i]["img"])), cv2.COLOR_BGR2RGB)
            return [view(image=picture)["image"] for view in views], records[i]["text"]

    if name == "clip":
        from transformers import BertConfig, BertModel, BertTokenizerFast

        tokenizer = BertTokenizerFast(vocab=str(folder / "vocab.txt"))

    def collate(samples):
        stacked = [torch.stack([views[v] for views, _ in samples]) for v in range(len(views))]
        if name != "clip":
            return stacked, None
        return stacked, tokenizer([text for _, text in samples], padding=True, truncation=True, max_length=77, return_tensors="pt")

    loader = torch.utils.data.DataLoader(Memes(), batch, shuffle=True, drop_last=True, num_workers=workers, persistent_workers=workers > 0,
                                         collate_fn=collate, pin_memory=device != "cpu")

    def vit(size):
        return timm.create_model(f"vit_{size}_patch16_224", num_classes=0, dynamic_img_size=True)

    def fast(module):
        return torch.compile(module) if compiled else module

    def mlp(width):
        return torch.nn.Sequential(torch.nn.Linear(width, width, bias=False), torch.nn.BatchNorm1d(width), torch.nn.ReLU(),
                                   torch.nn.Linear(width, 256, bias=False), torch.nn.BatchNorm1d(256, affine=False))

    teacher = criterion = None
    if name.startswith("dino"):
        from lightly.loss import DINOLoss
        from lightly.models.modules.heads import DINOProjectionHead

        size = name.rsplit("_", 1)[1]
        student, teacher = (torch.nn.ModuleDict({"encoder": vit(size)}) for _ in range(2))
        for node in (student, teacher):
            node["head"] = DINOProjectionHead(node["encoder"].num_features)
        teacher.load_state_dict(student.state_dict())
        teacher.requires_grad_(False)
        of_student, of_teacher = fast(student["encoder"]), fast(teacher["encoder"])
        criterion = DINOLoss()
        model = student

        def loss_of(pictures, _words):
            with torch.autocast(device.split(":")[0], torch.bfloat16, enabled=bf16):
                with torch.no_grad():
                    targets = teacher["head"](of_teacher(torch.cat(pictures[:2])))
                features = torch.cat([of_student(torch.cat(pictures[:2])), of_student(torch.cat(pictures[2:]))])
                outputs = student["head"](features)
            return criterion(list(targets.float().chunk(2)), list(outputs.float().chunk(10)))
    elif name.startswith("cass"):
        cnn = timm.create_model("resnet18" if name == "cass_small" else "resnet50", num_classes=0).to(memory_format=torch.channels_last)
        transformer = vit("tiny" if name == "cass_small" else "small")
        model = torch.nn.ModuleDict({"cnn": cnn, "vit": transformer, "a": mlp(cnn.num_features), "b": mlp(transformer.num_features)})
        fast_cnn, fast_vit = fast(cnn), fast(transformer)

        def loss_of(pictures, _words):
            with torch.autocast(device.split(":")[0], torch.bfloat16, enabled=bf16):
                a = model["a"](fast_cnn(pictures[0].contiguous(memory_format=torch.channels_last)))
                b = model["b"](fast_vit(pictures[0]))
            return (2 - 2 * torch.nn.functional.cosine_similarity(a.float(), b.float())).mean()
    else:
        import open_clip

        picture_tower = vit("small")
        words_tower = BertModel(BertConfig(hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536, attention_probs_dropout_prob=0), add_pooling_layer=False)
        scale = torch.nn.Parameter(torch.tensor(1 / 0.07).log())
        model = torch.nn.ModuleDict({"picture": picture_tower, "words": words_tower, "a": torch.nn.Linear(384, 256, bias=False), "b": torch.nn.Linear(384, 256, bias=False)})
        model.register_parameter("scale", scale)
        fast_picture, fast_words, criterion = fast(picture_tower), fast(words_tower), open_clip.ClipLoss()

        def loss_of(pictures, words):
            with torch.autocast(device.split(":")[0], torch.bfloat16, enabled=bf16):
                a = model["a"](fast_picture(pictures[0]))
                b = model["b"](fast_words(**words).last_hidden_state[:, 0])
            normalize = torch.nn.functional.normalize
            return criterion(normalize(a.float(), dim=-1), normalize(b.float(), dim=-1), scale.exp())

    for module in (model, teacher, criterion if isinstance(criterion, torch.nn.Module) else None):
        if module is not None:
            module.to(device)
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=5e-4, weight_decay=0.04, fused=True)
    model.train()
    last, done = time.perf_counter(), 0
    while True:
        for pictures, words in loader:
            pictures = [view.to(device, non_blocking=True) for view in pictures]
            words = words and {key: value.to(device, non_blocking=True) for key, value in words.items()}
            loss = loss_of(pictures, words)
            if not torch.isfinite(loss):
                sys.exit("the loss is not finite")
            optimizer.zero_grad()
            loss.backward()
            gradients = [p.grad for p in parameters if p.grad is not None]
            if teacher is not None:  # DINO clips each parameter's gradient
                factors = [3 / (norm + 1e-6) for norm in torch.stack(torch._foreach_norm(gradients)).tolist()]
                torch._foreach_mul_(gradients, [min(1.0, factor) for factor in factors])
            else:
                torch.nn.utils.clip_grad_norm_(parameters, 3.0)
            optimizer.step()
            if teacher is not None:
                with torch.no_grad():
                    pairs = list(zip(teacher.parameters(), student.parameters()))
                    torch._foreach_lerp_([t for t, _ in pairs], [s for _, s in pairs], 0.004)
            now = time.perf_counter()
            print("first" if done == 0 else now - last, flush=True)
            last, done = now, done + 1
            if done > steps:
                return


def measure(command, environment):
    """Seconds from launch to the first optimizer step, and of each later step."""
    began = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    lines = iter(process.stdout.readline, "")
    if next(lines, "").strip() != "first":
        sys.exit(f"failed: {' '.join(command)}")
    first = time.perf_counter() - began
    steps = [float(line) for line in lines]
    if process.wait() != 0 or not steps:
        sys.exit(f"failed: {' '.join(command)}")
    return first, steps[1:] or steps  # the second step still fills caches


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("training_speed")
    parser.add_argument("--only", choices=METHODS)
    parser.add_argument("--workers", type=int, default=1, help="data workers on both sides")
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--fp32", action="store_true", help="both sides in fp32: for processors without products of bf16")
    parser.add_argument("--compile", action="store_true", help="the peer compiles its encoders")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json")
    arguments = parser.parse_args()
    environment = os.environ | {"OMP_NUM_THREADS": str(THREADS), "NO_ALBUMENTATIONS_UPDATE": "1"}
    of_peer = environment | KEEP_FREED_MEMORY
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        on_gpu = arguments.device != "cpu"
        draw_memes(folder, 64 if on_gpu else 1)
        print(f"{'method':<16}{'batch':>6}{'ours, s/step':>14}{'peer, s/step':>14}{'faster':>9}{'ours, first':>13}{'peer, first':>13}{'ratio':>8}")
        for method, (batch, steps) in (METHODS_ON_GPU if on_gpu else METHODS).items():
            if arguments.only not in (None, method):
                continue
            ours = [arguments.training_speed, method, str(folder), str(batch), str(steps), str(arguments.workers), "fp32" if arguments.fp32 else "bf16", arguments.device]
            theirs = [sys.executable, __file__, "--peer", method, str(folder), str(batch), str(steps), str(arguments.workers), str(int(arguments.compile)),
                      str(int(not arguments.fp32)), arguments.device]
            results = {"ours": [], "peer": []}
            for _ in range(arguments.turns):
                results["ours"].append(measure(ours, environment))
                results["peer"].append(measure(theirs, of_peer))
            step = {side: statistics.mean(s for _, steps in turns for s in steps[7:]) if on_gpu else statistics.median(s for _, steps in turns for s in steps)
                    for side, turns in results.items()}
            first = {side: min(first for first, _ in turns) for side, turns in results.items()}
            rows.append({"method": method, "batch": batch, "device": arguments.device, "threads": THREADS, "workers": arguments.workers, "compiled": arguments.compile, "precision": "fp32" if arguments.fp32 else "bf16",
                         "step": step, "first": first, "faster": step["peer"] / step["ours"]})
            print(f"{method:<16}{batch:>6}{step['ours']:>14.3f}{step['peer']:>14.3f}{step['peer'] / step['ours']:>8.2f}×"
                  f"{first['ours']:>12.2f}s{first['peer']:>12.2f}s{first['ours'] / first['peer']:>8.2f}", flush=True)
    if arguments.json:
        pathlib.Path(arguments.json).write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--peer"]:
        name, folder, batch, steps, workers, compiled, bf16, device = sys.argv[2:]
        peer(name, pathlib.Path(folder), int(batch), int(steps), int(workers), compiled == "1", bf16 == "1", device)
    else:
        main()
