"""Updaters: Keras's optimizers, as descriptions; `block` binds one to a range of the flat vector."""
from mrdl import schedules  # noqa: F401  Keras has keras.optimizers.schedules
from mrdl.optimizer import Optimizer  # noqa: F401
from mrdl.optimizers.adafactor import Adafactor
from mrdl.optimizers.adaptive import Adadelta, Adagrad, Ftrl, RMSprop
from mrdl.optimizers.gradient import SGD, Lion
from mrdl.optimizers.moments import Adam, Adamax, AdamW, Lamb, Nadam
from mrdl.optimizers.muon import Muon

OPTIMIZERS = [SGD, RMSprop, Ftrl, Adagrad, Adadelta, Lion, Adam, AdamW, Adamax, Nadam, Lamb, Adafactor, Muon]
