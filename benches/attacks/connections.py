"""All connections taken by clients that send nothing, or half a request's head; those that are closed are opened again. /healthz is
asked beside it."""

import time

from raw import Health, arguments, ask, connect, is_open, report, send


# Opened between two questions for the server's health.
PER_ROUND = 400


def main():
    given = arguments(__doc__, connections=1600, path="/v1/model")
    health, answers = Health(given), {}
    open_now, opened, closed = [], 0, 0
    end = time.monotonic() + given.seconds
    while time.monotonic() < end:
        left = [raw for raw in open_now if is_open(raw)]
        closed += len(open_now) - len(left)
        open_now = left
        for _ in range(min(given.connections - len(open_now), PER_ROUND)):
            raw = connect(given)
            if raw is None:
                break
            opened += 1
            if opened % 2:
                send(raw, b"GET / HTTP/1.1\r\nhost: attack\r\n")
            open_now.append(raw)
        health.check()
        status, _ = ask(given, "GET", given.path, timeout=10)
        answers[str(status)] = answers.get(str(status), 0) + 1
        time.sleep(0.1)
    report(
        attack="connections",
        opened=opened,
        closed_by_server=closed,
        open_at_the_end=len(open_now),
        plain=answers,
        **health.seen(),
    )


if __name__ == "__main__":
    main()
