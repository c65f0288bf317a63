"""mrdl: deep learning as Hadoop streaming jobs."""
from mrdl import safe_path

safe_path.leave()           # must come before any other import

__version__ = "0.1.0"
# in a checkout, kernels/ and jobs/ are next to mrdl/
__path__.append(safe_path.HOME)

_HOMES = {"Cluster": "runners.cluster",
          "FragmentTraining": "driver.fragments",
          "Input": "layers",
          "JobFailed": "runners.failures",
          "Model": "models.model",
          "ParameterAveraging": "driver.averaging",
          "Result": "driver.averaging",
          "Search": "driver.search",
          "Sequential": "models.sequential",
          "adapt": "driver.inference",
          "cross_validate": "driver.folds",
          "describe": "driver.inference",
          "evaluate": "driver.inference",
          "generate": "driver.generate",
          "infer_schema": "driver.preparation.describe",
          "load_model": "models.saving",
          "model_from_json": "models.saving",
          "predict": "driver.inference",
          "prepare": "driver.preparation.prepare",
          "refer": "driver.preparation.refer",
          "resume": "driver.averaging",
          "tabular": "driver.tabular"}
# modules that users may use without importing them
_DOORS = {"activations", "blocks", "callbacks", "codings", "constraints", "dataset", "frequency", "initializers", "layers", "losses",
          "metrics", "models", "ops", "optimizers", "outer", "partial", "preprocessing", "regularizers", "schedules", "streaming", "utils"}
__all__ = list(_HOMES)


def __getattr__(name: str):
    """Imports names on first use: a task on a node needs few of them, and starts anew for each round."""
    from importlib import import_module
    if name in _DOORS:
        return import_module("mrdl." + name)
    if name not in _HOMES:
        raise AttributeError(f"module 'mrdl' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module("mrdl." + _HOMES[name]), name)
    return value


def __dir__():
    return sorted([*globals(), *_HOMES])
