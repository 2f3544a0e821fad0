"""Visual search as it is often built in Python: FastAPI, onnxruntime, hnswlib, products in a dict.

    service.py FOLDER

FOLDER is made by prepare.py. The service listens on a free port of 127.0.0.1, which it prints on stderr as a line of JSON.
It is meant for one CPU: one worker, and a search runs on the event loop, which is faster there than to hand it to a thread.
"""

import importlib.metadata
import io
import json
import pathlib
import platform
import socket
import sys

import fastapi
import hnswlib
import numpy as np
import onnxruntime
import orjson
import uvicorn
from PIL import Image

EFFORT = 96


class Search:
    def __init__(self, folder):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            str(folder / "network.onnx"), options, providers=["CPUExecutionProvider"]
        )
        self.outputs = [output.name for output in self.session.get_outputs()]
        stored = json.loads((folder / "products.json").read_text())
        self.labels = stored["labels"]
        self.products = dict(enumerate(stored["products"]))
        dimensions = self.session.get_outputs()[1].shape[1]
        # The cosine space of hnswlib normalises what it is given.
        self.index = hnswlib.Index("cosine", dimensions)
        self.index.load_index(str(folder / "index.bin"))
        self.index.set_ef(EFFORT)
        self.index.set_num_threads(1)

    def by_picture(self, file, k):
        picture = Image.open(io.BytesIO(file)).convert("L")
        if picture.size != (28, 28):
            picture = picture.resize((28, 28))
        values = np.asarray(picture, np.float32).reshape(1, 1, 28, 28) / np.float32(255)
        scores, embedding = self.session.run(self.outputs, {"picture": values})
        rows, distances = self.index.knn_query(embedding, k)
        best = int(scores[0].argmax())
        return {
            "matches": [
                {"product_id": (product := self.products[row])["id"], "score": 1 - distance, "product": product}
                for row, distance in zip(rows[0].tolist(), distances[0].tolist())
            ],
            "prediction": {"label": self.labels[best], "class": best, "scores": scores[0].tolist()},
        }


search = Search(pathlib.Path(sys.argv[1]))
app = fastapi.FastAPI()


@app.get("/readyz")
async def readyz():
    return {"status": "ready"}


@app.post("/v1/search")
async def by_picture(request: fastapi.Request, k: int = fastapi.Query(10, ge=1, le=100)):
    file = await request.body()
    try:
        found = search.by_picture(file, k)
    except OSError as error:
        raise fastapi.HTTPException(422, f"the body is no picture that can be read: {error}") from error
    return fastapi.Response(orjson.dumps(found), media_type="application/json")


def main():
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(2048)
    address = "{}:{}".format(*listener.getsockname())
    modules = [fastapi, uvicorn, onnxruntime]
    runtime = ", ".join([f"{module.__name__} {module.__version__}" for module in modules] + ["hnswlib " + importlib.metadata.version("hnswlib")])
    runtime = f"Python {platform.python_version()}, {runtime}"
    print(json.dumps({"listening": address, "runtime": runtime}), file=sys.stderr, flush=True)
    config = uvicorn.Config(app, loop="uvloop", http="httptools", access_log=False, log_level="warning", lifespan="off")
    uvicorn.Server(config).run(sockets=[listener])


main()
