"""scripts/convert_weights.py on files of torch.save, good, odd and hostile: convert_weights.py SCRIPT. Ends with 4, which ctest
shows as skipped, where this Python has no torch 2.6 or no safetensors."""
import argparse
import contextlib
import importlib.util
import io
import os
import pathlib
import pickle
import sys
import tempfile
import types

try:
    import safetensors.torch
    import torch
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(4)
if tuple(int(part) for part in torch.__version__.split(".")[:2]) < (2, 6):
    print(f"skipped: torch {torch.__version__}")
    sys.exit(4)

script = sys.argv[1]
sys.dont_write_bytecode = True


class RunsCode:
    """A pickle of it makes a file when it is read."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return os.mkdir, (self.trace,)


def convert(*arguments):
    """Runs the script anew; within this process, since torch takes seconds to import."""
    spec = importlib.util.spec_from_file_location("convert_weights", script)
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)
    sys.argv = [script, *map(str, arguments)]
    code, stderr = 0, io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(stderr):
        try:
            program.main()
        except SystemExit as end:
            code = end.code
    return types.SimpleNamespace(returncode=code, stderr=stderr.getvalue())


def check_converted(folder, content, expected, *options):
    source, target = folder / "in.pth", folder / "out.safetensors"
    torch.save(content, source)
    run = convert(source, target, *options)
    assert run.returncode == 0, run
    found = safetensors.torch.load_file(target)
    assert found.keys() == expected.keys(), (found.keys(), expected.keys())
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype and torch.equal(found[name], tensor), name
    return run


def check_refused(folder, source, *says, options=()):
    """One line on stderr; what stood at the target stays, and nothing lies beside it."""
    target = folder / "kept.safetensors"
    target.write_bytes(b"before")
    others = set(folder.iterdir())
    run = convert(source, target, *options)
    assert run.returncode == 1, run
    assert run.stderr.count("\n") == 1 and run.stderr.startswith("convert_weights.py: "), run.stderr
    assert all(part in run.stderr for part in says), (says, run.stderr)
    assert target.read_bytes() == b"before" and set(folder.iterdir()) == others


def check_good_files(folder):
    a, b = torch.arange(6.0).view(2, 3), torch.tensor([1, 2])
    nested = {"teacher": {"backbone.a": a, "head": {"b": b}}, "epoch": 3, "args": argparse.Namespace(lr=0.1)}
    run = check_converted(folder, nested, {"teacher.backbone.a": a, "teacher.head.b": b})
    assert "left out, being no tensors: epoch (int), args (Namespace)" in run.stderr, run.stderr
    check_converted(folder, nested, {"backbone.a": a, "head.b": b}, "--key", "teacher")
    check_converted(folder, nested, {"b": b}, "--key", "teacher.head")
    check_converted(folder, {"tied": a, "also": a, "view": a.t()[1:], "half": a.bfloat16()},
                    {"tied": a, "also": a, "view": a.t()[1:], "half": a.bfloat16()})
    mask = os.umask(0)
    os.umask(mask)
    target = folder / "out.safetensors"
    assert target.stat().st_mode & 0o777 == 0o666 & ~mask
    with safetensors.safe_open(target, "pt") as file:
        assert file.metadata() == {"format": "pt"}
    assert sorted(path.name for path in folder.iterdir()) == ["in.pth", "out.safetensors"]


def check_bad_files(folder):
    source, a = folder / "in.pth", torch.ones(2)
    trace = folder / "was_run"
    for save in (torch.save, lambda content, path: path.write_bytes(pickle.dumps(content))):
        save({"a": a, "x": RunsCode(str(trace))}, source)
        check_refused(folder, source, str(source), "load it with the program that wrote it")
        assert not trace.exists()
    torch.save({"model": torch.nn.Linear(2, 2)}, source)
    check_refused(folder, source, "holds Python objects besides tensors", "torch.nn.modules.linear.Linear")
    source.write_bytes(b"no pickle")
    check_refused(folder, source, "is no file of tensors that torch.load reads")
    torch.save({"a": {"b": a}}, source)
    check_refused(folder, source, "has nothing under 'a.c'", "at 'c' it has: b", options=("--key", "a.c"))
    check_refused(folder, source, "holds a Tensor, no dictionary of tensors", options=("--key", "a.b"))
    torch.save({"a": {"b": a}, "a.b": a}, source)
    check_refused(folder, source, "two tensors are called 'a.b'")
    torch.save({"epoch": 3}, source)
    target = folder / "kept.safetensors"
    run = convert(source, target)
    assert run.returncode == 1 and "has no tensors" in run.stderr and target.read_bytes() == b"before", run
    torch.save({"s": torch.eye(2).to_sparse()}, source)
    check_refused(folder, source, "s is sparse; safetensors holds dense tensors alone")
    check_refused(folder, folder / "absent.pth", "cannot read", "absent.pth")


def check_failed_write(folder):
    """The target cannot be replaced: it is a folder. Nothing else is left of the attempt."""
    source, target = folder / "in.pth", folder / "folder.safetensors"
    torch.save({"a": torch.ones(2)}, source)
    target.mkdir()
    run = convert(source, target)
    assert run.returncode == 1 and f"cannot write {target}" in run.stderr, run
    assert sorted(path.name for path in folder.iterdir()) == ["folder.safetensors", "in.pth"]


for check in (check_good_files, check_bad_files, check_failed_write):
    with tempfile.TemporaryDirectory() as place:
        check(pathlib.Path(place))
print("convert_weights.py converts, refuses and leaves nothing behind")
