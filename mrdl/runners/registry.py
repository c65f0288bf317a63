"""The runners by their names: a new one is a module of its own, and a line here."""
from importlib import import_module

# name -> "module:Class", a mrdl.runners.backend.Backend; imported when first asked for, as mrjob's runners take a while
RUNNERS = {"inline": "mrdl.runners.local.runner:Inline", "local": "mrdl.runners.local.runner:Local", "hadoop": "mrdl.runners.hadoop.runner:OnHadoop",
           "spark": "mrdl.runners.spark.runner:OnSpark"}


def backend(name: str) -> type:
    """The Backend of the runner of this name."""
    module, _, kind = RUNNERS[name].partition(":")
    return getattr(import_module(module), kind)
