"""Uses the generated client as a shop's backend does: products, searches, an import, errors. Arguments: the server's address
and the directory of pictures. Exits with 0 if everything is as expected."""
import base64
import io
import pathlib
import sys
import time

from spikelens_client import Client
from spikelens_client.api.default import (
    create_import,
    delete_product,
    embed,
    get_import,
    get_picture,
    get_product,
    list_products,
    model,
    patch_product,
    put_product,
    readyz,
    recommend,
    search,
    similar_products,
    stats,
)
from spikelens_client.models import (
    Attributes,
    AttributesPatch,
    EmbeddingRequest,
    EmbeddingSearch,
    Filter,
    Operators,
    PictureSearch,
    ProductForm,
    ProductPatch,
    ProductRequest,
    RecommendRequest,
    SearchForm,
)
from spikelens_client.types import File

url, folder = sys.argv[1], pathlib.Path(sys.argv[2])
client = Client(base_url=url, raise_on_unexpected_status=True)
names = sorted(folder.glob("*.png"))
pictures = {name.stem: name.read_bytes() for name in names}
assert len(pictures) >= 4, pictures.keys()
assert readyz.sync(client=client).status == "ready"

# Products, by JSON and by form.
for number, (name, picture) in enumerate(pictures.items()):
    attributes = Attributes.from_dict({"price": 10 * number, "brand": ["one", "two"][number % 2]})
    if number % 2:
        request = ProductRequest(image=base64.b64encode(picture).decode(), title=name, attributes=attributes)
    else:
        request = ProductForm(
            image=File(payload=io.BytesIO(picture), file_name=f"{name}.png"), title=name, attributes=attributes
        )
    answer = put_product.sync_detailed(name, client=client, body=request)
    assert answer.status_code == 201, answer
    assert answer.parsed.attributes["price"] == 10 * number
names = list(pictures)

# Every product is its own nearest neighbour, by form and by JSON.
for name, picture in pictures.items():
    form = SearchForm(image=File(payload=io.BytesIO(picture), file_name="query.png"), k=1)
    text = PictureSearch(image=base64.b64encode(picture).decode(), k=1)
    for request in (form, text):
        found = search.sync(client=client, body=request)
        assert hasattr(found, "matches"), found
        assert found.matches[0].product_id == name and found.matches[0].score > 0.999, found
        assert found.emulation.energy_mj.total > 0

# A filter, an embedding, similar products, a recommendation.
cheap = Filter.from_dict({"price": {"lt": 15}})
query = PictureSearch(image=base64.b64encode(pictures[names[3]]).decode(), filter_=cheap)
assert {found.product_id for found in search.sync(client=client, body=query).matches} == set(names[:2])
assert isinstance(cheap["price"], Operators)
embedded = embed.sync(client=client, body=EmbeddingRequest(image=base64.b64encode(pictures[names[2]]).decode()))
assert embedded.dimensions == model.sync(client=client).dimensions == len(embedded.embedding)
found = search.sync(client=client, body=EmbeddingSearch(embedding=embedded.embedding, k=1))
assert found.matches[0].product_id == names[2]
alike = similar_products.sync(names[0], client=client, filter_='{"brand": "two"}')
assert {found.product_id for found in alike.matches} == set(names[1::2])
liked = recommend.sync(client=client, body=RecommendRequest(positive=[names[0]], negative=[names[1]], k=2))
assert len(liked.matches) == 2 and not {found.product_id for found in liked.matches} & set(names[:2])

# Changes, pages, a picture's bytes.
patch = ProductPatch(title="renamed", attributes=AttributesPatch.from_dict({"brand": None}))
patched = patch_product.sync(names[0], client=client, body=patch)
assert patched.title == "renamed" and "brand" not in patched.attributes.additional_properties
page = list_products.sync(client=client, limit=2)
rest = list_products.sync(client=client, limit=100, after=page.next_)
assert [product.id for product in page.products + rest.products] == names
stored = get_product.sync(names[1], client=client)
file = get_picture.sync_detailed(names[1], stored.pictures[0].id, client=client)
assert file.content == pictures[names[1]]

# An import and its result.
line = '{"id": "imported", "image": "%s"}\n{"id": "broken", "image": "!"}\n' % base64.b64encode(pictures[names[0]]).decode()
taken = create_import.sync(client=client, body=File(payload=io.BytesIO(line.encode())))
for _ in range(200):
    state = get_import.sync(taken.id, client=client)
    if state.state in ("done", "failed"):
        break
    time.sleep(0.05)
assert (state.stored, state.failed, state.errors[0].line) == (1, 1, 2), state

# Errors are problem documents that say what was wrong.
refused = get_product.sync_detailed("nothing", client=client)
assert refused.status_code == 404 and refused.parsed.code == "not_found", refused
assert delete_product.sync_detailed("imported", client=client).status_code == 204
assert stats.sync(client=client).products == len(names)
print(f"{len(names)} products searched through the generated client")
