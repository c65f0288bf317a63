"""The NumPy twin of every kernel: same name, same arguments, plain formulas; the oracle of the tests."""
from mrdl.kernels.reference.dense import *
from mrdl.kernels.reference.images import *
from mrdl.kernels.reference.sequences import *
from mrdl.kernels.reference.training import *
