"""Trains a small network with PyTorch and writes it as an ANN file for `spikelens convert`.

    python from_pytorch.py DATASET OUT

DATASET is a directory with the *-ubyte.gz files of Fashion-MNIST, OUT the file to write.
"""

import gzip
import hashlib
import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

LABELS = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]


def split(folder: Path, name: str, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The first pictures of a split, `[count, 1, 28, 28]` from 0 to 1 as Spikelens reads them, and their classes."""
    pictures = gzip.decompress((folder / f"{name}-images-idx3-ubyte.gz").read_bytes())[16:]
    labels = gzip.decompress((folder / f"{name}-labels-idx1-ubyte.gz").read_bytes())[8:]
    pictures = torch.frombuffer(bytearray(pictures[: count * 784]), dtype=torch.uint8)
    labels = torch.frombuffer(bytearray(labels[:count]), dtype=torch.uint8)
    return pictures.reshape(count, 1, 28, 28) / 255, labels.long()


# The names are those of the layers in the file. ReLU follows every layer but the last; Flatten keeps channel, row,
# column in this order, which is also the order of a dense layer's inputs in Spikelens.
network = nn.Sequential()
network.add_module("conv1", nn.Conv2d(1, 16, kernel_size=5, stride=2, padding=2))
network.add_module("relu1", nn.ReLU())
network.add_module("conv2", nn.Conv2d(16, 32, kernel_size=5, stride=2, padding=2))
network.add_module("relu2", nn.ReLU())
network.add_module("flatten", nn.Flatten())
network.add_module("dense1", nn.Linear(32 * 7 * 7, 64))
network.add_module("relu3", nn.ReLU())
network.add_module("dense2", nn.Linear(64, 10))

DESCRIPTION = {
    "name": "from-pytorch",
    "input": {"shape": [1, 28, 28]},
    "layers": [
        {"name": "conv1", "kind": "conv2d", "kernel": [5, 5], "stride": [2, 2], "padding": [2, 2]},
        {"name": "conv2", "kind": "conv2d", "kernel": [5, 5], "stride": [2, 2], "padding": [2, 2]},
        {"name": "dense1", "kind": "dense"},
        {"name": "dense2", "kind": "dense"},
    ],
    "embedding_layer": "dense1",
    "labels": LABELS,
    "default_time_steps": 32,
    "trained_with": "from_pytorch.py: one epoch of 6,000 pictures, Adam",
}


def seal(path: Path) -> None:
    """Replaces the zeros by the file's SHA-256, so that a flipped bit is detected."""
    written = path.read_bytes()
    path.write_bytes(written.replace(b"0" * 64, hashlib.sha256(written).hexdigest().encode(), 1))


def main() -> None:
    folder, out = Path(sys.argv[1]), Path(sys.argv[2])
    torch.manual_seed(1)
    torch.set_num_threads(1)
    pictures, labels = split(folder, "train", 6_000)
    optimiser = torch.optim.Adam(network.parameters(), lr=0.002)
    for batch in torch.randperm(len(pictures)).split(64):
        optimiser.zero_grad()
        nn.functional.cross_entropy(network(pictures[batch]), labels[batch]).backward()
        optimiser.step()

    metadata = {"format": "spikelens-ann", "version": "1", "network": json.dumps(DESCRIPTION), "sha256": "0" * 64}
    save_file(network.state_dict(), out, metadata=metadata)
    seal(out)

    pictures, labels = split(folder, "t10k", 1000)
    with torch.no_grad():
        right = (network(pictures).argmax(1) == labels).float().mean().item()
    print(f"{out}: {100 * right:.1f} % of 1,000 test pictures are classified")


main()
