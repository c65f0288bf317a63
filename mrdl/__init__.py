"""mrdl: deep learning as Hadoop streaming jobs."""
from importlib import import_module
from pathlib import Path

__version__ = "0.1.0"
# in a checkout kernels/ and jobs/ stand beside mrdl/
__path__.append(str(Path(__file__).parent.parent))

_HOMES = {"Cluster": "cluster", "ParameterAveraging": "averaging", "Result": "averaging",
          "Model": "model", "Sequential": "sequential", "adapt": "inference", "describe": "inference",
          "evaluate": "inference", "generate": "generation",
          "load_model": "saving",
          "model_from_json": "saving", "predict": "inference", "prepare": "averaging",
          "resume": "averaging"}
__all__ = ["Cluster", "Model", "ParameterAveraging", "Result", "Sequential", "adapt", "describe", "evaluate", "generate", "load_model",
           "model_from_json", "predict", "prepare", "resume"]


def __getattr__(name: str):
    """Imported when first asked for: a task on a node needs few of them, and starts for each round."""
    if name not in _HOMES:
        raise AttributeError(f"module 'mrdl' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module("mrdl." + _HOMES[name]), name)
    return value


def __dir__():
    return sorted([*globals(), *_HOMES])
