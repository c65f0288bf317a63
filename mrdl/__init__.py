"""mrdl: deep learning as Hadoop streaming jobs."""
from pathlib import Path

__version__ = "0.1.0"
# in a checkout kernels/ and jobs/ stand beside mrdl/
__path__.append(str(Path(__file__).parent.parent))

from mrdl.averaging import ParameterAveraging, Result, prepare, resume
from mrdl.inference import evaluate, predict
from mrdl.model import Sequential, load_model, model_from_json

__all__ = ["ParameterAveraging", "Result", "Sequential", "evaluate", "load_model",
           "model_from_json", "predict", "prepare", "resume"]
