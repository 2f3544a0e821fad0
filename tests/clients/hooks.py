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
schemathesis.openapi.format("region-json", st.just("[0.1,0.2,0.8,0.9]"))
fields = st.sampled_from(["id", "title", "attributes", "attributes.category", "pictures", "created_at", "updated_at"])
schemathesis.openapi.format("fields-json", st.lists(fields, max_size=4).map(json.dumps))
schemathesis.openapi.format("names-json", st.lists(st.sampled_from(["category", "split", "price"]), max_size=3).map(json.dumps))
weights = st.floats(-1, 1)
boosts = st.one_of(
    st.fixed_dictionaries({"attribute": st.just("price"), "weight": weights}),
    st.fixed_dictionaries({"filter": filters, "weight": weights}),
)
schemathesis.openapi.format("boost-json", st.lists(boosts, max_size=3).map(json.dumps))
schemathesis.openapi.format("attributes-json", st.dictionaries(names, values, max_size=5).map(json.dumps))
schemathesis.openapi.format("product-id", st.sampled_from(IDS))


@schemathesis.serializer("application/x-ndjson")
def ndjson(context, value):
    return value if isinstance(value, bytes) else json.dumps(value).encode()


@schemathesis.deserializer("application/x-ndjson")
def lines(context, response):
    return response.content.decode()


@schemathesis.deserializer("image/*")
def picture(context, response):
    return response.content.decode("latin-1")


def of_model(given):
    """As many values as the model's embeddings have, not all of them 0."""
    return [1] + (given * DIMENSIONS)[: DIMENSIONS - 1]


def beyond(case):
    """Options that other ones rule out: a group's size is of a group, and a varied list has no pages and no groups."""
    given = dict(case.query or {})
    if isinstance(case.body, dict):
        given.update((name, value) for name, value in case.body.items() if value is not None)
    if given.get("diversity") not in (None, 0):
        return [name for name in ("offset", "group_by", "group_size") if name in given]
    return ["group_size"] if "group_size" in given and given.get("group_by") is None else []


@schemathesis.hook
def filter_case(context, case):
    """A form that is changed would be taken for a wrong one."""
    is_form = case.media_type == "multipart/form-data"
    return not (is_form and case.meta and case.meta.generation.mode.is_positive and beyond(case))


@schemathesis.hook
def before_call(context, case, kwargs):
    """What is meant to be right: a region has its edges in order, and is of a picture; an embedding has as many values as the
    model's, and runs nothing."""
    body, query = case.body if isinstance(case.body, dict) else {}, case.query or {}
    if not (case.meta and case.meta.generation.mode.is_positive):
        return
    for name in beyond(case):
        body.pop(name, None)
        query.pop(name, None)
    lists = [body.get(name) for name in ("positive", "negative")]
    examples = [example for listed in lists if isinstance(listed, list) for example in listed if isinstance(example, dict)]
    for part in [body, *examples]:
        if isinstance(part.get("region"), list):
            part["region"] = [0.1, 0.2, 0.8, 0.9]
        if isinstance(part.get("embedding"), list) and part["embedding"]:
            part["embedding"] = of_model(part["embedding"])
    if case.path == "/v1/search" and isinstance(body.get("embedding"), list):
        for name in ("time_steps", "prepare", "region", "trace"):
            query.pop(name, None)
    if case.path == "/v1/recommend" and not any("image" in example for example in examples):
        query.pop("region", None)
        body.pop("region", None)
