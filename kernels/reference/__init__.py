"""The NumPy twin of every kernel: the same name and arguments, and plain formulas; tests compare kernels with them."""
from mrdl.kernels.reference.csr import *
from mrdl.kernels.reference.dense import *
from mrdl.kernels.reference.images import *
from mrdl.kernels.reference.sequences import *
from mrdl.kernels.reference.training import *
