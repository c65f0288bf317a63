"""What mrdl has and Keras has not."""
from mrdl.layers import GravesLSTM
from mrdl.layers.operators import OPERATORS
from mrdl.metrics import ConfusionMatrix

# a test of each has its published equations instead: of GravesLSTM tests/layers/test_recurrent.py
# (of operators, Keras has operations: tests/parity/test_keras_ops.py)
NOT_IN_KERAS = {GravesLSTM, ConfusionMatrix, *OPERATORS}
