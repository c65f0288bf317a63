"""The runners by name. A new runner is a module of its own, and one line here."""
from importlib import import_module

# name -> "module:Class", a mrdl.runners.backend.Backend; imported on first use, because mrjob's runners import slowly
RUNNERS = {"inline": "mrdl.runners.local.runner:Inline", "local": "mrdl.runners.local.runner:Local", "hadoop": "mrdl.runners.hadoop.runner:OnHadoop",
           "spark": "mrdl.runners.spark.runner:OnSpark"}


def backend(name: str) -> type:
    """The Backend class of the runner with this name."""
    module, _, kind = RUNNERS[name].partition(":")
    return getattr(import_module(module), kind)
