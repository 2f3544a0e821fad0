#!/usr/bin/env python3
"""Imports that never end: lines of nearly 10 MiB whose last bytes trickle, and compressed ones whose decoders are large."""

import random
import socket
import time
import zlib

from counted import arguments, run

LONGEST = (10 << 20) - 1000


def head(given, more=""):
    key = f"authorization: Bearer {given.key}\r\n" if given.key else ""
    return (
        f"POST /v1/imports HTTP/1.1\r\nhost: attack\r\n{key}content-type: application/x-ndjson\r\n"
        f"{more}transfer-encoding: chunked\r\n\r\n"
    ).encode()


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


def status(raw, seconds):
    """The status that came within so many seconds; None if none did."""
    raw.settimeout(seconds)
    try:
        answer = raw.recv(4096)
    except TimeoutError:
        return None
    except OSError as error:
        return type(error).__name__
    return answer[9:12].decode() if answer else "closed"


def import_slowly(given, first, trickle, more, end):
    """Sends a first part, then a piece a second until an answer comes."""
    try:
        raw = socket.create_connection(given.address, timeout=30)
    except OSError as error:
        return type(error).__name__
    with raw:
        try:
            raw.sendall(head(given, more) + chunk(first))
        except OSError:
            return status(raw, 1) or "broken pipe"
        while time.monotonic() < end:
            if answer := status(raw, 1):
                return answer
            try:
                raw.settimeout(5)
                if trickle:
                    raw.sendall(chunk(trickle))
            except OSError:
                return status(raw, 1) or "broken pipe"
        return "still open"


def main():
    given = arguments(__doc__, clients=160)
    end = time.monotonic() + given.seconds
    line = b'{"id":"a","title":"' + b"x" * LONGEST
    packed = zlib.compressobj(wbits=31)
    gzip = packed.compress(line) + packed.flush(zlib.Z_SYNC_FLUSH)
    ways = {
        "a long line that trickles": (line, b"x", ""),
        "a compressed line that stays silent": (gzip, b"", "content-encoding: gzip\r\n"),
        "blank lines": (b"\n", b"\n", ""),
        "a long line among short ones": (b"{}\n" * 1000 + line, b"x", ""),
    }
    names = list(ways)

    def attack(client, _turn):
        name = names[client % len(names)]
        first, trickle, more = ways[name]
        answer = import_slowly(given, first, trickle, more, end)
        # A refused client comes again, and not at once.
        time.sleep(random.uniform(0.2, 0.6))
        return name, answer

    run(given, attack)


if __name__ == "__main__":
    main()
