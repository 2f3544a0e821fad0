"""Runs the float network in onnxruntime on one thread, batch 1, and times single pictures on request.

    float_network.py ANN.safetensors PICTURES.u8

PICTURES.u8 contains raw u8 pixels of consecutive pictures in the network's input shape. The first line on stdout is a JSON
object that describes what was loaded; after that, each line on stdin is answered by a line of JSON:

    logits             the class scores of every picture
    run FIRST COUNT    milliseconds of COUNT pictures from FIRST on; all are first run once without timing
    empty COUNT        milliseconds of calling an empty network: the overhead of a call

The timed call is `run_with_iobinding` with inputs and outputs bound beforehand: no conversion of pixels, no allocation of
results, and only one method call in Python.
"""

import gc
import json
import math
import struct
import sys
import time

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper


def read_ann(path):
    """The description and the tensors of a `spikelens-ann` file."""
    with open(path, "rb") as file:
        data = file.read()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    metadata = header.pop("__metadata__", {})
    if metadata.get("format") != "spikelens-ann":
        sys.exit(f"{path}: its format is {metadata.get('format')}, spikelens-ann is needed")
    tensors = {}
    for name, entry in header.items():
        if entry["dtype"] != "F32":
            sys.exit(f"{path}: tensor {name} is {entry['dtype']}, F32 is needed")
        start, end = entry["data_offsets"]
        values = np.frombuffer(data[8 + length + start : 8 + length + end], dtype="<f4")
        tensors[name] = values.reshape(entry["shape"])
    return json.loads(metadata["network"]), tensors


def build(network, tensors):
    """The ONNX model: the class scores and the embedding layer's activations of one picture."""
    nodes, constants = [], []
    shape = list(network["input"]["shape"])
    source = "picture"
    flat = False
    last = len(network["layers"]) - 1
    activation = network.get("activation", "relu")
    clipped = None if activation == "relu" else activation
    embedding, embedding_size = None, None
    for index, layer in enumerate(network["layers"]):
        name, kind = layer["name"], layer["kind"]
        named = [n for n in (f"{name}.weight", f"{name}.bias") if n in tensors]
        constants += [numpy_helper.from_array(tensors[n], n) for n in named]
        # Only the last layer has no activation.
        driven = f"{name}.driven" if index != last else "logits"
        if kind == "dense":
            if not flat:
                nodes.append(helper.make_node("Flatten", [source], [f"{name}.flat"]))
                source, flat = f"{name}.flat", True
            nodes.append(helper.make_node("Gemm", [source, *named], [driven], transB=1))
            shape = [tensors[f"{name}.weight"].shape[0]]
        elif kind in ("conv2d", "avg_pool2d"):
            padding = layer.get("padding", [0, 0])
            window = {"kernel_shape": layer["kernel"], "strides": layer["stride"]}
            if kind == "conv2d":
                node = helper.make_node("Conv", [source, *named], [driven], pads=padding * 2, **window)
                channels = tensors[f"{name}.weight"].shape[0]
            else:
                node = helper.make_node("AveragePool", [source], [driven], **window)
                channels = shape[0]
            nodes.append(node)
            sizes = [
                (size + 2 * pad - kernel) // stride + 1
                for size, pad, kernel, stride in zip(shape[1:], padding, layer["kernel"], layer["stride"])
            ]
            shape = [channels, *sizes]
        else:
            sys.exit(f"layer {name}: kind {kind} is not known here")
        source = driven
        if index != last:
            source = f"{name}.activated"
            if clipped is None:
                nodes.append(helper.make_node("Relu", [driven], [source]))
            else:
                made, held = clip(name, driven, source, clipped["ceilings"][index], clipped["levels"])
                nodes += made
                constants += held
        if network["embedding_layer"] in (name, index):
            embedding, embedding_size = source, list(shape)
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, *shape])]
    if embedding != "logits":
        outputs.append(helper.make_tensor_value_info(embedding, TensorProto.FLOAT, [1, *embedding_size]))
    picture = helper.make_tensor_value_info("picture", TensorProto.FLOAT, [1, *network["input"]["shape"]])
    return model(helper.make_graph(nodes, "float", [picture], outputs, constants))


def clip(name, driven, source, ceiling, levels):
    """A clipped, quantised activation: from 0 to its ceiling in so many equal steps, rounded to the nearest."""
    values = {"scale": levels / ceiling, "step": ceiling / levels, "levels": levels, "half": 0.5, "none": 0.0}
    held = [numpy_helper.from_array(np.array(value, np.float32), f"{name}.{key}") for key, value in values.items()]
    steps = [
        ("Mul", [driven, f"{name}.scale"], f"{name}.scaled"),
        ("Add", [f"{name}.scaled", f"{name}.half"], f"{name}.ahead"),
        ("Floor", [f"{name}.ahead"], f"{name}.whole"),
        ("Clip", [f"{name}.whole", f"{name}.none", f"{name}.levels"], f"{name}.counts"),
        ("Mul", [f"{name}.counts", f"{name}.step"], source),
    ]
    nodes = [helper.make_node(operation, inputs, [output]) for operation, inputs, output in steps]
    return nodes, held


def model(graph):
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    made.ir_version = 9
    onnx.checker.check_model(made)
    return made


class Session:
    """A model on one thread, its outputs bound once."""

    def __init__(self, onnx_model):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        self.session = onnxruntime.InferenceSession(
            onnx_model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        self.outputs = [
            (output.name, onnxruntime.OrtValue.ortvalue_from_shape_and_type(output.shape, np.float32))
            for output in self.session.get_outputs()
        ]

    def bind(self, values):
        binding = self.session.io_binding()
        binding.bind_ortvalue_input(
            self.session.get_inputs()[0].name, onnxruntime.OrtValue.ortvalue_from_numpy(values)
        )
        for name, value in self.outputs:
            binding.bind_ortvalue_output(name, value)
        return binding

    def time(self, bindings):
        run, clock = self.session.run_with_iobinding, time.perf_counter_ns
        times = []
        for binding in bindings:
            start = clock()
            run(binding)
            times.append((clock() - start) / 1e6)
        return times


def main():
    _, ann, pictures = sys.argv
    network, tensors = read_ann(ann)
    shape = [1, *network["input"]["shape"]]
    pixels = np.fromfile(pictures, dtype=np.uint8).reshape([-1, math.prod(shape)])
    values = [(row.astype(np.float32) / np.float32(255)).reshape(shape) for row in pixels]

    session = Session(build(network, tensors))
    bindings = [session.bind(picture) for picture in values]
    tiny = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1]) for n in ("in", "out")]
    identity = helper.make_node("Identity", ["in"], ["out"])
    nothing = Session(model(helper.make_graph([identity], "nothing", tiny[:1], tiny[1:])))
    nothing_binding = nothing.bind(np.zeros([1], np.float32))

    def answer(what):
        print(json.dumps(what), flush=True)

    gc.collect()
    gc.freeze()
    gc.disable()
    answer({"runtime": f"onnxruntime {onnxruntime.__version__}", "pictures": len(bindings)})
    for line in sys.stdin:
        command, *numbers = line.split()
        if command == "logits":
            logits = []
            for binding in bindings:
                session.session.run_with_iobinding(binding)
                logits.append(session.outputs[0][1].numpy().ravel().tolist())
            answer({"logits": logits})
        elif command == "run":
            first, count = map(int, numbers)
            chosen = bindings[first : first + count]
            session.time(chosen)
            answer({"ms": session.time(chosen)})
        elif command == "empty":
            nothing.time([nothing_binding] * 20)
            answer({"ms": nothing.time([nothing_binding] * int(numbers[0]))})
        else:
            sys.exit(f"unknown command {command}")


if __name__ == "__main__":
    main()
