"""The runners by their names: a new one is a module of its own, and a line here."""
from importlib import import_module

# name -> "module:Class", a runner of mrjob's; imported when first asked for, as mrjob's own take a while
RUNNERS = {"inline": "mrdl.embedded:InlineRunner", "local": "mrdl.embedded:LocalRunner",
           "hadoop": "mrdl.hadoop:HadoopRunner", "spark": "mrdl.spark:SparkRunner"}


def runner(name: str) -> type:
    """The class of the runner of this name."""
    module, _, kind = RUNNERS[name].partition(":")
    return getattr(import_module(module), kind)
