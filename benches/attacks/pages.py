"""Pages of products by filters that next to nothing passes, from 40 clients of which every second answer is not waited for."""

import json
import urllib.parse

from closed_loop import attack, options


def request(number):
    filter_ = {"category": {"not": {"in": [f"{number}-{value}" for value in range(100)]}}, "split": f"none-{number}"}
    query = urllib.parse.urlencode({"limit": 100, "filter": json.dumps(filter_)})
    return "GET", f"/v1/products?{query}", None, {}


attack(options(__doc__, clients=40), request, leave_after=0.05)
