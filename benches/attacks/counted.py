"""Clients side by side, and what they saw as one line of JSON: statuses by count, the slowest answer."""

import argparse
import collections
import http.client
import json
import threading
import time
from urllib.parse import urlsplit


def arguments(description, clients):
    """The options that all of these attacks have."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--url", default="http://127.0.0.1:8080")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--clients", type=int, default=clients)
    parser.add_argument("--key", help="an API key, where the server needs one")
    given = parser.parse_args()
    parts = urlsplit(given.url)
    given.address = (parts.hostname, parts.port or 80)
    given.headers = {"authorization": f"Bearer {given.key}"} if given.key else {}
    return given


def ask(given, method, path, body=None, headers={}, timeout=60):
    """The status of one request on a connection of its own; the error's name where there is no answer."""
    connection = http.client.HTTPConnection(*given.address, timeout=timeout)
    try:
        connection.request(method, path, body, given.headers | headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status
    except (OSError, http.client.HTTPException) as error:
        return type(error).__name__
    finally:
        connection.close()


def run(given, attack, **more):
    """Calls `attack(client, turn)` in a thread for each client until the time is over. It gives a name and a status."""
    end = time.monotonic() + given.seconds
    seen, slowest, lock = collections.defaultdict(collections.Counter), {}, threading.Lock()

    def attacker(client):
        turn = 0
        while time.monotonic() < end:
            start = time.monotonic()
            name, status = attack(client, turn)
            took = time.monotonic() - start
            turn += 1
            with lock:
                seen[name][str(status)] += 1
                slowest[name] = max(slowest.get(name, 0), took)

    threads = [threading.Thread(target=attacker, args=(client,)) for client in range(given.clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    statuses = {name: dict(counts) for name, counts in seen.items()}
    slowest = {name: round(seconds, 3) for name, seconds in slowest.items()}
    print(json.dumps({"clients": given.clients, "statuses": statuses, "slowest_s": slowest} | more))
