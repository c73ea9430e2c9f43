#!/usr/bin/env python3
"""Writes pictures of every kind that decode_image reads, and what Pillow makes of them, for tests/unit/decode_*_test.

What Pillow cannot write is written here by hand. Where Pillow reads only the high byte of 16 bits, ignores tRNS of 16 bits or
leaves out colour beyond a frame, the expected picture is what the format's specification says; the script checks that Pillow is
within 1 of it, or says why not.

Usage: python scripts/golden/pictures.py      (needs pillow, numpy; see tests/data/pictures/KINDS_VERSIONS)
"""
import io
import pathlib
import struct
import zlib

import numpy as np
import PIL
from PIL import Image, ImageOps, features

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "tests" / "data" / "pictures"
WIDTH, HEIGHT = 23, 17  # odd, so that rows need padding


def values(channels: int, top: int = 255, seed: int = 0) -> np.ndarray:
    """Waves with patches, (H, W, C): nothing in it is symmetric."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    waves = [0.5 + 0.48 * np.sin(x * (0.15 + 0.1 * c) + y * (0.31 - 0.07 * c) + c + seed) for c in range(channels)]
    picture = np.round(np.stack(waves, -1) * top).astype(np.int64)
    picture[:4, :5] = np.array([top, 0, top // 8, top])[:channels]
    picture[-3:, -7:] = np.array([0, top, top // 3, 0])[:channels]
    return picture


def rgb_values() -> np.ndarray:
    return values(3).astype(np.uint8)


def on_white(rgba: Image.Image) -> Image.Image:
    return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")


def by_pillow(data: bytes) -> Image.Image:
    """The first frame, turned upright, on white."""
    with Image.open(io.BytesIO(data)) as image:
        upright = ImageOps.exif_transpose(image)
        has_alpha = upright.mode in ("RGBA", "LA", "PA") or "transparency" in upright.info
        return on_white(upright.convert("RGBA")) if has_alpha else upright.convert("RGB")


def write(name: str, data: bytes, expected=None, within: int = 1) -> None:
    """`expected` (H, W, 3): checked against Pillow's reading to differ by at most `within`; without it Pillow's reading."""
    if expected is None:
        expected = by_pillow(data)
    else:
        expected = Image.fromarray(np.asarray(expected).astype(np.uint8))
        if within < 256:
            difference = np.abs(np.asarray(by_pillow(data)).astype(int) - np.asarray(expected).astype(int)).max()
            assert difference <= within, f"{name}: Pillow differs by {difference}"
    (FOLDER / name).write_bytes(data)
    expected.save(FOLDER / f"{name}.expected.png", optimize=True)


def saved(image: Image.Image, kind: str, **options) -> bytes:
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


def exif_of(orientation: int, big: bool = False) -> bytes:
    """A TIFF file of one entry."""
    order = ">" if big else "<"
    return (b"MM\0*" if big else b"II*\0") + struct.pack(order + "IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)


# PNG


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(pixels: np.ndarray, depth: int, colour_type: int, before: bytes = b"", after: bytes = b"") -> bytes:
    """(H, W, C) of 8 or 16 bits a value, unfiltered; chunks before and after the pixels."""
    rows = pixels.astype(">u2" if depth == 16 else "u1")
    raw = b"".join(b"\0" + row.tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], depth, colour_type, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + before + png_chunk(b"IDAT", zlib.compress(raw, 9)) + after
            + png_chunk(b"IEND", b""))


def scaled(pixels: np.ndarray, top: int = 65535) -> np.ndarray:
    return np.floor(pixels * 255 / top + 0.5)


def composed(colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """8-bit colour (H, W, 3) of opacity alpha (H, W, 1) on white."""
    return np.floor((colour * alpha + 255 * (255 - alpha)) / 255 + 0.5)


def write_png() -> None:
    top = 65535
    deep = values(3, top)
    write("rgb16.png", png(deep, 16, 2), scaled(deep))
    deep = values(4, top)
    write("rgba16.png", png(deep, 16, 6), composed(scaled(deep[..., :3]), scaled(deep[..., 3:])), within=2)
    pair = values(2)
    write("grey_alpha.png", png(pair, 8, 4), composed(np.repeat(pair[..., :1], 3, -1), pair[..., 1:]))
    pair = values(2, top)
    write("grey_alpha16.png", png(pair, 16, 4), composed(np.repeat(scaled(pair[..., :1]), 3, -1), scaled(pair[..., 1:])), within=2)

    # tRNS of 16 bits: one colour, exactly; its neighbours, equal in the high byte, stay. Pillow compares high bytes.
    deep = values(3, top)
    clear = deep[8, 8].copy()
    deep[2:5, 9:14] = clear
    deep[10, 3:9] = clear + np.array([0, 1, 0]) if clear[1] % 256 < 255 else clear - np.array([0, 1, 0])
    expected = scaled(deep)
    expected[(deep == clear).all(-1)] = 255
    write("rgb16_transparent.png", png(deep, 16, 2, png_chunk(b"tRNS", struct.pack(">HHH", *clear))), expected, within=256)
    grey = values(1, top)
    clear = int(grey[8, 8, 0])
    grey[2:5, 9:14] = clear
    grey[10, 3:9] = clear ^ 1
    expected = np.repeat(scaled(grey), 3, -1)
    expected[grey[..., 0] == clear] = 255
    write("grey16_transparent.png", png(grey, 16, 0, png_chunk(b"tRNS", struct.pack(">H", clear))), expected, within=256)
    colour = rgb_values()
    write("rgb_transparent.png", png(colour, 8, 2, png_chunk(b"tRNS", struct.pack(">HHH", *colour[0, 0].tolist()))))

    for orientation in range(2, 9):
        chunk = png_chunk(b"eXIf", exif_of(orientation, big=orientation % 2 == 0))
        before, after = (chunk, b"") if orientation < 6 else (b"", chunk)
        write(f"orientation_{orientation}.png", png(colour, 8, 2, before, after))


# JPEG


def write_jpeg() -> None:
    cmyk = Image.fromarray(values(4).astype(np.uint8), "CMYK")
    with_adobe = saved(cmyk, "JPEG", quality=95, subsampling=0)
    at = with_adobe.index(b"\xff\xee")
    (length,) = struct.unpack(">H", with_adobe[at + 2 : at + 4])
    assert with_adobe[at + 4 : at + 9] == b"Adobe" and with_adobe[at + length + 1] == 0
    write("cmyk_without_adobe.jpg", with_adobe[:at] + with_adobe[at + 2 + length :])
    # The same numbers said to be YCCK: Adobe's transform 2.
    write("ycck.jpg", with_adobe[: at + length + 1] + b"\x02" + with_adobe[at + length + 2 :])


# BMP


def bmp(rows: bytes, bits: int, *, compression: int = 0, height: int = HEIGHT, width: int = WIDTH, header_size: int = 40, masks=(), palette: bytes = b"",
        colours: int = 0, gap: bytes = b"") -> bytes:
    """`masks`: behind a header of 40 bytes, within a longer one. `palette`: as it is stored."""
    if header_size == 12:
        header = struct.pack("<IHHHH", 12, width, height, 1, bits)
    else:
        header = struct.pack("<IiiHHIIiiII", header_size, width, height, 1, bits, compression, len(rows), 0, 0, colours, 0)
    header += struct.pack(f"<{len(masks)}I", *masks)
    header = header.ljust(14 + header_size - 14, b"\0")
    start = 14 + len(header) + len(palette) + len(gap)
    return struct.pack("<2sIHHI", b"BM", start + len(rows), 0, 0, start) + header + palette + gap + rows


def padded(rows) -> bytes:
    return b"".join(row + bytes(-len(row) % 4) for row in rows)


def packed(indices: np.ndarray, bits: int) -> bytes:
    """Rows from the bottom up, padded to four bytes."""
    rows = []
    for row in indices[::-1]:
        each = ((row[:, None] >> np.arange(bits - 1, -1, -1)) & 1).astype(np.uint8).reshape(-1)
        rows.append(np.packbits(each).tobytes())
    return padded(rows)


def run_lengths(indices: np.ndarray, bits: int) -> bytes:
    """Runs, pixels one by one, and skips over colour 0, each where it fits."""
    half = bits == 4
    out = b""
    skipped = 0  # rows of nothing but colour 0, from the bottom up
    for row in indices[::-1]:
        if not row.any():
            skipped += 1
            continue
        if skipped:
            out += bytes([0, 2, 0, skipped])
            skipped = 0
        x = 0
        while x < len(row):
            if not row[x:].any():
                break
            zeros = 0
            while x + zeros < len(row) and row[x + zeros] == 0:
                zeros += 1
            if zeros > 2:
                out += bytes([0, 2, zeros, 0])
                x += zeros
                continue
            period = 2 if half else 1
            n = period
            while x + n < len(row) and row[x + n] == row[x + n - period]:
                n += 1
            n = min(n, len(row) - x)
            if n >= 3:
                pair = [int(row[x]), int(row[x + 1]) if half else 0]
                out += bytes([n, pair[0] << 4 | pair[1] if half else pair[0]])
            else:
                n = min(len(row) - x, 7)
                some = [int(v) for v in row[x : x + n]]
                if n < 3:
                    for v in some:
                        out += bytes([1, v << 4 if half else v])
                else:
                    data = bytes(a << 4 | b for a, b in zip(some[::2], [*some[1::2], 0])) if half else bytes(some)
                    out += bytes([0, n]) + data + bytes(len(data) % 2)
            x += n
        out += b"\0\0"
    return out + b"\0\1"


def fields(pixels: np.ndarray, widths, shifts, size: int, step: int = -1) -> bytes:
    """Pixels of 8 bits (H, W, C) cut to `widths` bits and put where `shifts` say."""
    word = np.zeros(pixels.shape[:2], np.int64)
    for c, (width, shift) in enumerate(zip(widths, shifts)):
        word |= (pixels[..., c].astype(np.int64) >> (8 - width)) << shift
    return padded(row.astype(f"<u{size}").tobytes() for row in word[::step])


def write_bmp() -> None:
    colour = rgb_values()
    image = Image.fromarray(colour)
    write("bmp_1.bmp", saved(image.convert("1"), "BMP"))
    write("bmp_8_grey.bmp", saved(image.convert("L"), "BMP"))
    write("bmp_8.bmp", saved(image.quantize(200), "BMP"))
    write("bmp_24.bmp", saved(image, "BMP"))
    alpha = Image.fromarray(values(4).astype(np.uint8))
    write("bmp_32.bmp", saved(alpha, "BMP"))

    def palette(n, entry=4):
        each = [bytes([(37 * i + 11) % 256, (91 * i + 5) % 256, (53 * i + 200) % 256]) for i in range(n)]
        return b"".join(c + bytes(entry - 3) for c in each)

    def indices(n):
        return np.clip(values(1)[..., 0] * n // 256, 0, n - 1)

    for bits in (1, 4, 8):
        n = {1: 2, 4: 11, 8: 77}[bits]
        some = indices(n)
        write(f"bmp_{bits}_few.bmp", bmp(packed(some, bits), bits, palette=palette(n), colours=n))
        write(f"bmp_{bits}_top_down.bmp", bmp(packed(some[::-1], bits), bits, palette=palette(n), colours=n, height=-HEIGHT))
        write(f"bmp_{bits}_os2.bmp", bmp(packed(some, bits), bits, header_size=12, palette=palette(1 << bits, 3)))
    for bits, compression in ((8, 1), (4, 2)):
        some = indices(1 << bits)
        some[5:8] = 0  # rows and ends of rows to skip
        some[12, 9:20] = 0
        some[2, 8:] = some[2, 8]
        write(f"bmp_{bits}_runs.bmp", bmp(run_lengths(some, bits), bits, compression=compression, palette=palette(1 << bits), header_size=124))

    bgr = padded(row[:, ::-1].tobytes() for row in colour[::-1])
    write("bmp_24_os2.bmp", bmp(bgr, 24, header_size=12))
    write("bmp_24_os2_2.bmp", bmp(bgr, 24, header_size=64))
    write("bmp_24_gap.bmp", bmp(bgr, 24, gap=b"\x55" * 37))
    write("bmp_24_top_down.bmp", bmp(padded(row[:, ::-1].tobytes() for row in colour), 24, height=-HEIGHT, header_size=108))
    write("bmp_16.bmp", bmp(fields(colour, (5, 5, 5), (10, 5, 0), 2), 16))
    write("bmp_16_565.bmp", bmp(fields(colour, (5, 6, 5), (11, 5, 0), 2), 16, compression=3, masks=(0xF800, 0x7E0, 0x1F)))
    write("bmp_16_565_v3.bmp", bmp(fields(colour, (5, 6, 5), (11, 5, 0), 2), 16, compression=3, masks=(0xF800, 0x7E0, 0x1F, 0), header_size=56))
    write("bmp_32_plain.bmp", bmp(fields(values(4), (8, 8, 8, 8), (16, 8, 0, 24), 4), 32))  # the fourth byte means nothing
    write("bmp_32_masks.bmp", bmp(fields(colour, (8, 8, 8), (24, 16, 8), 4), 32, compression=3, masks=(0xFF000000, 0xFF0000, 0xFF00)))
    masks = (0xFF, 0xFF00, 0xFF0000, 0xFF000000)
    write("bmp_32_alpha_v4.bmp", bmp(fields(values(4), (8, 8, 8, 8), (0, 8, 16, 24), 4), 32, compression=3, masks=masks, header_size=108))
    write("bmp_32_alpha_v5.bmp", bmp(fields(values(4), (8, 8, 8, 8), (0, 8, 16, 24), 4, step=1), 32, compression=3, masks=masks, header_size=124, height=-HEIGHT))
    # Pillow reads no alpha of 16 bits.
    four = values(4).astype(np.int64) >> 4
    data = bmp(fields(values(4), (4, 4, 4, 4), (8, 4, 0, 12), 2), 16, compression=3, masks=(0xF00, 0xF0, 0xF, 0xF000), header_size=124)
    write("bmp_16_alpha.bmp", data, composed(four[..., :3] * 17, four[..., 3:] * 17), within=256)


# GIF


def lzw(indices: bytes, bits: int, *, clear_when_full: bool = True) -> bytes:
    """The codes of GIF, in blocks."""
    clear, end = 1 << bits, (1 << bits) + 1
    out, held, count = bytearray(), 0, 0
    size, table, following = bits + 1, {bytes([i]): i for i in range(clear)}, end + 1

    def put(code):
        nonlocal held, count
        held |= code << count
        count += size
        while count >= 8:
            out.append(held & 255)
            held >>= 8
            count -= 8

    put(clear)
    text = b""
    for value in indices:
        longer = text + bytes([value])
        if longer in table:
            text = longer
            continue
        put(table[text])
        if following < 4096:
            table[longer] = following
            following += 1
            if following > 1 << size and size < 12:
                size += 1
        elif clear_when_full:
            put(clear)
            size, table, following = bits + 1, {bytes([i]): i for i in range(clear)}, end + 1
        text = bytes([value])
    put(table[text])
    if following == 1 << size and size < 12:  # the reader has one code more by now
        size += 1
    put(end)
    if count:
        out.append(held & 255)
    return b"".join(bytes([len(out[i : i + 255])]) + bytes(out[i : i + 255]) for i in range(0, len(out), 255)) + b"\0"


def gif(indices: np.ndarray, bits: int, *, screen=None, at=(0, 0), transparent=None, interlaced=False, shared: bytes = b"", local: bytes = b"", more: bytes = b"",
        clear_when_full: bool = True) -> bytes:
    height, width = indices.shape
    screen = screen or (width, height)

    def flags(palette):
        return 0x80 | (len(palette) // 3).bit_length() - 2 if palette else 0

    data = b"GIF89a" + struct.pack("<HHBBB", *screen, flags(shared), 0, 0) + shared
    if transparent is not None:
        data += bytes([0x21, 0xF9, 4, 1, 0, 0, transparent, 0])
    data += b"\x21\xfe\x05hello\0"
    rows = indices
    if interlaced:
        rows = np.concatenate([indices[0::8], indices[4::8], indices[2::4], indices[1::2]])
    data += b"\x2c" + struct.pack("<HHHHB", *at, width, height, flags(local) | (0x40 if interlaced else 0)) + local
    return data + bytes([bits]) + lzw(rows.astype(np.uint8).tobytes(), bits, clear_when_full=clear_when_full) + more + b"\x3b"


def write_gif() -> None:
    image = Image.fromarray(rgb_values())
    write("gif_grey.gif", saved(image.convert("L"), "GIF"))
    write("gif_256.gif", saved(image.quantize(256), "GIF"))
    write("gif_one_bit.gif", saved(image.convert("1"), "GIF"))
    write("gif_transparent.gif", saved(image.quantize(32), "GIF", transparency=5))
    others = [Image.fromarray(values(3, seed=k).astype(np.uint8)).quantize(64) for k in (1, 2)]
    write("gif_animated.gif", saved(image.quantize(64), "GIF", save_all=True, append_images=others, duration=50, loop=0))

    n = 16
    some = np.clip(values(1)[..., 0] * n // 256, 0, n - 1)
    palette = bytes((i * step + start) % 256 for i in range(n) for step, start in ((37, 11), (91, 5), (53, 200)))
    other = bytes(255 - v for v in palette)
    write("gif_interlaced.gif", gif(some, 4, shared=palette, interlaced=True))
    write("gif_local.gif", gif(some, 4, shared=palette, local=other))
    write("gif_offset.gif", gif(some, 4, shared=palette, screen=(40, 30), at=(9, 6), transparent=3))
    write("gif_beyond.gif", gif(some, 4, shared=palette, screen=(20, 10), at=(4, 2), transparent=3))
    # Where an opaque frame does not reach, Pillow shows colour 0; here, as in browsers, there is nothing: white.
    expected = np.full((30, 40, 3), 255)
    expected[6 : 6 + HEIGHT, 9 : 9 + WIDTH] = np.frombuffer(palette, np.uint8).reshape(-1, 3)[some]
    write("gif_opaque_offset.gif", gif(some, 4, shared=palette, screen=(40, 30), at=(9, 6)), expected, within=256)
    # More pieces than codes: with a new start, and with the full table kept.
    noise = np.random.default_rng(3).integers(0, 256, (70, 90))
    grey = bytes(v for i in range(256) for v in (i, 255 - i, i ^ 85))
    write("gif_full_table.gif", gif(noise, 8, shared=grey))
    write("gif_kept_table.gif", gif(noise // 64 * 64, 8, shared=grey, clear_when_full=False))


# WebP


def with_exif(webp: bytes, exif: bytes) -> bytes:
    """A simple WebP file made an extended one with EXIF."""
    body = webp[12:]
    size = WIDTH - 1 | HEIGHT - 1 << 24
    extended = b"VP8X" + struct.pack("<II", 10, 0x08) + size.to_bytes(6, "little")
    chunks = extended + body + b"EXIF" + struct.pack("<I", len(exif)) + exif + bytes(len(exif) % 2)
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WEBP" + chunks


def write_webp() -> None:
    image = Image.fromarray(rgb_values())
    alpha = Image.fromarray(values(4).astype(np.uint8))
    write("webp_lossy.webp", saved(image, "WEBP", quality=80))
    write("webp_lossless.webp", saved(image, "WEBP", lossless=True))
    write("webp_lossy_alpha.webp", saved(alpha, "WEBP", quality=80))
    write("webp_lossless_alpha.webp", saved(alpha, "WEBP", lossless=True, exact=True))
    others = [Image.fromarray(values(4, seed=k).astype(np.uint8)) for k in (1, 2)]
    write("webp_animated.webp", saved(alpha, "WEBP", save_all=True, append_images=others, duration=40, lossless=True))
    # The first frame where it lies on the canvas: an encoder trims what is transparent.
    canvas = Image.new("RGBA", (40, 30))
    canvas.paste(Image.fromarray(np.dstack([rgb_values(), np.full((HEIGHT, WIDTH), 200, np.uint8)])), (10, 6))
    moved = Image.new("RGBA", (40, 30))
    moved.paste(image, (3, 2))
    write("webp_offset.webp", saved(canvas, "WEBP", save_all=True, append_images=[moved], lossless=True, minimize_size=True))
    plain = saved(image, "WEBP", lossless=True)
    for orientation in range(2, 9):
        write(f"orientation_{orientation}.webp", with_exif(plain, b"Exif\0\0" * (orientation % 2) + exif_of(orientation, big=orientation > 5)))


if __name__ == "__main__":
    write_png()
    write_jpeg()
    write_bmp()
    write_gif()
    write_webp()
    versions = f"scripts/golden/pictures.py: pillow {PIL.__version__}, libjpeg-turbo {features.version('libjpeg_turbo')}, libwebp {features.version('webp')}\n"
    (FOLDER / "KINDS_VERSIONS").write_text(versions)
