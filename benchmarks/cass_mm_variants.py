#!/usr/bin/env python3
"""What collapses in CASS-MM and what does not: pre-trains each variant on made memes, then fine-tunes its ViT and text encoder on the labels.

Prints one row a variant: deviation and effective rank of each node's vectors over a batch of 32 (mean over the last epoch; rank 31 is the most
there can be), and the AUROC after fine-tuning. Variants run two at a time with one thread each. Finished runs in --out are not run again.

Usage: benchmarks/cass_mm_variants.py build/dev/examples --data memes [--out runs/variants] [--epochs 6] [--json FILE] [--only NAME ...]
Example:
  build/dev/examples/make_memes memes --size 64 && benchmarks/cass_mm_variants.py build/dev/examples --data memes
"""
import argparse
import concurrent.futures
import json
import os
import pathlib
import subprocess
import sys

COSINE = "--picture-weight 1 --text-weight 1 --picture-loss cosine --text-loss cosine"
VARIANTS = {  # name -> options of pretrain_cass_mm; None: no pre-training
    "fresh encoders": None,
    "default: cosine, InfoNCE": "",
    "cosine on all edges": "--reference",
    "same, linear heads": "--reference --projection linear",
    "same, text teaches": f"{COSINE} --projection linear --text-gradient first",
    "same, predictors": f"{COSINE} --projection linear --picture-gradient predicted --text-gradient predicted",
    "cosine, predictors, mlp heads": f"{COSINE} --picture-gradient predicted --text-gradient predicted",
    "InfoNCE on all edges": "--picture-loss info_nce",
    "VICReg on all edges, linear": "--picture-loss vicreg --text-loss vicreg --picture-weight 0.01 --text-weight 0.04 --projection linear",
    "Barlow Twins on all edges": "--picture-loss barlow_twins --text-loss barlow_twins --picture-weight 0.0025 --text-weight 0.01",
    "default, modality dropout 0.3": "--modality-dropout 0.3",
    "fused, no dropout": "--fused --modality-dropout 0",
    "fused, dropout 0.5": "--fused",
    "fused, cosine": "--fused --text-loss cosine --modality-dropout 0",
}
ENCODERS = (
    "--cnn resnet18:width=32,depth=1 --vit vit_tiny_patch16_224:patch_size=8,width=96,depth=2 --text minilm_l6:width=96,depth=2,dropout=0"
)
COMMON = "--size 64 --bf16 --lr 8e-4 --workers 1 --max-tokens 24"


def run(command, finished):
    if finished.exists():
        return
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command + ["--overwrite"], capture_output=True, text=True, env=environment)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr or done.stdout}")


def last_epoch(log):
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    return [line for line in lines if line["epoch"] == lines[-1]["epoch"]]


def measure(name, options, a):
    folder = a.out / "".join(c if c.isalnum() else "-" for c in name)
    pretraining, finetuning = folder / "pretrain", folder / "finetune"
    data = ["--data", str(a.data), *COMMON.split()]
    fresh = options is None
    if fresh:
        names = dict(zip(ENCODERS.split()[::2], ENCODERS.split()[1::2]))
        start = ["--image", names["--vit"], "--text", names["--text"]]
    else:
        start = ["--from", str(pretraining), "--image-node", "vit"]
        run(
            [f"{a.programs}/pretrain_cass_mm", *data, "--out", str(pretraining), "--epochs", str(a.epochs), *ENCODERS.split(), *options.split()],
            pretraining / "model.safetensors",
        )
    run(
        [f"{a.programs}/finetune", *data, "--out", str(finetuning), "--epochs", str(a.finetune_epochs), *start],
        finetuning / "results.json",
    )
    healths = [] if fresh else [line["features"] for line in last_epoch(pretraining / "log.jsonl") if "features" in line]
    mean = lambda node, key: sum(health[node][key] for health in healths) / len(healths)
    nodes = {node: {key: mean(node, key) for key in ("deviation", "effective_rank")} for health in healths[-1:] for node in health}
    results = json.loads((finetuning / "results.json").read_text())
    return {"variant": name, "options": options, "nodes": nodes, "result": results["splits"][results["test"]]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("programs", help="folder of pretrain_cass_mm and finetune")
    parser.add_argument("--data", required=True, type=pathlib.Path, help="folder that make_memes made")
    parser.add_argument("--out", default="runs/variants", type=pathlib.Path)
    parser.add_argument("--epochs", default=6, type=int)
    parser.add_argument("--finetune-epochs", default=13, type=int)
    parser.add_argument("--only", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--json", type=pathlib.Path)
    a = parser.parse_args()
    rows = []
    print(f"{'variant':32}{'cnn':>12}{'vit':>12}{'text':>12}{'fused':>12}{'AUROC':>8}   (deviation / effective rank)")
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for row in pool.map(lambda name: measure(name, VARIANTS[name], a), a.only):
            rows.append(row)
            cells = [row["nodes"].get(node) for node in ("cnn", "vit", "text", "vit_text")]
            text = "".join(f"{c['deviation']:>7.2f} /{c['effective_rank']:3.0f}" if c else f"{'':12}" for c in cells)
            print(f"{row['variant']:32}{text}{row['result']['auroc']:>8.3f}", flush=True)
    if a.json:
        a.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
