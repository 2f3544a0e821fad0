"""Writes an SNN file for colour pictures of 3 x 32 x 32 pixels. Its weights are random: it shows the format only.

    python colour.py OUT
"""

import json
import sys

import torch
from safetensors.torch import save_file

DESCRIPTION = {
    "name": "colour",
    "input": {"shape": [3, 32, 32], "threshold": 255, "prepare": "plain"},
    "layers": [
        {"name": "conv1", "kind": "conv2d", "kernel": [5, 5], "stride": [2, 2], "padding": [2, 2], "threshold": 512},
        {"name": "conv2", "kind": "conv2d", "kernel": [3, 3], "stride": [2, 2], "padding": [1, 1], "threshold": 128},
        {"name": "dense1", "kind": "dense", "threshold": 256},
        {"name": "dense2", "kind": "dense", "threshold": 256},
    ],
    "embedding_layer": "dense1",
    "labels": ["clothes", "shoes", "bags", "jewellery"],
    "default_probe": "spike_count",
    "default_time_steps": 16,
    "trained_with": "nothing: its weights are random",
}
SHAPES = {"conv1": (8, 3, 5, 5), "conv2": (16, 8, 3, 3), "dense1": (48, 16 * 8 * 8), "dense2": (4, 48)}

torch.manual_seed(1)
tensors = {}
for name, shape in SHAPES.items():
    tensors[f"{name}.weight"] = torch.randint(-50, 61, shape, dtype=torch.int16)
    tensors[f"{name}.bias"] = torch.zeros(shape[0], dtype=torch.int32)
metadata = {"format": "spikelens-snn", "version": "1", "network": json.dumps(DESCRIPTION)}
save_file(tensors, sys.argv[1], metadata=metadata)
