"""Two ways to convolve images: directly, or with fewer multiplications.

The latter is Winograd's minimal filtering (Lavin & Gray 2016) along the rows of images. A row is cut into tiles of m
outputs. For a kernel row of r weights, a tile needs m + r - 1 pixels. From these, m + r - 1 linear combinations
("points") are computed, and each is multiplied once: m + r - 1 multiplications instead of m r.
"""
import numpy as np

from mrdl.kernels import zeros
from mrdl.layers.core import GeometricOperation
from mrdl.layers.geometry import Geometry
from mrdl.layers.layer import Layer
from mrdl.layers.operation import Binding, Operation

AT = (0, 1, -1, 2, -2)          # the points at which polynomials are evaluated; the sixth is infinity
POINTS = len(AT) + 1
COST = 6                        # a multiply-add of the transforms, which wait for memory, costs this many of the products


class ConvOperation(GeometricOperation):
    def __init__(self, layer: Layer, b: Binding):
        super().__init__(layer, b, layer.geometry(b.shape))

    def gradient(self, batch, first, g, ahead=None):
        self.b.k.conv_gradient(self.b.y.grad, self.b.x.value, first, g, self.geometry)


def transforms(r: int, dtype) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns outputs[m, 6], kernel[6, r], pixels[6, 6] for y = outputs ((kernel w) * (pixels x)), after Toom and Cook."""
    m = POINTS + 1 - r
    others = [[q for q in AT if q != p] for p in AT]
    pixels = [[*np.poly(roots)[::-1], 0] for roots in others] + [np.poly(AT)[::-1]]
    kernel = [[p ** k / np.prod([p - q for q in roots]) for k in range(r)] for p, roots in zip(AT, others)]
    kernel.append([float(k == r - 1) for k in range(r)])
    outputs = [[p ** i for p in AT] + [float(i == m - 1)] for i in range(m)]
    return tuple(np.ascontiguousarray(a, dtype) for a in (outputs, kernel, pixels))


def worth(geometry: Geometry) -> bool:
    """Do the transforms cost less than the multiplications that they save?"""
    _, _, C, _, OW, O, kh, r, *strides, _, _, groups = geometry
    if strides[:4] != [1, 1, 1, 1] or groups != 1 or not 2 < r < POINTS:
        return False
    m = POINTS + 1 - r
    tiles = -(-OW // m)
    return (OW * r - tiles * POINTS) * kh * C * O > tiles * POINTS * (POINTS * C + m * O) * COST


def tiled(geometry: Geometry) -> int:
    """How many values the tiles of an image have; 0 if the image is convolved directly."""
    H, _, C, _, OW, _, _, r, *_ = geometry
    return H * -(-OW // (POINTS + 1 - r)) * POINTS * C if worth(geometry) else 0


class WinogradOperation(ConvOperation):
    """Computes all points by one convolution, in which each point is a group and kernels are columns. It computes one
    row at a time, which fits into the cache."""

    def __init__(self, layer: Layer, b: Binding):
        super().__init__(layer, b)
        H, W, C, OH, OW, O, kh, r, *_, left, _ = self.geometry
        N, dtype = b.x.value.shape[1], self.w.dtype
        self.outputs, self.kernel, self.pixels = transforms(r, dtype)
        m, (self.rows, self.out_rows) = len(self.outputs), (H, OH)
        T = -(-OW // m)
        self.x_tiling = (H, W, T, C, m, left, T * POINTS * C, POINTS * C, C)
        self.y_tiling = (OH, OW, T, O, m, 0, T * POINTS * O, POINTS * O, O)
        self.x_tiles = zeros((H * T * POINTS * C, N), dtype)
        self.u = zeros((POINTS * O, kh * C), dtype)
        self.nothing = zeros(POINTS * O, dtype)
        self.y_row = zeros((T * POINTS * O, N), dtype)
        self.tiles_of_dy, self.back, self.weights = (
            np.ascontiguousarray(a.T) for a in (self.outputs, self.pixels, self.kernel))
        if b.training:
            self.dy_tiles = zeros((OH * T * POINTS * O, N), dtype)
            self.du = zeros((POINTS * O, kh * C), dtype)
            self.turned = zeros(self.u.shape[::-1], dtype)
            self.dx_row = zeros((T * POINTS * C, N), dtype)

    def points(self, H: int, OH: int, top: int) -> tuple:
        """The geometry of the convolution of the points, from H rows to OH rows."""
        _, _, C, _, _, O, kh, *_ = self.geometry
        T = self.x_tiling[2]
        return (H, T, POINTS * C, OH, T, POINTS * O, kh, 1, 1, 1, 1, 1, top, 0, POINTS)

    def weights_tiling(self, rows: int) -> tuple:
        """The tiling that takes each row of the kernel as an image of one tile; all their points are stored together."""
        _, _, _, _, _, _, kh, r, *_ = self.geometry
        return (rows * kh, r, 1, 1, 1, 0, 1, 0, rows * kh)

    def forward(self):
        b, k, top = self.b, self.b.k, self.geometry[12]
        C, O = self.x_tiling[3], self.y_tiling[3]
        k.to_tiles(self.w.reshape(-1, C), self.kernel, self.u.reshape(-1, C), self.weights_tiling(O))
        k.to_tiles(b.x.value, self.pixels, self.x_tiles, self.x_tiling)
        tiling, size = (1, *self.y_tiling[1:]), len(self.z) // self.out_rows
        for h in range(self.out_rows):
            k.conv_forward(self.u, self.nothing, self.x_tiles, self.y_row, self.points(self.rows, 1, top - h), False)
            k.from_tiles(self.y_row, self.outputs, self.z[h * size:(h + 1) * size], tiling, self.bias, self.relu, None)
        self.activate()

    def backward(self, batch):
        b, k, top = self.b, self.b.k, self.geometry[12]
        self.slope()
        k.to_tiles(b.y.grad, self.tiles_of_dy, self.dy_tiles, self.y_tiling)
        if b.first:
            return
        k.transpose(self.u, self.turned)
        tiling, size = (1, *self.x_tiling[1:]), len(b.x.grad) // self.rows
        for h in range(self.rows):
            row = slice(h * size, (h + 1) * size)
            k.conv_backward(self.turned, self.dy_tiles, None, self.dx_row, self.points(1, self.out_rows, top + h))
            k.from_tiles(self.dx_row, self.back, b.x.grad[row], tiling, None, False, b.x.value[row] if b.x.masked else None)

    def gradient(self, batch, first, g, ahead=None):
        k, rows, O, C = self.b.k, len(g), self.y_tiling[3], self.x_tiling[3]
        du = self.du[:POINTS * rows]
        for p in range(POINTS):
            k.conv_gradient(self.dy_tiles, self.x_tiles, p * O + first, du[p * rows:(p + 1) * rows],
                            self.points(self.rows, self.out_rows, self.geometry[12]))
        k.from_tiles(du.reshape(-1, C), self.weights, g.reshape(-1, C),
                     self.weights_tiling(rows), None, False, None)


def conv_operation(layer: Layer, b: Binding) -> Operation:
    """The operation for a convolution. The choice depends only on the shapes, so it is the same on all machines."""
    return (WinogradOperation if worth(layer.geometry(b.shape)) else ConvOperation)(layer, b)
