#!/usr/bin/env python3
"""Writes the seeds of tests/fuzz that are pictures, archives or tensors: small, and of every kind that the decoders tell apart. Needs
Pillow. Seeds that are text, and inputs that once were findings, lie beside them and stay."""
import io
import json
import pathlib
import struct
import tarfile
import zlib

import PIL.Image

seeds = pathlib.Path(__file__).resolve().parents[2] / "tests/fuzz/seeds"


def write(target, name, content):
    (seeds / target).mkdir(parents=True, exist_ok=True)
    (seeds / target / name).write_bytes(content)


def encoded(picture, kind, **options):
    data = io.BytesIO()
    picture.save(data, kind, **options)
    return data.getvalue()


def gradient(mode, width=12, height=9):
    colour = PIL.Image.merge("RGB", [PIL.Image.linear_gradient("L").rotate(angle).resize((width, height)) for angle in (0, 90, 180)])
    if mode == "RGBA":
        colour.putalpha(PIL.Image.radial_gradient("L").resize((width, height)))
    return colour if mode == "RGBA" else colour.convert(mode)


def orientation(value, order=">"):
    """An EXIF segment: TIFF header, one entry of kind 0x0112."""
    mark = b"MM" if order == ">" else b"II"
    return b"Exif\0\0" + mark + struct.pack(order + "HIHHHIHHI", 42, 8, 1, 0x0112, 3, 1, value, 0, 0)


rgb = gradient("RGB")
write("jpeg", "baseline.jpg", encoded(rgb, "JPEG", quality=50))
write("jpeg", "progressive.jpg", encoded(rgb, "JPEG", quality=50, progressive=True))
write("jpeg", "grey.jpg", encoded(gradient("L"), "JPEG", quality=50))
write("jpeg", "cmyk.jpg", encoded(gradient("CMYK"), "JPEG", quality=50))
write("jpeg", "full_colour.jpg", encoded(rgb, "JPEG", quality=50, subsampling=0, restart_marker_blocks=1))
write("jpeg", "orientation.jpg", encoded(rgb, "JPEG", quality=50, exif=orientation(6)))
write("jpeg", "header.jpg", b"\xFF\xD8\xFF")

write("png", "rgb.png", encoded(rgb, "PNG"))
for mode in ("1", "L", "P", "LA", "RGBA", "I;16"):
    picture = gradient("RGBA").convert("LA") if mode == "LA" else gradient("L").convert("I;16") if mode == "I;16" else gradient(mode)
    write("png", f"{mode.replace(';', '').lower()}.png", encoded(picture, "PNG"))
write("png", "transparent_colour.png", encoded(rgb, "PNG", transparency=(0, 0, 0)))
def png_chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


packed = zlib.compress(b"a" * (1 << 20), 9)
write("png", "compressed_text.png", b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0)) +
      png_chunk(b"zTXt", b"k\0\0" + packed) * 4 + png_chunk(b"iTXt", b"k\0\1\0\0\0" + packed) + png_chunk(b"sPLT", b"p\0\x08" + bytes(6)) +
      png_chunk(b"IDAT", zlib.compress(bytes(7))) + png_chunk(b"IEND", b""))
write("png", "interlaced.png", (seeds.parents[1] / "data/pictures/one_bit.png").read_bytes())

write("bmp", "rgb.bmp", encoded(rgb, "BMP"))
for mode in ("1", "L", "P", "RGBA"):
    write("bmp", f"{mode.lower()}.bmp", encoded(gradient(mode), "BMP"))

write("gif", "rgb.gif", encoded(rgb, "GIF"))
write("gif", "transparent.gif", encoded(gradient("P"), "GIF", transparency=0))
write("gif", "interlaced.gif", encoded(gradient("P"), "GIF", interlace=1))
write("gif", "two_frames.gif", encoded(gradient("P"), "GIF", save_all=True, append_images=[gradient("P").rotate(90)], loop=0, duration=50, comment=b"words"))
write("gif", "old.gif", b"GIF87a" + encoded(gradient("P", 3, 2), "GIF")[6:])

write("webp", "lossy.webp", encoded(rgb, "WEBP", quality=30))
write("webp", "lossless.webp", encoded(rgb, "WEBP", lossless=True))
write("webp", "alpha.webp", encoded(gradient("RGBA"), "WEBP", quality=30))
write("webp", "orientation.webp", encoded(rgb, "WEBP", quality=30, exif=orientation(6)[6:]))
write("webp", "two_frames.webp", encoded(gradient("RGBA"), "WEBP", save_all=True, append_images=[gradient("RGBA").rotate(90)], duration=50))

for order in "<>":
    write("exif", "little" if order == "<" else "big", orientation(6, order))
write("exif", "many_entries", orientation(3)[:14] + struct.pack(">H", 3) + 2 * struct.pack(">HHIHH", 0x010F, 2, 1, 0, 0) + struct.pack(">HHIHH", 0x0112, 3, 1, 8, 0))
write("exif", "beyond", b"Exif\0\0MM\0*\xFF\xFF\xFF\xF0")
write("exif", "short", b"Exif\0\0II")


def archive(format, *members):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=format) as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            if format == tarfile.PAX_FORMAT:
                info.mtime = 0.5
            tar.addfile(info, io.BytesIO(content))
    return data.getvalue().rstrip(b"\0") + bytes(1024)  # not filled up to 10 KiB


tiny = encoded(PIL.Image.new("RGB", (2, 1), (1, 2, 3)), "PNG")
words = (("1.png", tiny), ("1.txt", b"words"), ("1.cls", b"1"))


def aligned(content):
    return content + bytes(-len(content) % 512)


write("tar", "ustar.tar", aligned(archive(tarfile.USTAR_FORMAT, *words, ("2.png", tiny), ("2.json", b'{"text": "two", "label": 0}'))))
write("tar", "folders.tar", aligned(archive(tarfile.USTAR_FORMAT, ("f" * 70 + "/" + "n" * 60 + ".png", tiny))))
write("tar", "gnu.tar", aligned(archive(tarfile.GNU_FORMAT, ("n" * 120 + ".png", tiny))))
write("tar", "pax.tar", aligned(archive(tarfile.PAX_FORMAT, ("n" * 120 + ".png", tiny), ("2.png", tiny))))
write("tar", "twice.tar", aligned(archive(tarfile.USTAR_FORMAT, ("1.png", tiny), ("2.png", tiny), ("1.txt", b"again"))))


def safetensors(header, data):
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(dtype, shape, begin, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


write("safetensors", "unaligned", safetensors({"a": entry("I8", [3], 0, 3), "b": entry("F64", [1], 3, 11)}, bytes(11)))
write("safetensors", "disordered", safetensors({"b": entry("U16", [2], 2, 6), "a": entry("F8_E4M3", [2], 0, 2), "e": entry("F32", [0], 2, 2)}, bytes(6)))
write("safetensors", "escapes", safetensors({"__metadata__": {"\u00e4": "\x01\U0001f600"}, "\"\n\u2028": entry("U64", [], 0, 8)}, bytes(8)))
