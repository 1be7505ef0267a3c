"""Small real ONNX models, for what rembg's sessions do with models whose weights are not here.

The protobuf messages are written by hand (field numbers of onnx.proto3), which saves a package of 15 MB.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Shape = Sequence[int | str]
_TYPES = {np.dtype(np.float32): 1, np.dtype(np.int64): 7}


def _number(value: int) -> bytes:
    packed = b""
    while value > 127:
        packed += bytes((value & 127 | 128,))
        value >>= 7
    return packed + bytes((value,))


def _field(number: int, value: int | str | bytes) -> bytes:
    if isinstance(value, int):
        return _number(number << 3) + _number(value)
    content = value.encode() if isinstance(value, str) else value
    return _number(number << 3 | 2) + _number(len(content)) + content


def _value(name: str, shape: Shape) -> bytes:
    sizes = b"".join(_field(1, _field(2 if isinstance(size, str) else 1, size)) for size in shape)
    return _field(1, name) + _field(2, _field(1, _field(1, 1) + _field(2, sizes)))


def _constant(name: str, value: NDArray[np.generic]) -> bytes:
    sizes = b"".join(_field(1, size) for size in value.shape)
    return sizes + _field(2, _TYPES[value.dtype]) + _field(8, name) + _field(9, value.tobytes())


def node(kind: str, inputs: Sequence[str], output: str) -> bytes:
    """One operator, with its attributes at their defaults."""
    return b"".join(_field(1, name) for name in inputs) + _field(2, output) + _field(4, kind)


def model(
    nodes: Sequence[bytes],
    inputs: Mapping[str, Shape],
    outputs: Mapping[str, Shape],
    constants: Mapping[str, NDArray[np.generic]],
) -> bytes:
    """The file of a model of float32 inputs and outputs."""
    graph = b"".join(_field(1, each) for each in nodes) + _field(2, "tiny")
    graph += b"".join(_field(5, _constant(name, value)) for name, value in constants.items())
    graph += b"".join(_field(11, _value(name, shape)) for name, shape in inputs.items())
    graph += b"".join(_field(12, _value(name, shape)) for name, shape in outputs.items())
    return _field(1, 8) + _field(7, graph) + _field(8, _field(1, "") + _field(2, 13))


def giving(output: NDArray[np.float32], side: int) -> bytes:
    """A model that says the same of every picture of side × side pixels."""
    nodes = [node("Mul", ["picture", "nothing"], "none"), node("ReduceMax", ["none"], "zero")]
    nodes.append(node("Add", ["zero", "given"], "output"))
    constants = {"nothing": np.zeros(1, np.float32), "given": output}
    return model(nodes, {"picture": (1, 3, side, side)}, {"output": output.shape}, constants)


def refining(side: int = 1024) -> bytes:
    """A model with the inputs of ViTMatte, whose alpha is a weighted sum of colours and trimap, beyond 0 and 1 too."""
    nodes = [node("Mul", ["pixel_values", "weights"], "parts"), node("ReduceSum", ["parts", "channels"], "alphas")]
    weights = np.array([0.3, -0.2, 0.1, 0.9], np.float32).reshape(1, 4, 1, 1)
    constants: dict[str, NDArray[np.generic]] = {"weights": weights, "channels": np.array([1])}
    return model(nodes, {"pixel_values": (1, 4, side, side)}, {"alphas": (1, 1, side, side)}, constants)


def pointed_at(radius: float, overlap: float) -> tuple[bytes, bytes]:
    """Encoder and decoder with the inputs of SAM, which find a disk around the first point or corner asked for."""
    height, width = 684, 1024
    encoder = model([node("ReduceMax", ["image"], "embeddings")], {"image": (height, width, 3)}, {"embeddings": ()}, {})
    nodes = [
        node("Slice", ["point_coords", "zero", "one", "last"], "x"),
        node("Slice", ["point_coords", "one", "two", "last"], "y"),
        node("Slice", ["x", "zero", "one", "middle"], "left"),
        node("Slice", ["y", "zero", "one", "middle"], "top"),
        node("Sub", ["columns", "left"], "across"),
        node("Sub", ["rows", "top"], "down"),
        node("Mul", ["across", "across"], "across2"),
        node("Mul", ["down", "down"], "down2"),
        node("Add", ["across2", "down2"], "distance2"),
        node("Sub", ["radius2", "distance2"], "masks"),
        node("Identity", ["overlap"], "iou_predictions"),
    ]
    inputs: dict[str, Shape] = {
        "image_embeddings": ("a", "b", "c"),
        "point_coords": (1, "points", 2),
        "point_labels": (1, "points"),
        "mask_input": (1, 1, 256, 256),
        "has_mask_input": (1,),
        "orig_im_size": (2,),
    }
    constants: dict[str, NDArray[np.generic]] = {
        **{
            name: np.array([value]) for name, value in (("zero", 0), ("one", 1), ("two", 2), ("last", 2), ("middle", 1))
        },
        "columns": np.arange(width, dtype=np.float32).reshape(1, 1, 1, -1),
        "rows": np.arange(height, dtype=np.float32).reshape(1, 1, -1, 1),
        "radius2": np.array([radius**2], np.float32),
        "overlap": np.array([[overlap]], np.float32),
    }
    outputs = {"masks": (1, 1, height, width), "iou_predictions": (1, 1), "low_res_masks": (1, 1)}
    nodes.append(node("Identity", ["overlap"], "low_res_masks"))
    return encoder, model(nodes, inputs, outputs, constants)
