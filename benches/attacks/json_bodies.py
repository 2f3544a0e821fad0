#!/usr/bin/env python3
"""JSON that takes much memory as values: bodies of 10 MiB of small objects, deep lists, many names."""

from counted import arguments, ask, run

SIZE = 10 << 20
JSON = {"content-type": "application/json"}


def filled(before, piece, after, size=SIZE):
    return (before + piece * ((size - len(before) - len(after)) // len(piece)) + after).encode()


OBJECTS = '{"":0},'
BODIES = {
    "objects in a filter": ("POST", "/v1/search", filled('{"embedding":[1],"filter":[', OBJECTS, "0]}")),
    "objects in an unknown field": ("POST", "/v1/search", filled('{"filters":[', OBJECTS, "0]}")),
    "attributes of a patch": ("PATCH", "/v1/products/none", filled('{"attributes":[', OBJECTS, "0]}")),
    "a patch of 1 MiB": ("PATCH", "/v1/products/none", filled('{"attributes":[', OBJECTS, "0]}", 1 << 20)),
    "liked products": ("POST", "/v1/recommend", filled('{"positive":[', '"a",', '"a"]}', 1 << 20)),
    "values of an embedding": ("POST", "/v1/search", filled('{"embedding":[', "0,", "0]}")),
    "deep lists": ("POST", "/v1/search", filled('{"filter":', "[", "")),
    "names": ("POST", "/v1/embeddings", b'{"a":0' + b"".join(b',"%d":0' % n for n in range(SIZE // 12)) + b"}"),
    "a picture with escapes": ("POST", "/v1/embeddings", filled('{"image":"', "\\u0041", '"}')),
    "a picture with blanks": ("POST", "/v1/embeddings", filled('{"image":"', "AAAA ", '"}')),
}


def main():
    given = arguments(__doc__, clients=8)
    names = list(BODIES)

    def attack(client, turn):
        name = names[(client + turn) % len(names)]
        method, path, body = BODIES[name]
        return name, ask(given, method, path, body, JSON)

    run(given, attack)


if __name__ == "__main__":
    main()
