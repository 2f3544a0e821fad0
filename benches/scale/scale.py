#!/usr/bin/env python3
"""One and two servers over one PostgreSQL database: searches a second, times, and CPU by process.

    cargo build --release
    spikelens copy --from data --to postgres://shop@127.0.0.1/shop
    python3 benches/scale/scale.py --store postgres://shop@127.0.0.1/shop

The database must run on this machine, for its CPU time to be read. Pictures of the catalogue itself are searched for, round
robin over the servers, by clients that wait for each answer. Writes rows of a Markdown table to standard output.
"""

import argparse
import glob
import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import threading
import time
import urllib.parse


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", required=True, help="address of the database, or a data directory")
    parser.add_argument("--binary", default="target/release/spikelens")
    parser.add_argument("--servers", default="1,2", help="numbers of servers")
    parser.add_argument("--clients", default="1,8", help="numbers of clients")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--chips", default="1", help="chips of each server")
    parser.add_argument("--filters", action="store_true", help="searches with filters, by the attribute `group` (0 to 999)")
    given = parser.parse_args()
    print("| servers | clients | query | searches/s | p50 ms | p99 ms | CPU ms a search: servers | database | clients |")
    print("|---|---|---|---|---|---|---|---|---|")
    for servers in map(int, given.servers.split(",")):
        running = [Server(given) for _ in range(servers)]
        try:
            for server in running:
                server.wait()
            for server in running:
                server.settle()
            pictures = running[0].pictures(200)
            queries = [("plain", "")]
            if given.filters:
                for name, wanted in [
                    ("1 of 2", {"lt": 500}),
                    ("1 of 100", {"lt": 10}),
                    ("1 of 1,000", 7),
                ]:
                    text = urllib.parse.quote(json.dumps({"group": wanted}))
                    queries.append((f"filter {name}", f"?filter={text}"))
                queries.append(("exact", "?exact=true"))
            for name, query in queries:
                for clients in map(int, given.clients.split(",")):
                    measure(running, clients, name, query, pictures, given.seconds)
        finally:
            for server in running:
                server.process.terminate()
            for server in running:
                server.process.wait()


class Server:
    def __init__(self, given):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        place = "--store" if "://" in given.store else "--data-dir"
        listen = f"127.0.0.1:{self.port}"
        command = [given.binary, "serve", place, given.store, "--listen", listen, "--chips", given.chips]
        self.process = subprocess.Popen([*command, "--queue-ms", "60000", "--log-level", "warn"])

    def wait(self):
        start = time.monotonic()
        while True:
            try:
                if self.get("/readyz").status == 200:
                    break
            except OSError:
                pass
            if self.process.poll() is not None:
                sys.exit("the server ended")
            time.sleep(0.1)
        print(f"ready after {time.monotonic() - start:.1f} s", file=sys.stderr)

    def settle(self):
        """Waits until the recall is measured, which takes the database's time."""
        while not (stats := json.loads(self.get("/v1/stats").text))["recall"]["queries"]:
            time.sleep(0.5)
        recall = stats["recall"]
        print(f"recall@{recall['k']}: {recall['recall']:.4f} +- {recall['margin']:.4f}", file=sys.stderr)

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def get(self, path):
        connection = self.connect()
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.text = answer.read()
        return answer

    def pictures(self, count):
        products = json.loads(self.get("/v1/products?limit=100").text)["products"][:count]
        paths = [f"/v1/products/{product['id']}/pictures/{product['pictures'][0]['id']}" for product in products]
        return [self.get(path).text for path in paths]


def measure(servers, clients, name, query, pictures, seconds):
    times, failed = [], []
    end = time.monotonic() + 1 + seconds
    counts_from = time.monotonic() + 1

    def client(number):
        server = servers[number % len(servers)]
        connection, asked = server.connect(), number
        while (now := time.monotonic()) < end:
            picture = pictures[asked % len(pictures)]
            asked += clients
            connection.request("POST", f"/v1/search{query}", picture, {"content-type": "application/octet-stream"})
            answer = connection.getresponse()
            answer.read()
            if now >= counts_from:
                times.append(time.monotonic() - now)
                if answer.status != 200:
                    failed.append(answer.status)

    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    time.sleep(max(0, counts_from - time.monotonic()))
    before = cpu(servers)
    for thread in threads:
        thread.join()
    used = [(after - start) / len(times) * 1e3 for start, after in zip(before, cpu(servers))]
    if failed:
        sys.exit(f"answers with status {sorted(set(failed))}")
    times.sort()
    p99 = times[int(0.99 * len(times))]
    row = [len(servers), clients, name, f"{len(times) / seconds:.0f}", f"{statistics.median(times) * 1e3:.2f}"]
    row += [f"{p99 * 1e3:.2f}", *(f"{each:.2f}" for each in used)]
    print("| " + " | ".join(map(str, row)) + " |", flush=True)


def cpu(servers):
    """CPU seconds of the servers, of PostgreSQL, and of this program."""
    database = [pid for pid in pids() if program(pid).startswith("postgres")]
    of_servers = sum(seconds(str(server.process.pid)) for server in servers)
    return of_servers, sum(map(seconds, database)), time.process_time()


def pids():
    return [os.path.basename(path) for path in glob.glob("/proc/[0-9]*")]


def program(pid):
    try:
        with open(f"/proc/{pid}/comm") as file:
            return file.read()
    except OSError:
        return ""


def seconds(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
    except OSError:
        return 0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
