"""The table of layers: filled by mrdl.layers, and used by layers that contain other layers."""
from mrdl.layers.layer import Layer

LAYERS: list[type[Layer]] = []
