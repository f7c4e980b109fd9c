"""What the tests of the map's nodes share: a small map under the names of keyframes, and a look at a node's diagnostics."""

from __future__ import annotations

import dataclasses

import numpy as np
from helpers_maps import two_houses

from seg2d3d_ros.ros.messages.conversion import make_header


def scene(images: int = 4):
    """``two_houses`` under the names of a camera's keyframes."""
    model, segments = two_houses(images)
    names = tuple(f"front_{k + 1}" for k in range(images))
    renamed = {
        new: dataclasses.replace(segments[old], name=new, scores=np.ones(2, np.float32))
        for new, old in zip(names, model.names, strict=True)
    }
    return dataclasses.replace(model, names=names), renamed


def header_of(name: str):
    return make_header(int(name.split("_")[1]), name.split("_")[0])


def value(node, key: str) -> str:
    return next((pair.value for pair in node.diagnostics.status().values if pair.key == key), "")
