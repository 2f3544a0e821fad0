"""Tells the fuzzer what the API description says only in words: which strings are pictures, JSON or product ids, the format of
an NDJSON body, and the number of values in an embedding."""
import base64
import json
import os
import struct
import urllib.request
import zlib

import schemathesis
from hypothesis import strategies as st

URL = os.environ["SPIKELENS_URL"]


def asked(path):
    with urllib.request.urlopen(URL + path) as answer:
        return json.load(answer)


DIMENSIONS = asked("/v1/model")["dimensions"]
IDS = [product["id"] for product in asked("/v1/products?limit=100")["products"]]


def png(width, height, pixels):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + pixels[y * width : (y + 1) * width] for y in range(height))
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


files = st.binary(min_size=784, max_size=784).map(lambda pixels: png(28, 28, pixels))
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
scalars = st.one_of(st.text(st.characters(exclude_categories=["Cs"])), st.integers(-1000, 1000), st.booleans())
conditions = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.fixed_dictionaries({"not": inner}),
        st.fixed_dictionaries({"gte": st.integers(-9, 9), "lt": st.integers(-9, 9)}),
        st.fixed_dictionaries({"in": st.lists(scalars, max_size=5)}),
        st.fixed_dictionaries({"exists": st.booleans()}),
    ),
    max_leaves=4,
)
values = st.one_of(scalars, st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=3))
schemathesis.openapi.format("binary", files)
schemathesis.openapi.format("base64-picture", files.map(lambda file: base64.b64encode(file).decode()))
attributes = st.dictionaries(names.map(lambda name: "$" + name if name.startswith("$") else name), conditions, max_size=5)
filters = st.one_of(
    attributes,
    st.lists(attributes, max_size=3).map(lambda inner: {"$any": inner}),
    st.lists(st.sampled_from(IDS), max_size=3).map(lambda ids: {"$id": {"in": ids}}),
)
schemathesis.openapi.format("filter-json", filters.map(json.dumps))
schemathesis.openapi.format("attributes-json", st.dictionaries(names, values, max_size=5).map(json.dumps))
schemathesis.openapi.format("product-id", st.sampled_from(IDS))


@schemathesis.serializer("application/x-ndjson")
def ndjson(context, value):
    return value if isinstance(value, bytes) else json.dumps(value).encode()


@schemathesis.deserializer("image/*")
def picture(context, response):
    return response.content.decode("latin-1")


@schemathesis.hook
def before_call(context, case, kwargs):
    """A search by an embedding that is meant to be right has as many values as the model's, and runs nothing."""
    body = case.body
    if case.method != "POST" or case.path != "/v1/search" or not isinstance(body, dict):
        return
    given = body.get("embedding")
    if isinstance(given, list) and given and case.meta and case.meta.generation.mode.is_positive:
        body["embedding"] = [1] + (given * DIMENSIONS)[: DIMENSIONS - 1]
        for name in ("time_steps", "prepare", "trace"):
            (case.query or {}).pop(name, None)
