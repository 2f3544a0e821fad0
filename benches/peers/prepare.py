"""Makes what service.py loads: the float network as ONNX, an index of the training pictures, their products.

    prepare.py ANN.safetensors DATASET FOLDER PRODUCTS QUERIES

Embeddings are the activations of the embedding layer, normalised. DATASET has the files of Fashion-MNIST. Also written is
nearest.json: the products nearest to each of the first QUERIES test pictures, nearest first, by comparison with every embedding.
"""

import gzip
import hashlib
import json
import os
import pathlib
import sys

import hnswlib
import numpy as np
import onnx
import onnxruntime

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import float_network

NEAREST = 10
# The graph's settings are those of the program compared with; hnswlib's default of 200 while building.
LINKS, EFFORT_BUILDING = 16, 200


def pictures(dataset, split, count):
    with gzip.open(dataset / f"{split}-images-idx3-ubyte.gz") as file:
        return np.frombuffer(file.read()[16:], np.uint8).reshape(-1, 1, 1, 28, 28)[:count]


def labels(dataset, split, count):
    with gzip.open(dataset / f"{split}-labels-idx1-ubyte.gz") as file:
        return np.frombuffer(file.read()[8:], np.uint8)[:count]


def embed(model, values):
    """One row of length 1 for each picture."""
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    output = session.get_outputs()[1].name
    rows = [session.run([output], {"picture": value.astype(np.float32) / 255})[0][0] for value in values]
    rows = np.stack(rows)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def main():
    ann, dataset, folder = map(pathlib.Path, sys.argv[1:4])
    products, queries = map(int, sys.argv[4:])
    sources = [ann, pathlib.Path(__file__), pathlib.Path(float_network.__file__)]
    wanted = [hashlib.sha256(path.read_bytes()).hexdigest() for path in sources] + [products, queries]
    made = folder / "made.json"
    if made.exists() and json.loads(made.read_text()) == wanted:
        return
    folder.mkdir(parents=True, exist_ok=True)
    made.unlink(missing_ok=True)

    network, tensors = float_network.read_ann(ann)
    model = float_network.build(network, tensors)
    onnx.save(model, folder / "network.onnx")
    rows = embed(model, pictures(dataset, "train", products))
    index = hnswlib.Index("cosine", rows.shape[1])
    index.init_index(len(rows), M=LINKS, ef_construction=EFFORT_BUILDING, random_seed=1)
    index.add_items(rows, num_threads=os.cpu_count())
    index.save_index(str(folder / "index.bin"))

    names = network["labels"]
    listed = []
    for number, label in enumerate(labels(dataset, "train", products)):
        attributes = {"category": names[label], "split": "train"}
        listed.append({"id": f"fashion-mnist-train-{number}", "title": names[label], "attributes": attributes})
    (folder / "products.json").write_text(json.dumps({"labels": names, "products": listed}))

    similarities = embed(model, pictures(dataset, "t10k", queries)) @ rows.T
    nearest = np.argsort(-similarities, axis=1, kind="stable")[:, :NEAREST]
    (folder / "nearest.json").write_text(json.dumps([[listed[i]["id"] for i in row] for row in nearest]))
    made.write_text(json.dumps(wanted))


main()
