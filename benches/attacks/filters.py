"""Searches with filters of as many values as are allowed, negated, on several attributes, each different from the last."""

import json

from closed_loop import attack, options

ATTRIBUTES = ["category", "split", "brand", "colour", "size", "season", "shop"]


def request(number):
    values = [f"{number}-{value}" for value in range(280)]
    filter_ = {name: {"not": {"in": values}} for name in ATTRIBUTES}
    filter_["category"] = {"not": {"in": [*values, "Bag", "Sandal"]}}
    embedding = [(number * 31 + place * 17) % 100 + 1 for place in range(128)]
    body = json.dumps({"embedding": embedding, "filter": filter_, "k": 100, "exact": number % 2 == 0})
    return "POST", "/v1/search", body, {"Content-Type": "application/json"}


attack(options(__doc__, clients=4), request)
