"""MiniLM's parameters, read from its int8 ONNX file and written back into one.

Invariant: writing the weights that were read gives the same integers again.
"""

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper

# What the file puts before the names of parameters.
PREFIX = "inner."


def quantised(graph: onnx.GraphProto) -> dict[str, tuple[str, bool]]:
    """By parameter: the name of its int8 initialiser without `_q`, and whether it is transposed.

    Matrices have lost their names in the file; a matrix is known by the bias added after it."""
    names = dict.fromkeys(item.name for item in graph.initializer)
    made_by = {output: node for node in graph.node for output in node.output}
    tables = (name.removesuffix("_q") for name in names if name.endswith("_q"))
    found = {name.removeprefix(PREFIX): (name, False) for name in tables if name.startswith(PREFIX)}
    for node in graph.node:
        bias = next((name for name in node.input if name.endswith(".bias") and name in names), None)
        if node.op_type != "Add" or bias is None:
            continue
        for product in (made_by.get(name) for name in node.input):
            if product is not None and product.op_type == "MatMul":
                matrix = next(name for name in product.input if f"{name}_q" in names)
                weight = bias.removeprefix(PREFIX).removesuffix("bias") + "weight"
                found[weight] = (matrix, True)
    return found


def read_onnx(path: Path) -> dict[str, torch.Tensor]:
    """The parameters in a file, for `MiniLM.load_state_dict`."""
    graph = onnx.load(path).graph
    arrays = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    weights = {
        name.removeprefix(PREFIX): array
        for name, array in arrays.items()
        if is_plain(name) and array.dtype == np.float32
    }
    for weight, (name, transposed) in quantised(graph).items():
        array = arrays[f"{name}_q"].astype(np.float32) * arrays[f"{name}_scale"]
        weights[weight] = array.T if transposed else array
    return {name: torch.tensor(array.copy()) for name, array in weights.items()}


def write_onnx(original: Path, weights: dict[str, torch.Tensor], path: Path) -> None:
    """Writes the graph of `original` with other `weights`, int8 where it has int8.

    A scale is kept for each row or column, as the shape of the original's scales says; the
    largest weight of one is 127."""
    model = onnx.load(original)
    items = {item.name: item for item in model.graph.initializer}
    arrays = {name: weight.detach().cpu().float().numpy() for name, weight in weights.items()}
    random = np.random.default_rng(0)

    def replace(name: str, array: np.ndarray) -> None:
        items[name].CopyFrom(numpy_helper.from_array(np.ascontiguousarray(array), name))

    for weight, (name, transposed) in quantised(model.graph).items():
        array = arrays.pop(weight)
        array = array.T if transposed else array
        shape = tuple(items[f"{name}_scale"].dims)
        along = tuple(axis for axis, length in enumerate(shape) if length == 1)
        scale = np.maximum(np.abs(array).max(axis=along, keepdims=True), 1e-9) / 127
        replace(f"{name}_q", round_at_random(array / scale, random))
        replace(f"{name}_scale", scale)
    for weight, array in arrays.items():
        replace(PREFIX + weight, array)
    onnx.save(model, path)


def round_at_random(array: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Up or down, the nearer the likelier: right on average.

    Fine-tuning begins on the grid of integers and moves most weights by less than half a step.
    Rounding to the nearest would undo just that, everywhere at once; errors at random cancel."""
    # Three digits, so that what is on the grid but for an error of division stays there.
    return np.floor(np.round(array, 3) + random.random(array.shape)).astype(np.int8)


def is_plain(name: str) -> bool:
    """Whether an initialiser is a parameter as it is, no part of a quantised one."""
    return name.startswith(PREFIX) and not name.endswith(("_q", "_scale"))
