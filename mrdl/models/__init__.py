"""Models: layers whose weights are in one flat vector; and the models' files."""

_HOMES = {"Model": "model", "Sequential": "sequential", "load_model": "saving", "model_from_json": "saving"}


def __getattr__(name: str):
    """Imports what keras.models has too on first use."""
    from importlib import import_module
    if name not in _HOMES:
        raise AttributeError(f"module 'mrdl.models' has no attribute {name!r}")
    return getattr(import_module("mrdl.models." + _HOMES[name]), name)
