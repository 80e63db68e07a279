#!/usr/bin/env python3
"""MiniLM with int8 arithmetic, from the folder that `toolscout model pull minilm` makes.

    python3 -m venv target/quantize
    target/quantize/bin/pip install onnx==1.23.2 onnxruntime==1.31.1
    target/quantize/bin/python scripts/quantize_minilm.py MODELS/minilm MODELS/minilm-int8
    toolscout serve --model MODELS/minilm-int8

The published file keeps its weights as int8 and multiplies in f32. Here weights stay int8, one
scale a column, and activations become int8 as they come (ONNX Runtime's dynamic quantisation). A
text's vector then depends on what is embedded beside it, so toolscout embeds texts one at a time.
benches/QUALITY.md says what it costs in quality, `cargo bench --bench embed` what it saves.
"""

import argparse
import shutil
import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic


def in_floats(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with its weights in f32: it keeps NAME as NAME_q and NAME_scale, and multiplies
    them as it runs."""
    graph = model.graph
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    names = [name.removesuffix("_q") for name in stored if name.endswith("_q")]
    for name in names:
        floats = stored[f"{name}_q"].astype(np.float32) * stored[f"{name}_scale"]
        graph.initializer.append(numpy_helper.from_array(floats, name))
    nodes = [node for node in graph.node if node.output[0] not in names]
    read = {name for node in nodes for name in node.input}
    nodes = [node for node in nodes if node.op_type != "Cast" or not node.input[0].endswith("_q")]
    tensors = [tensor for tensor in graph.initializer if tensor.name in read]
    tensors = [tensor for tensor in tensors if not tensor.name.endswith(("_q", "_scale"))]
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(nodes)
    graph.initializer.extend(tensors)
    onnx.checker.check_model(model)
    return model


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("minilm", type=Path, help="folder of the pulled model")
    parser.add_argument("out", type=Path, help="folder to make")
    arguments = parser.parse_args()
    shutil.copytree(
        arguments.minilm, arguments.out, ignore=shutil.ignore_patterns("model.onnx", ".stamp")
    )
    with tempfile.TemporaryDirectory() as folder:
        floats = Path(folder) / "model.onnx"
        onnx.save(in_floats(onnx.load(arguments.minilm / "model.onnx")), floats)
        quantize_dynamic(
            floats, arguments.out / "model.onnx", per_channel=True, weight_type=QuantType.QInt8
        )


if __name__ == "__main__":
    main()
