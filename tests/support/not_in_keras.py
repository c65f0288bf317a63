"""What mrdl has and Keras has not."""
from mrdl.layers import GravesLSTM
from mrdl.metrics import ConfusionMatrix

# a test of each has its published equations instead: of GravesLSTM tests/layers/test_recurrent.py
NOT_IN_KERAS = {GravesLSTM, ConfusionMatrix}
