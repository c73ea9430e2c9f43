#!/usr/bin/env python3
"""Converts a file of torch.save into safetensors.

    scripts/convert_weights.py resnet50-0676ba61.pth resnet50.safetensors
    scripts/convert_weights.py dino_deitsmall16_pretrain_full_checkpoint.pth dino.safetensors --key teacher

Dictionaries within dictionaries become names joined by dots: {"teacher": {"backbone.cls_token": …}} gives
teacher.backbone.cls_token. What is no tensor is left out and told on stderr. Nothing in the file is run: torch.load reads it
with weights_only=True, which is safe from torch 2.6 on. Needs torch (2.6 or newer) and safetensors."""
import argparse
import os
import pathlib
import sys
import warnings


left_out = []  # what is no tensor


def fail(message):
    print(f"convert_weights.py: {message}", file=sys.stderr)
    sys.exit(1)


def tensors_below(value, name, found):
    """Puts the tensors of nested dictionaries into `found`, by their names joined by dots."""
    import torch

    if isinstance(value, torch.Tensor):
        if name in found:
            fail(f"two tensors are called {name!r} once their names are joined by dots: pick one by --key")
        found[name] = value
    elif isinstance(value, dict):
        for key, inner in value.items():
            tensors_below(inner, f"{name}.{key}" if name else str(key), found)
    else:
        left_out.append(f"{name} ({type(value).__name__})")


def load(source):
    import torch

    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals([argparse.Namespace]):  # training programs keep theirs
            warnings.simplefilter("ignore")
            return torch.load(source, map_location="cpu", weights_only=True)
    except OSError as error:
        fail(f"cannot read {source}: {error.strerror}")
    except Exception:  # whatever a file that is none makes of the unpickler; its text advises what we must not do
        try:
            objects = sorted(set(torch.serialization.get_unsafe_globals_in_checkpoint(source)) - {"argparse.Namespace"})
        except Exception:
            objects = []
        what = f"holds Python objects besides tensors ({', '.join(objects[:3])})" if objects else "is no file of tensors that torch.load reads"
        fail(f"{source} {what}: load it with the program that wrote it, and torch.save its state_dict()")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=pathlib.Path, metavar="IN.pth", help="a file of torch.save: .pth, .pt, .bin")
    parser.add_argument("target", type=pathlib.Path, metavar="OUT.safetensors")
    parser.add_argument("--key", metavar="NAME", help="only what the dictionary has under this name, dots for deeper ones")
    options = parser.parse_args()
    if options.target.suffix != ".safetensors":
        fail(f"{options.target} must end in .safetensors")

    try:
        import torch
        from safetensors.torch import save_file
    except ImportError as error:
        fail(f"{error}: pip install torch safetensors")
    if tuple(int(part) for part in torch.__version__.split(".")[:2]) < (2, 6):
        fail(f"torch {torch.__version__} runs code from files even with weights_only=True: install torch 2.6 or newer")
    content = load(options.source)
    for part in options.key.split(".") if options.key else []:
        if not isinstance(content, dict) or part not in content:
            has = ", ".join(map(str, list(content)[:10])) if isinstance(content, dict) else type(content).__name__
            fail(f"{options.source} has nothing under {options.key!r}; at {part!r} it has: {has}")
        content = content[part]
    if not isinstance(content, dict):
        fail(f"{options.source} holds a {type(content).__name__}, no dictionary of tensors: save a model's state_dict()")

    tensors = {}
    tensors_below(content, "", tensors)
    if left_out:
        more = f" and {len(left_out) - 3} more" if len(left_out) > 3 else ""
        print(f"convert_weights.py: left out, being no tensors: {', '.join(left_out[:3])}{more}", file=sys.stderr)
    if not tensors:
        fail(f"{options.source} has no tensors{f' under {options.key!r}' if options.key else ''}")
    for name, tensor in tensors.items():
        if tensor.layout != torch.strided or tensor.is_quantized:
            fail(f"{name} is {'quantized' if tensor.is_quantized else 'sparse'}; safetensors holds dense tensors alone")
        tensors[name] = tensor.detach().clone().contiguous()  # tied weights share memory, which safetensors refuses

    temporary = options.target.with_name(f"{options.target.name}.tmp{os.getpid()}")
    try:
        save_file(tensors, temporary, {"format": "pt"})
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)  # save_file leaves it to its owner alone
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, options.target)
    except Exception as error:
        fail(f"cannot write {options.target}: {error}")
    finally:
        temporary.unlink(missing_ok=True)
    print(f"{len(tensors)} tensors, {sum(t.nbytes for t in tensors.values()) / 1e6:.1f} MB: {options.target}")


if __name__ == "__main__":
    main()
