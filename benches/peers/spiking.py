"""Runs an SNN file in a library for spiking networks, one picture at a time on one thread, and times it on request.

    spiking.py LIBRARY SNN.safetensors PICTURES.u8 TIME_STEPS

PICTURES.u8 contains raw u8 pixels of consecutive pictures in the network's input shape. The first line on stdout is a JSON
object that describes what was loaded; after that, each line on stdin is answered by a line of JSON:

    counts FIRST COUNT    the spike counts of every neuron of every layer, the input layer first, for each picture
    run FIRST COUNT       milliseconds of COUNT pictures from FIRST on; all are first run once without timing

The network is run as the libraries do it fastest: layer by layer, the synapses of all time steps in one call, then the neurons step
by step. Weights and thresholds are whole numbers in 32-bit floats, so that sums are exact below 2^24. A layer sees the spikes of the
step before, as on the chip.
"""

import gc
import importlib.metadata
import json
import math
import struct
import sys
import time

import numpy as np
import torch
from torch.nn import functional

TYPES = {"I16": "<i2", "I32": "<i4"}


def read_snn(path):
    """The description and the tensors of a `spikelens-snn` file."""
    with open(path, "rb") as file:
        data = file.read()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    metadata = header.pop("__metadata__", {})
    if metadata.get("format") != "spikelens-snn":
        sys.exit(f"{path}: its format is {metadata.get('format')}, spikelens-snn is needed")
    tensors = {}
    for name, entry in header.items():
        start, end = entry["data_offsets"]
        values = np.frombuffer(data[8 + length + start : 8 + length + end], TYPES[entry["dtype"]])
        tensors[name] = torch.from_numpy(values.reshape(entry["shape"]).astype(np.float32))
    return json.loads(metadata["network"]), tensors


class SpikingJelly:
    """Neurons of a layer, for all time steps in one call."""

    def __init__(self, threshold, initial):
        from spikingjelly.activation_based import neuron

        self.node = neuron.IFNode(v_threshold=threshold, v_reset=None, step_mode="m").eval()
        self.initial = initial

    def __call__(self, driven):
        self.node.reset()
        self.node.v = self.initial
        return self.node(driven)


class SnnTorch:
    def __init__(self, threshold, initial):
        import snntorch

        # It spikes only above the threshold by default.
        reached = lambda above: (above >= 0).to(above.dtype)
        self.node = snntorch.Leaky(beta=1.0, threshold=threshold, spike_grad=reached, reset_mechanism="subtract").eval()
        # It subtracts the threshold one step later, from a membrane that began at or above it too.
        self.initial = torch.where(initial >= threshold, initial + threshold, initial)

    def __call__(self, driven):
        membrane, spikes = self.initial, []
        for step in driven:
            fired, membrane = self.node(step, membrane)
            spikes.append(fired)
        return torch.stack(spikes)


LIBRARIES = {"spikingjelly": SpikingJelly, "snntorch": SnnTorch}


class Network:
    def __init__(self, neurons, network, tensors, time_steps):
        entry = network["input"]
        self.time_steps = time_steps
        self.shape = entry["shape"]
        self.input = neurons(float(entry["threshold"]), torch.full(self.shape, float(entry.get("initial_membrane", 0))))
        self.layers = []
        shape = self.shape
        for layer in network["layers"]:
            weight, bias = tensors[f"{layer['name']}.weight"], tensors.get(f"{layer['name']}.bias")
            if layer["kind"] == "conv2d":
                form = {"stride": layer["stride"], "padding": layer["padding"]}
                shape = functional.conv2d(torch.zeros(1, *shape), weight, **form).shape[1:]
                synapses = lambda spikes, a=(weight, bias), form=form: functional.conv2d(spikes, *a, **form)
            elif layer["kind"] == "dense":
                shape = weight.shape[:1]
                synapses = lambda spikes, a=(weight, bias): functional.linear(spikes.flatten(1), *a)
            else:
                sys.exit(f"layer {layer['name']}: kind {layer['kind']} is not known here")
            initial = tensors.get(f"{layer['name']}.initial_membrane", torch.zeros(()))
            initial = initial.expand(math.prod(shape)).reshape(shape) if initial.numel() == 1 else initial.reshape(shape)
            self.layers.append((synapses, neurons(float(layer["threshold"]), initial)))

    def run(self, picture):
        """The spike counts of each layer."""
        spikes = self.input(picture.expand(self.time_steps, *self.shape))
        counts = [spikes.sum(0)]
        for synapses, neurons in self.layers:
            spikes = torch.cat([torch.zeros_like(spikes[:1]), spikes[:-1]])
            spikes = neurons(synapses(spikes))
            counts.append(spikes.sum(0))
        return counts


def main():
    _, library, snn, pictures, time_steps = sys.argv
    torch.set_num_threads(1)
    network, tensors = read_snn(snn)
    network = Network(LIBRARIES[library], network, tensors, int(time_steps))
    pixels = np.fromfile(pictures, np.uint8).reshape(-1, *network.shape)
    values = [torch.from_numpy(row.astype(np.float32)) for row in pixels]

    def answer(what):
        print(json.dumps(what), flush=True)

    gc.collect()
    gc.freeze()
    gc.disable()
    versions = [f"{name} {importlib.metadata.version(name)}" for name in (library, "torch")]
    answer({"runtime": ", ".join(versions), "pictures": len(values)})
    with torch.inference_mode():
        for line in sys.stdin:
            command, first, count = line.split()
            chosen = values[int(first) : int(first) + int(count)]
            if command == "counts":
                runs = [network.run(picture) for picture in chosen]
                answer({"counts": [[layer.flatten().int().tolist() for layer in run] for run in runs]})
            elif command == "run":
                for picture in chosen:
                    network.run(picture)
                times = []
                for picture in chosen:
                    start = time.perf_counter_ns()
                    network.run(picture)
                    times.append((time.perf_counter_ns() - start) / 1e6)
                answer({"ms": times})
            else:
                sys.exit(f"unknown command {command}")


main()
