"""mrdl: deep learning as Hadoop streaming jobs."""
from mrdl import safe_path

safe_path.leave()           # before modules are imported that are not loaded yet

__version__ = "0.1.0"
# in a checkout kernels/ and jobs/ stand beside mrdl/
__path__.append(safe_path.HOME)

_HOMES = {"Cluster": "cluster", "JobFailed": "failures", "ParameterAveraging": "averaging", "Result": "averaging",
          "Model": "model", "Sequential": "sequential", "adapt": "inference", "describe": "inference",
          "evaluate": "inference", "generate": "generation",
          "load_model": "saving",
          "model_from_json": "saving", "predict": "inference", "prepare": "preparing",
          "resume": "averaging"}
__all__ = ["Cluster", "JobFailed", "Model", "ParameterAveraging", "Result", "Sequential", "adapt", "describe", "evaluate", "generate", "load_model",
           "model_from_json", "predict", "prepare", "resume"]


def __getattr__(name: str):
    """Imported when first asked for: a task on a node needs few of them, and starts for each round."""
    if name not in _HOMES:
        raise AttributeError(f"module 'mrdl' has no attribute {name!r}")
    from importlib import import_module
    value = globals()[name] = getattr(import_module("mrdl." + _HOMES[name]), name)
    return value


def __dir__():
    return sorted([*globals(), *_HOMES])
