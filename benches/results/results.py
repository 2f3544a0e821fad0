#!/usr/bin/env python3
"""What pages, groups and counts cost beside a plain search, and how long a catalogue takes to be exported and imported again.

    cargo build --release
    target/release/spikelens import dataset/fashion-mnist --data-dir data
    python3 benches/results/results.py --data-dir data

Every fourth product of the catalogue begins a family, by an import that changes attributes. Then pictures of the catalogue are searched
for, one client, the kinds of search in random order, and times are compared as ratios of medians and of 99th percentiles in the same run. Writes
a Markdown table to standard output. The catalogue keeps the attribute `family`.
"""

import argparse
import http.client
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    catalogue = parser.add_mutually_exclusive_group(required=True)
    catalogue.add_argument("--data-dir", dest="place")
    catalogue.add_argument("--store", dest="place", help="address of a PostgreSQL database")
    parser.add_argument("--binary", default="target/release/spikelens")
    parser.add_argument("--searches", type=int, default=3000, help="searches of each kind")
    given = parser.parse_args()
    server = Server(given.binary, given.place)
    try:
        ids = server.ids()
        lines = [json.dumps({"id": id, "attributes": {"family": f"family {place // 4}"}}) for place, id in enumerate(ids)]
        report = server.import_lines("\n".join(lines).encode())
        print(f"{report['merged']} products have a family", file=sys.stderr)
        searches(server, ids, given.searches)
    finally:
        server.stop()
    again(given)


def searches(server, ids, count):
    pictures = [server.picture(id) for id in ids[:: max(1, len(ids) // 1000)]]
    facets = urllib.parse.quote(json.dumps(["category", "split"]))
    bag = urllib.parse.quote(json.dumps({"category": "Bag"}))
    boost = urllib.parse.quote(json.dumps([{"filter": {"category": "Bag"}, "weight": 0.1}]))
    kinds = {
        "plain": "",
        "facets": f"facets={facets}",
        "group_by=family": "group_by=family",
        "offset=10": "offset=10",
        "facets, group_by=family, offset=10": f"facets={facets}&group_by=family&offset=10",
        "plain, filtered": f"filter={bag}",
        "the three, filtered": f"filter={bag}&facets={facets}&group_by=family&offset=10",
        "group_by=category (all 1,000 are ranked)": "group_by=category",
        "group_size=3 (all 1,000 are ranked)": "group_by=family&group_size=3",
        "offset=900": "offset=900",
        "boost": f"boost={boost}",
    }
    times = {kind: [] for kind in kinds}
    for _ in range(count):
        # In another order each time, each by another picture: none profits from the one before.
        for kind, options in random.sample(list(kinds.items()), len(kinds)):
            picture = random.choice(pictures)
            start = time.perf_counter()
            server.search(options, picture)
            times[kind].append(time.perf_counter() - start)
    print("| search | p50 ms | p99 ms | of plain: p50 | p99 |\n|---|---:|---:|---:|---:|")
    for kind, taken in times.items():
        of = times["plain, filtered" if "filtered" in kind else "plain"]
        (p50, p99), (plain50, plain99) = percentiles(taken), percentiles(of)
        print(f"| {kind} | {p50 * 1e3:.2f} | {p99 * 1e3:.2f} | {p50 / plain50:.2f} | {p99 / plain99:.2f} |", flush=True)


def percentiles(times):
    times = sorted(times)
    return times[len(times) // 2], times[int(0.99 * len(times))]


def again(given):
    """An export with pictures, imported into an empty catalogue: the same answers."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "export.ndjson")
        server = Server(given.binary, given.place)
        try:
            start = time.monotonic()
            size = server.export(path)
            took = time.monotonic() - start
            some = server.ids()[::997]
            pictures = [server.picture(id) for id in some]
            before = [server.search("k=100&fields=[]&exact=true", picture) for picture in pictures]
            name = server.get("/v1/model")["id"]
        finally:
            server.stop()
        print(f"\nexport with pictures: {took:.1f} s, {size / 1e6:.0f} MB, peak {server.peak:.0f} MiB of the server")
        data = os.path.join(folder, "data")
        start = time.monotonic()
        command = [given.binary, "import", path, "--data-dir", data, "--model", "fashion-mnist"]
        print(subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip())
        print(f"imported again: {time.monotonic() - start:.1f} s")
        server = Server(given.binary, data)
        try:
            assert server.get("/v1/model")["id"] == name, "the catalogue is of another network"
            equal = 0
            for picture, answer in zip(pictures, before):
                after = server.search("k=100&fields=[]&exact=true", picture)
                key = lambda found: [(match["product_id"], match["score"]) for match in found["matches"]]
                equal += key(after) == key(answer)
            print(f"{equal} of {len(before)} searches give the same 100 products with the same scores")
        finally:
            server.stop()


class Server:
    def __init__(self, binary, place):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        option = "--store" if "://" in place else "--data-dir"
        command = [binary, "serve", option, place, "--listen", f"127.0.0.1:{port}", "--log-level", "warn"]
        self.process = subprocess.Popen(command)
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
        for _ in range(600):
            try:
                if self.ask("GET", "/readyz").status == 200:
                    return
            except OSError:
                self.connection.close()
            time.sleep(0.1)
        sys.exit("the server is not ready")

    def ask(self, method, path, body=None, kind="application/octet-stream"):
        self.connection.request(method, path, body, {"content-type": kind} if body else {})
        answer = self.connection.getresponse()
        answer.text = answer.read()
        return answer

    def get(self, path):
        return json.loads(self.ask("GET", path).text)

    def ids(self):
        found, after = [], ""
        while after is not None:
            page = self.get(f"/v1/products?limit=100{after}")
            found += [product["id"] for product in page["products"]]
            after = f"&after={page['next']}" if "next" in page else None
        return found

    def picture(self, id):
        product = self.get(f"/v1/products/{urllib.parse.quote(id)}")
        return self.ask("GET", f"/v1/products/{urllib.parse.quote(id)}/pictures/{product['pictures'][0]['id']}").text

    def search(self, options, picture):
        answer = self.ask("POST", f"/v1/search?{options}", picture)
        if answer.status != 200:
            sys.exit(f"{options}: {answer.text.decode()}")
        return json.loads(answer.text)

    def import_lines(self, lines):
        begun = json.loads(self.ask("POST", "/v1/imports", lines, "application/x-ndjson").text)
        while (report := self.get(f"/v1/imports/{begun['id']}?wait=30"))["state"] != "done":
            pass
        return report

    def export(self, path):
        self.connection.request("GET", "/v1/export?pictures=true")
        answer = self.connection.getresponse()
        size = 0
        with open(path, "wb") as out:
            while piece := answer.read(1 << 20):
                out.write(piece)
                size += len(piece)
        return size

    def stop(self):
        with open(f"/proc/{self.process.pid}/status") as status:
            self.peak = int(next(line for line in status if line.startswith("VmHWM")).split()[1]) / 1024
        self.process.terminate()
        self.process.wait()


if __name__ == "__main__":
    main()
