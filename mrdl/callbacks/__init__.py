"""Keras's callbacks, for `fit` and for training by rounds."""
from mrdl.callbacks.callback import Callback, CallbackList, History, LambdaCallback, ProgbarLogger
from mrdl.callbacks.monitored import EarlyStopping, ModelCheckpoint, ReduceLROnPlateau
from mrdl.callbacks.others import BackupAndRestore, CSVLogger, LearningRateScheduler, TerminateOnNaN
from mrdl.callbacks.tensorboard import TensorBoard

__all__ = ["BackupAndRestore", "CSVLogger", "Callback", "CallbackList", "EarlyStopping", "History", "LambdaCallback",
           "LearningRateScheduler", "ModelCheckpoint", "ProgbarLogger", "ReduceLROnPlateau", "TensorBoard", "TerminateOnNaN"]
