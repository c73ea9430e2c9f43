#!/usr/bin/env python3
"""Writes tests/data/shards: archives in the three formats of Python's tarfile, and the samples that WebDataset finds in
them. Needs Pillow and webdataset 1.0.2."""
import io
import json
import pathlib
import sys
import tarfile

import PIL.Image
import webdataset

out = pathlib.Path(__file__).resolve().parents[2] / "tests/data/shards"


def picture(number, kind):
    data = io.BytesIO()
    PIL.Image.new("RGB", (3, 2), (40 * number, 10, 200)).save(data, kind)
    return data.getvalue()


def members(format):
    """Name and content of each member."""
    folder = "a" * 60 + "/" + "b" * 60 + "/"
    long = "c" * (80 if format == tarfile.USTAR_FORMAT else 150)  # ustar: 155 of folder and 100 of name
    umlaut = "memes/f\u00fcnf" if format != tarfile.USTAR_FORMAT else "memes/fuenf"
    yield "000001.jpg", picture(1, "JPEG")
    yield "000001.txt", "when it compiles at once\n".encode()
    yield "000001.cls", b"0"
    yield "./000002.PNG", picture(2, "PNG")
    yield "./000002.json", json.dumps({"caption": "f\u00fcr dich", "label": 1, "width": 3}).encode()
    yield "000003.bmp", picture(3, "BMP")
    yield "000003.seg.png", b"no picture of ours"
    yield folder + long + ".png", picture(4, "PNG")
    yield folder + long + ".txt", b"a long name"
    yield folder + long + ".cls", b"1\n"
    yield umlaut + ".png", picture(5, "PNG")
    yield umlaut + ".txt", "\u65e5\u672c".encode()
    yield "README", b"no sample"


def words(sample):
    text, label = sample.get("txt", b"").decode(), sample.get("cls")
    about = json.loads(sample.get("json", b"{}"))
    return text.removesuffix("\n") or about.get("caption", ""), int(label) if label else about.get("label")


def main():
    out.mkdir(exist_ok=True)
    expected = {}
    for name, format in (("ustar", tarfile.USTAR_FORMAT), ("gnu", tarfile.GNU_FORMAT), ("pax", tarfile.PAX_FORMAT)):
        path = out / f"{name}.tar"
        with tarfile.open(path, "w", format=format) as archive:
            folder = tarfile.TarInfo("memes")
            folder.type = tarfile.DIRTYPE
            archive.addfile(folder)
            for member, content in members(format):
                info = tarfile.TarInfo(member)
                info.size = len(content)
                if format == tarfile.PAX_FORMAT:
                    info.mtime = 1234.5  # which pax alone can hold
                archive.addfile(info, io.BytesIO(content))
        expected[name] = []
        for sample in webdataset.WebDataset(str(path), shardshuffle=False, nodesplitter=None):
            text, label = words(sample)
            pictures = [sample[kind] for kind in ("jpg", "png", "bmp") if kind in sample]
            key = sample["__key__"].removeprefix("./")
            expected[name].append({"key": key, "text": text, "label": label, "picture_bytes": len(pictures[0])})
    (out / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
    (out / "VERSIONS").write_text(f"webdataset {webdataset.__version__}\nPillow {PIL.__version__}\n")


if __name__ == "__main__":
    sys.exit(main())
