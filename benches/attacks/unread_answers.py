"""Connections that pipeline GETs and never read an answer. Those that the server closes are opened again."""

import time

from raw import Health, arguments, ask, connect, get, is_open, report, send


def main():
    given = arguments(__doc__, connections=1024, path="/openapi.yaml", pipelined=50)
    requests = get(given.path, given.key) * given.pipelined
    health, answers = Health(given), {}
    open_now, opened, failed, closed, longest = {}, 0, 0, 0, 0.0
    end = time.monotonic() + given.seconds
    while time.monotonic() < end:
        for raw in [raw for raw in open_now if not is_open(raw)]:
            longest = max(longest, time.monotonic() - open_now.pop(raw))
            raw.close()
            closed += 1
        for _ in range(given.connections - len(open_now)):
            raw = connect(given, receive_buffer=4096)
            if raw is None or not send(raw, requests):
                failed += 1
                break
            opened += 1
            open_now[raw] = time.monotonic()
        for raw in open_now:
            send(raw, requests)
        health.check()
        status, _ = ask(given, "GET", "/v1/model", timeout=10)
        answers[str(status)] = answers.get(str(status), 0) + 1
        time.sleep(0.2)
    longest = max([longest] + [time.monotonic() - since for since in open_now.values()])
    report(
        attack="unread_answers",
        opened=opened,
        not_opened=failed,
        closed_by_server=closed,
        open_at_the_end=len(open_now),
        longest_s=round(longest, 1),
        plain=answers,
        **health.seen(),
    )


if __name__ == "__main__":
    main()
