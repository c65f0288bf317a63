"""Builds kernels/*.pyx, each once per CPU level; mrdl.kernels picks the best level at import."""
import copy
import os
import platform
import re
import runpy
import subprocess
import sys
from glob import glob
from pathlib import Path

import Cython
from Cython.Build import cythonize
from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext

DEBUG = os.environ.get("MRDL_DEBUG") == "1"     # bounds checks on, in every kernel
SANITIZE = os.environ.get("MRDL_SANITIZE")      # what compiled code is watched by: address,undefined
WATCHED = [f"-fsanitize={SANITIZE}", "-fno-sanitize-recover=all", "-O0", "-g1"] if SANITIZE else []

# One place for flags. No -ffast-math and no contraction: the source decides every rounding, so that
# all levels with fused multiply-add give the same bits.
FLAGS = ["-O2", "-g0", "-std=c++17", "-fvect-cost-model=dynamic",
         "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off",
         "-fno-exceptions", "-fno-rtti", "-fno-strict-aliasing", "-Wno-psabi",
         "-Wno-maybe-uninitialized"]
LEVELS = {level: [f"-march=x86-64-{level}"] for level in ("v2", "v3", "v4")}
LEVELS["v4"].append("-mprefer-vector-width=512")
if platform.machine() not in ("x86_64", "AMD64"):
    LEVELS = {"plain": ["-O3"]}
elif os.environ.get("MRDL_LEVELS") == "native":     # this CPU's best alone, which takes a third of the time
    level = runpy.run_path("mrdl/runners/probe.py")["cpu_level"]()
    LEVELS = {level: LEVELS[level]}
ONCE = {"cells", "cpu", "entries", "exact", "jsonl", "known", "memory", "rows", "short", "tally", "text", "words", "written"}         # no arithmetic on vectors: built once, plainly
SHARED = "mrdl.kernels.memoryviews"             # Cython's own code for them, which each file would compile again

DIRECTIVES = {"language_level": 3, "boundscheck": DEBUG, "wraparound": False,
              "initializedcheck": False, "nonecheck": False, "cdivision": True}


class BuildLevels(build_ext):
    """Builds in parallel; each extension has a folder of its own for its objects."""

    def finalize_options(self):
        super().finalize_options()
        self.parallel = self.parallel or os.cpu_count()
        if self.inplace:
            for level in LEVELS:
                Path("kernels", level).mkdir(exist_ok=True)

    def build_extension(self, extension):
        own = copy.copy(self)
        own.build_temp = os.path.join(self.build_temp, "debug" * DEBUG, extension.name)
        build_ext.build_extension(own, extension)


def included(path):
    """The files of kernels/ that one includes, and theirs: it is built again when they change."""
    named = re.findall(r'(?:include|from) "([^"]+)"', Path(path).read_text())
    found = {own for own in (f"kernels/{name}" for name in named) if Path(own).exists()}
    return found.union(*map(included, found))


def extensions():
    for path in sorted(glob("kernels/*.pyx")):
        name = Path(path).stem
        for level, flags in ({"": []} if name in ONCE else LEVELS).items():
            yield Extension(".".join(filter(None, ("mrdl.kernels", level, name))), [path],
                            include_dirs=["kernels"], depends=sorted(included(path)),
                            extra_compile_args=FLAGS + flags + WATCHED, extra_link_args=WATCHED, language="c++")


def compiled():
    """The .pyx files go through Cython once; all levels share its output."""
    wanted, folder = list(extensions()), f"build/cython-{Cython.__version__}" + "-debug" * DEBUG
    sources = {e.sources[0]: e for e in wanted}
    once = cythonize([Extension("mrdl.kernels." + Path(s).stem, [s], language="c++")
                      for s in sources], compiler_directives=DIRECTIVES, quiet=True,
                     build_dir=folder, shared_utility_qualified_name=SHARED)
    made = dict(zip(sources, (e.sources[0] for e in once)))
    for extension in wanted:
        extension.sources = [made[extension.sources[0]]]
    shared = Path(folder, SHARED.split(".")[-1] + ".cpp")
    if not shared.exists():
        shared.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run([sys.executable, "-m", "cython", "-+", f"--generate-shared={shared}"], check=True)
    return [*wanted, Extension(SHARED, [str(shared)], language="c++", extra_compile_args=FLAGS + WATCHED,
                               extra_link_args=WATCHED)]


setup(packages=[*find_packages(include=["mrdl", "mrdl.*"]), "mrdl.kernels", "mrdl.kernels.reference", "mrdl.jobs"],
      package_dir={"mrdl.kernels": "kernels", "mrdl.jobs": "jobs"},
      package_data={"mrdl.kernels": ["*.h", "*.pxi", "*.pyx"]},
      ext_modules=compiled(), cmdclass={"build_ext": BuildLevels})
