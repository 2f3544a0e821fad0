"""Raw connections to a server: bytes of HTTP/1.1, and frames of HTTP/2 (RFC 9113) with headers as HPACK literals."""

import argparse
import http.client
import json
import random
import socket
import struct
import time
import zlib
from urllib.parse import urlsplit

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
INITIAL_WINDOW_SIZE = 4


def arguments(description, **defaults):
    """The options that all attacks have, and some of their own with these defaults."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--url", default="http://127.0.0.1:8080")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--key", help="an API key, where the server needs one")
    for name, value in defaults.items():
        parser.add_argument("--" + name.replace("_", "-"), type=type(value), default=value)
    given = parser.parse_args()
    parts = urlsplit(given.url)
    given.address = (parts.hostname, parts.port or 80)
    return given


def authorization(key):
    return {"authorization": f"Bearer {key}"} if key else {}


def ask(given, method, path, body=None, headers=None, timeout=30):
    """Status and body of one request on a connection of its own; status 0 where there is no answer."""
    connection = http.client.HTTPConnection(*given.address, timeout=timeout)
    try:
        connection.request(method, path, body, authorization(given.key) | (headers or {}))
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException):
        return 0, b""
    finally:
        connection.close()


def connect(given, receive_buffer=None):
    """A connection that does not block, or None."""
    raw = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    if receive_buffer:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    raw.settimeout(2)
    try:
        raw.connect(given.address)
    except OSError:
        raw.close()
        return None
    raw.setblocking(False)
    return raw


def send(raw, data):
    """Sends what the socket takes. False once the connection is closed."""
    try:
        raw.send(data)
    except BlockingIOError:
        pass
    except OSError:
        return False
    return True


def is_open(raw):
    """Whether the server has not closed the connection; it is not read."""
    if raw.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
        return False
    try:
        return raw.recv(1, socket.MSG_PEEK) != b"" and not reset(raw)
    except BlockingIOError:
        return True
    except OSError:
        return False


def reset(raw):
    """Whether the other side is gone, even where unread bytes lie before its end (TCP_INFO's state: 1 is established)."""
    return raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != 1


def get(path, key=None):
    """A GET of HTTP/1.1."""
    more = "".join(f"{name}: {value}\r\n" for name, value in authorization(key).items())
    return f"GET {path} HTTP/1.1\r\nhost: attack\r\n{more}\r\n".encode()


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def literal(name, value):
    """A header that is not indexed (RFC 7541, section 6.2.2)."""

    def text(data):
        data = data.encode()
        length = bytes([len(data)])
        if len(data) >= 127:
            rest, length = len(data) - 127, b"\x7f"
            while rest >= 128:
                length, rest = length + bytes([rest % 128 + 128]), rest // 128
            length += bytes([rest])
        return length + data

    return b"\x00" + text(name) + text(value)


class Http2:
    """A connection of HTTP/2 that answers pings and counts what comes. `window`: bytes that each stream may send."""

    def __init__(self, raw, window):
        self.raw, self.read, self.to_send = raw, b"", b""
        self.open, self.data_bytes, self.resets, self.next_stream = True, 0, 0, 1
        self.write(PREFACE + frame(SETTINGS, 0, 0, struct.pack(">HI", INITIAL_WINDOW_SIZE, window)))

    def write(self, data):
        self.to_send += data
        try:
            self.to_send = self.to_send[self.raw.send(self.to_send) :]
        except BlockingIOError:
            pass
        except OSError:
            self.open = False

    def get(self, path, key=None):
        """Asks for a path on a stream of its own."""
        headers = {":method": "GET", ":scheme": "http", ":path": path, ":authority": "attack"}
        block = b"".join(literal(*header) for header in (headers | authorization(key)).items())
        self.write(frame(HEADERS, 0x5, self.next_stream, block))
        self.next_stream += 2

    def pump(self):
        """Reads frames, and answers those that want an answer."""
        try:
            while self.open:
                piece = self.raw.recv(1 << 16)
                self.open = bool(piece)
                self.read += piece
        except BlockingIOError:
            pass
        except OSError:
            self.open = False
        while len(self.read) >= 9 and len(self.read) >= 9 + int.from_bytes(self.read[:3], "big"):
            length, kind, flags = int.from_bytes(self.read[:3], "big"), self.read[3], self.read[4]
            payload, self.read = self.read[9 : 9 + length], self.read[9 + length :]
            if kind == DATA:
                self.data_bytes += length
            elif kind == RST_STREAM:
                self.resets += 1
            elif kind == SETTINGS and not flags & 1:
                self.write(frame(SETTINGS, 1, 0))
            elif kind == PING and not flags & 1:
                self.write(frame(PING, 1, 0, payload))
        self.write(b"")


def noise_png(side):
    """A PNG of random colours: about three bytes a pixel, whatever compresses it."""
    colours = random.Random(16)
    lines = b"".join(b"\x00" + colours.randbytes(side * 3) for _ in range(side))

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(lines, 0)) + chunk(b"IEND", b"")


class Health:
    """Asks /healthz again and again, and keeps the worst."""

    def __init__(self, given):
        self.given, self.answers, self.worst = given, {}, 0.0

    def check(self):
        start = time.monotonic()
        status, _ = ask(self.given, "GET", "/healthz", timeout=10)
        self.worst = max(self.worst, time.monotonic() - start)
        self.answers[str(status)] = self.answers.get(str(status), 0) + 1

    def seen(self):
        return {"healthz": self.answers, "healthz_worst_ms": round(self.worst * 1000, 1)}


def report(**seen):
    """Prints one line of JSON."""
    print(json.dumps(seen), flush=True)
