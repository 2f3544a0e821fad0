"""Clients that each send their next request as soon as the last one is answered. Used by the attacks beside it."""

import argparse
import collections
import http.client
import json
import threading
import time
import urllib.parse


def options(description, clients):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--url", default="http://127.0.0.1:8080")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--clients", type=int, default=clients)
    return parser.parse_args()


def attack(given, request, leave_after=None):
    """`request(number)` gives method, path, body and headers of a client's next request. With `leave_after`, every second
    answer is not waited for any longer than so many seconds. Prints what the clients saw."""
    where = urllib.parse.urlsplit(given.url)
    statuses, slowest, lock = collections.Counter(), [0.0], threading.Lock()
    end = time.monotonic() + given.seconds

    def client(number):
        connection, count = None, 0
        while time.monotonic() < end:
            count += 1
            leaves = leave_after is not None and count % 2 == 0
            begin = time.monotonic()
            try:
                if connection is None:
                    connection = http.client.HTTPConnection(where.hostname, where.port, timeout=60)
                    connection.connect()
                connection.sock.settimeout(leave_after if leaves else 60)
                method, path, body, headers = request(number * 1_000_000 + count)
                connection.request(method, path, body=body, headers=headers)
                answer = connection.getresponse()
                answer.read()
                status = answer.status
            except (OSError, http.client.HTTPException) as error:
                status = "left" if leaves else type(error).__name__
                if connection is not None:
                    connection.close()
                connection = None
            with lock:
                statuses[str(status)] += 1
                slowest[0] = max(slowest[0], time.monotonic() - begin)

    clients = [threading.Thread(target=client, args=(number,)) for number in range(given.clients)]
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join()
    print(json.dumps({"statuses": dict(statuses), "slowest_s": round(slowest[0], 3)}))
