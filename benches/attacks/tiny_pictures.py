#!/usr/bin/env python3
"""Small files of many pixels: long, narrow and plain PNGs of every kind, WebP and GIF of one colour, a progressive JPEG whose
scans are nearly empty. The line says how long the server decoded each, and so which of them it accepts."""

import http.client
import json
import struct
import zlib

from counted import arguments, run

SIDE = 6320


def png(width, height, depth=8, colour=0, adam7=False):
    """A PNG of zeros. `colour`: 0 gray, 2 RGB, 6 RGBA."""
    bits = {0: 1, 2: 3, 6: 4}[colour] * depth
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    packed, pixels = zlib.compressobj(9), []
    for left, top, across, down in passes if adam7 else [(0, 0, 1, 1)]:
        columns, rows = -(-(width - left) // across), -(-(height - top) // down)
        if columns <= 0 or rows <= 0:
            continue
        row = bytes(1 + (columns * bits + 7) // 8)
        some = max(1, (1 << 20) // len(row))
        for first in range(0, rows, some):
            pixels.append(packed.compress(row * min(some, rows - first)))
    pixels.append(packed.flush())

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, int(adam7))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"".join(pixels)) + chunk(b"IEND", b"")


def webp(width, height):
    """A lossless WebP of one colour: each of its five prefix codes has one symbol, so that no pixel takes a bit."""
    bits, at = 0, 0

    def put(value, count):
        nonlocal bits, at
        bits |= value << at
        at += count

    put(0x2F, 8)
    put(width - 1, 14)
    put(height - 1, 14)
    put(0, 1 + 3)  # No alpha, version 0.
    put(0, 1 + 1 + 1)  # No transform, no cache of colours, one group of codes.
    for _ in range(5):
        put(0b0001, 4)  # A simple code of one symbol of one bit: 0.
    data = bits.to_bytes((at + 7) // 8, "little")
    data += b"\0" * (len(data) % 2)
    chunk = b"VP8L" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk


def gif(width, height, screen=None):
    """A GIF of one colour; each of its codes stands for one pixel more than the one before."""
    codes, at, size, table, pixels = bytearray(), 0, 3, 6, 0
    bits = 0

    def put(code):
        nonlocal bits, at
        bits |= code << at
        at += size
        while at >= 8:
            codes.append(bits & 255)
            bits >>= 8
            at -= 8

    put(4)
    code, run, first = 0, 1, True
    while pixels < width * height:
        if table > 4094:
            put(4)
            size, table, code, run, first = 3, 6, 0, 1, True
        put(code)
        pixels += run
        if not first:
            table += 1
        first = False
        code, run = table, run + 1
        if table == 1 << size and size < 12:
            size += 1
    put(5)
    if at:
        codes.append(bits & 255)
    blocks = b"".join(
        bytes([len(codes[start : start + 255])]) + codes[start : start + 255] for start in range(0, len(codes), 255)
    )
    across, down = screen or (width, height)
    return (
        b"GIF89a" + struct.pack("<HHBBB", across, down, 0x81, 0, 0) + bytes(12)
        + b"," + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\x02" + blocks + b"\0;"
    )


def jpeg(width, height, components, scans):
    """A progressive JPEG, gray throughout: a scan of DC coefficients, and others whose blocks all end at once."""

    def segment(code, data):
        return bytes([255, code]) + struct.pack(">H", len(data) + 2) + data

    def packed(bits):
        data = int(bits + "1" * (-len(bits) % 8), 2).to_bytes((len(bits) + 7) // 8, "big")
        return data.replace(b"\xff", b"\xff\0")

    blocks = -(-width // 8) * -(-height // 8)
    frame = struct.pack(">BHHB", 8, height, width, components)
    frame += b"".join(bytes([1 + component, 0x11, 0]) for component in range(components))
    # AC codes: 0 ends 2^14 blocks and as many as 14 bits say, 10 ends one.
    file = b"\xff\xd8" + segment(0xDB, b"\0" + b"\x08" * 64) + segment(0xC2, frame)
    file += segment(0xC4, b"\0\1" + bytes(15) + b"\0") + segment(0xC4, b"\x10\1\1" + bytes(14) + b"\xe0\0")
    selectors = b"".join(bytes([1 + component, 0]) for component in range(components))
    file += segment(0xDA, bytes([components]) + selectors + b"\0\0\0") + packed("0" * blocks * components)
    bits, left = "", blocks
    while left:
        ends = min(left, 32767) if left >= 1 << 14 else 1
        bits += f"0{ends - (1 << 14):014b}" if ends > 1 else "10"
        left -= ends
    nothing = packed(bits)
    places = ((low, at, component) for low in range(13, -1, -1) for at in range(1, 64) for component in range(components))
    for low, at, component in list(places)[: scans - 1]:
        high = 0 if low == 13 else low + 1
        file += segment(0xDA, bytes([1, 1 + component, 0, at, at, high << 4 | low])) + nothing
    return file + b"\xff\xd9"


PICTURES = {
    "PNG of 1 x 40,000,000": png(1, 40_000_000),
    "PNG of 40,000 x 1,000": png(40_000, 1_000),
    "PNG of 1,220 x 32,768": png(1_220, 32_768),
    "PNG, gray": png(SIDE, SIDE),
    "PNG, RGBA of 16 bits, in passes": png(SIDE, SIDE, 16, 6, adam7=True),
    "WebP": webp(16_383, 2_441),
    "WebP of 16,383 x 24": webp(16_383, 24),
    "GIF": gif(SIDE, SIDE),
    "GIF whose frame is larger than its screen": gif(60_000, 1_200, (5_000, 5_000)),
    "progressive JPEG of 100 scans": jpeg(SIDE, SIDE, 3, 100),
    "progressive JPEG of 600 scans": jpeg(SIDE, SIDE, 3, 600),
}


def main():
    given = arguments(__doc__, clients=4)
    names, decoded = list(PICTURES), {}

    def attack(client, turn):
        name = names[(client + turn) % len(names)]
        connection = http.client.HTTPConnection(*given.address, timeout=60)
        headers = given.headers | {"content-type": "application/octet-stream"}
        try:
            connection.request("POST", "/v1/embeddings", PICTURES[name], headers)
            answer = connection.getresponse()
            body = answer.read()
            if answer.status == 200:
                took = json.loads(body)["timing"]["decode_ms"]
                decoded[name] = round(max(took, decoded.get(name, 0)))
            return name, answer.status
        except (OSError, http.client.HTTPException) as error:
            return name, type(error).__name__
        finally:
            connection.close()

    sizes = {name: len(picture) for name, picture in PICTURES.items()}
    run(given, attack, bytes=sizes, slowest_decode_ms=decoded)


if __name__ == "__main__":
    main()
