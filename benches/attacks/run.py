"""Runs each attack against a server with 60,000 products, and prints what plain searches and the process's memory saw of it.

    python3 benches/attacks/run.py --binary target/release/spikelens --data-dir data
    python3 benches/attacks/run.py --binary ./before --binary ./after --only filters,pages

Every attack is a script of its own beside this one: `NAME.py --url URL --seconds S`. A server is started for each on a copy
of the catalogue. Beside the attack, one client sends plain searches, 20 a second, and another asks for /healthz, 10 a second.
Standard library only.
"""

import argparse
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).parent
GIVEN_BACK_S = 60


class Asker(threading.Thread):
    """Sends one request after the other at fixed moments, from a connection that is opened again when it breaks."""

    def __init__(self, port, interval, method, path, body=None, headers=None):
        super().__init__(daemon=True)
        self.port, self.interval = port, interval
        self.request = (method, path, body, headers or {})
        self.answers = []  # (status or 0, milliseconds)
        self.ended = threading.Event()

    def run(self):
        connection = None
        due = time.monotonic()
        while not self.ended.is_set():
            begin = time.monotonic()
            try:
                if connection is None:
                    connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
                connection.request(*self.request[:2], body=self.request[2], headers=self.request[3])
                answer = connection.getresponse()
                answer.read()
                status = answer.status
            except (OSError, http.client.HTTPException):
                status, connection = 0, None
            self.answers.append((status, (time.monotonic() - begin) * 1e3))
            due = max(due + self.interval, time.monotonic() - self.interval)
            self.ended.wait(max(0.0, due - time.monotonic()))


def memory(pid):
    """Resident memory in MiB and open file descriptors of a process."""
    fields = dict(
        line.split(":", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line
    )
    return int(fields["VmRSS"].split()[0]) / 1024, len(os.listdir(f"/proc/{pid}/fd"))


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_until_ready(port, process):
    for _ in range(1200):
        if process.poll() is not None:
            sys.exit(f"the server ended with {process.returncode} before it was ready")
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/readyz")
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        time.sleep(0.1)
    sys.exit("the server is not ready after two minutes")


def first_picture(port):
    """A stored picture, which plain searches send; and its content type."""

    def get(path):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.read(), answer.headers["Content-Type"]

    product = json.loads(get("/v1/products?limit=1")[0])["products"][0]
    return get(f"/v1/products/{product['id']}/pictures/{product['pictures'][0]['id']}")


def quantile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(share * len(values)))] if values else float("nan")


def measure(binary, data_dir, attack, seconds, options):
    """Runs one attack; returns a row."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="attack-", dir=options.work) as work:
        copy = pathlib.Path(work) / "data"
        shutil.copytree(data_dir, copy)
        log = open(pathlib.Path(work) / "log", "wb")
        command = [binary, "serve", "--data-dir", copy, "--listen", f"127.0.0.1:{port}", "--log-level", "warn"]
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            wait_until_ready(port, process)
            picture, content_type = first_picture(port)
            search = Asker(port, 0.05, "POST", "/v1/search", picture, {"Content-Type": content_type})
            health = Asker(port, 0.1, "GET", "/healthz")
            for asker in (search, health):
                asker.start()
            time.sleep(3)
            before, _ = memory(process.pid)
            search.answers.clear()
            health.answers.clear()
            peak, files = before, 0
            script = [sys.executable, HERE / f"{attack}.py", "--url", f"http://127.0.0.1:{port}", "--seconds", str(seconds)]
            attacker = subprocess.Popen(script, stdout=subprocess.PIPE, text=True)
            end = time.monotonic() + seconds
            while time.monotonic() < end and process.poll() is None:
                now, open_files = memory(process.pid)
                peak, files = max(peak, now), max(files, open_files)
                time.sleep(0.02)
            searches, checks = list(search.answers), list(health.answers)
            try:
                said = attacker.communicate(timeout=30)[0].strip().splitlines()
            except subprocess.TimeoutExpired:
                attacker.kill()
                said = ["did not end"]
            # Whether everything is given back.
            end = time.monotonic() + options.given_back
            after, files_after = now, open_files
            while time.monotonic() < end:
                time.sleep(1)
                after, files_after = memory(process.pid)
            for asker in (search, health):
                asker.ended.set()
            ok = [ms for status, ms in searches if status == 200]
            return {
                "attack": attack,
                "binary": str(binary),
                "memory_before_mib": round(before),
                "memory_peak_mib": round(peak),
                "memory_after_mib": round(after),
                "files_peak": files,
                "files_after": files_after,
                "searches": len(searches),
                "searches_ok_percent": round(100 * len(ok) / max(1, len(searches)), 1),
                "search_p50_ms": round(statistics.median(ok), 1) if ok else None,
                "search_p99_ms": round(quantile(ok, 0.99), 1) if ok else None,
                "health_ok_percent": round(100 * sum(s == 200 for s, _ in checks) / max(1, len(checks)), 1),
                "health_worst_ms": round(max((ms for _, ms in checks), default=float("nan")), 1),
                "attacker": said[-1] if said else "",
            }
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()


def main():
    attacks = sorted(path.stem for path in HERE.glob("*.py") if path.stem not in ("run", "raw", "counted"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", action="append", required=True, help="a spikelens program; several are compared")
    parser.add_argument("--data-dir", required=True, help="a catalogue of 60,000 products; it is copied")
    parser.add_argument("--only", help=f"attacks, separated by commas, of {', '.join(attacks)}")
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--given-back", type=int, default=GIVEN_BACK_S, help="seconds until memory is measured once more")
    parser.add_argument("--work", help="a folder for the copies [default: the system's]")
    options = parser.parse_args()
    chosen = options.only.split(",") if options.only else attacks
    for unknown in set(chosen) - set(attacks):
        parser.error(f"there is no attack {unknown!r}; there are {', '.join(attacks)}")
    print("| attack | program | memory before, peak, after, MiB | files peak, after | plain searches with 200 | p50, p99 ms | /healthz with 200, worst ms |")
    print("|---|---|---|---|---|---|---|")
    for attack in chosen:
        for binary in options.binary:
            row = measure(binary, options.data_dir, attack, options.seconds, options)
            print(
                f"| {attack} | {pathlib.Path(binary).name} "
                f"| {row['memory_before_mib']}, {row['memory_peak_mib']}, {row['memory_after_mib']} "
                f"| {row['files_peak']}, {row['files_after']} "
                f"| {row['searches_ok_percent']} % of {row['searches']} "
                f"| {row['search_p50_ms']}, {row['search_p99_ms']} "
                f"| {row['health_ok_percent']} %, {row['health_worst_ms']} |",
                flush=True,
            )
            print(json.dumps(row), file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
