"""The layers by their classes: filled by mrdl.layers, and read by layers that hold others."""
from mrdl.layers.layer import Layer

LAYERS: list[type[Layer]] = []
