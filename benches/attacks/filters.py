#!/usr/bin/env python3
"""Searches with filters of nearly as many values as are allowed, negated, on several attributes, each unlike the last."""

import json

from counted import arguments, ask, run

ATTRIBUTES = ["category", "split", "brand", "colour", "size", "season", "shop"]
JSON = {"content-type": "application/json"}


def main():
    given = arguments(__doc__, clients=4)

    def attack(client, turn):
        values = [f"{client}-{turn}-{value}" for value in range(280)]
        filter_ = {name: {"not": {"in": values}} for name in ATTRIBUTES}
        filter_["category"] = {"not": {"in": [*values, "Bag", "Sandal"]}}
        embedding = [(turn * 31 + place * 17) % 100 + 1 for place in range(128)]
        exact = turn % 2 == 0
        body = json.dumps({"embedding": embedding, "filter": filter_, "k": 100, "exact": exact})
        return "exact" if exact else "by the graph", ask(given, "POST", "/v1/search", body, JSON)

    run(given, attack)


if __name__ == "__main__":
    main()
