#!/usr/bin/env python3
"""Pages of products by filters that nothing passes; every second client does not wait for its answer."""

import json
from urllib.parse import urlencode

from counted import arguments, ask, run


def main():
    given = arguments(__doc__, clients=40)

    def attack(client, turn):
        values = [f"{client}-{turn}-{value}" for value in range(100)]
        filter_ = {"category": {"not": {"in": values}}, "split": f"none-{client}-{turn}"}
        path = "/v1/products?" + urlencode({"limit": 100, "filter": json.dumps(filter_)})
        leaves = turn % 2 == 1
        return "left" if leaves else "waited", ask(given, "GET", path, timeout=0.05 if leaves else 60)

    run(given, attack)


if __name__ == "__main__":
    main()
