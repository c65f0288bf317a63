"""All that a node needs beside Python, as one file: mrdl, its kernels, NumPy and what tasks import.

YARN unpacks it beside a task, which has it on its PYTHONPATH; the same content has the same name,
so a node gets it once. The node's Python may be of another version than the driver's."""
import filecmp
import gzip
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module, metadata
from pathlib import Path

from mrdl import __version__, safe_path
from mrdl.config import ConfigError, need
from mrdl.runners import probe

OLDEST = (3, 10)
PACKAGES = ("numpy", "mrjob", "safetensors", "fsspec")
HDFS = ("hdfs-native", "typing-extensions")     # the first imports the second
SOURCES = (".pyx", ".pxi", ".h")                # what kernels are built from
PIP = "import runpy; runpy.run_module('pip', run_name='__main__', alter_sys=True)"
# Compiles what a task imports: a node may not write beside the files, so each task would do it
# anew. "Unchecked", so that it holds whatever times the files get when they are unpacked.
COMPILE = """
import importlib, os, pkgutil, py_compile, sys
from contextlib import suppress
import mrdl.jobs
jobs = ["mrdl.jobs." + job.name for job in pkgutil.iter_modules(mrdl.jobs.__path__)]
for name in [*jobs, "mrdl.storage.hdfs.folder", "hdfs_native"]:
    with suppress(ImportError):
        importlib.import_module(name)
for module in list(sys.modules.values()):
    name = os.path.relpath(getattr(module, "__file__", None) or os.pardir)
    if name.endswith(".py") and not name.startswith(os.pardir):
        py_compile.compile(name, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
"""


@dataclass(frozen=True)
class Target:
    """A node's Python, as far as compiled files depend on it."""
    version: str        # "3.11"
    soabi: str          # "cpython-311-x86_64-linux-gnu"
    machine: str        # "x86_64"
    glibc: str          # "2.36"

    def __str__(self) -> str:
        return f"Python {self.version} ({self.soabi}, glibc {self.glibc})"

    def tags(self) -> list[str]:
        """pip's options for the wheels that run there: for this glibc or any older one."""
        minors = range(int(self.glibc.split(".")[1]), 16, -1)
        platforms = [*(f"manylinux_2_{minor}" for minor in minors), "manylinux2014", "linux"]
        return ["--only-binary=:all:", "--implementation=cp", f"--python-version={self.version}",
                f"--abi=cp{self.soabi.split('-')[1]}",
                *(f"--platform={name}_{self.machine}" for name in platforms)]


def probe_command(python: str) -> tuple[str, str]:
    """A mapper's command, and the script to ship with it: it prints a line for parse_probe().

    A script, as streaming has its own rules for quotes and blanks in a command."""
    return f"{python} {os.path.basename(probe.__file__)}", probe.__file__


def parse_probe(line: str) -> Target:
    """The node that wrote the line; ConfigError where mrdl cannot run on it."""
    try:
        found = json.loads(line)
        release, soabi = found["python"], found["soabi"] or "unknown"
        version = tuple(int(part) for part in release.split(".")[:2])
        here = f"Python {release} ({found['executable']})"
        libc, cpu = found["libc"], found["cpu"]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ConfigError("the nodes' Python should say what it is, and wrote "
                          f"{line[:200]!r}") from None
    need(version >= OLDEST, f"nodes run {here}; mrdl needs {'.'.join(map(str, OLDEST))} or newer: "
         "install it, or name another with --node-python")
    glibc = re.fullmatch(r"glibc (2\.\d+)", libc)
    need(soabi.startswith("cpython-") and glibc, f"nodes run {here}, its ABI is {soabi}, its C "
         f"library {libc or 'unknown'}; mrdl needs CPython and glibc: name one with --node-python")
    need(cpu != "v1", "the nodes' CPUs are older than x86-64-v2: mrdl's kernels do not run there")
    return Target(".".join(map(str, version)), soabi, found["machine"], glibc[1])


def build(target: Target, wheels: str | None = None, cache: str | None = None,
          warned: Callable[[str], None] = lambda text: None) -> str:
    """The path of the archive, site-HASH.tar.gz; what was built before is found again at once.

    `wheels` is a folder with a wheel of mrdl for the target, and with whatever else pip's index
    lacks. The packages have the driver's versions wherever there are wheels of these."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "mrdl")
    folder = Path(cache or home).expanduser()
    code, sources, kernels = _own_files(target.soabi)
    pins = _pins()
    offered = {path.name: path for path in Path(wheels).glob("*.whl")} if wheels else {}
    made = folder / _digest({**code, **sources, **kernels, **offered}, repr((target, pins)))[:16]
    for path in made.glob("site-*.tar.gz"):
        return str(path)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        site, packed = Path(temporary, "site"), Path(temporary, "packed")
        kernels = kernels or _wheel_kernels(target, wheels, sources, Path(temporary, "wheel"))
        shutil.copytree(_packages(target, pins, wheels, folder, warned), site, copy_function=os.link)
        for name, path in (code | kernels).items():
            (site / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, site / name)
        files = _files(site)
        path = made / f"site-{_digest(files)[:16]}.tar.gz"
        _compile(target, site)
        _pack(files | _files(site, "**/*.pyc"), packed)
        made.mkdir(exist_ok=True)
        os.replace(packed, path)        # whole or not there; whoever builds it too gets the same
    return str(path)


def _own_files(soabi: str) -> tuple[dict[str, Path], dict[str, Path], dict[str, Path]]:
    """mrdl's code, its kernels' sources, the kernels for the ABI: names in the archive -> paths.

    No kernels if one of them is missing."""
    files = {}
    for package in ("mrdl", "mrdl.kernels", "mrdl.jobs"):   # in a checkout, side by side
        folder = Path(import_module(package).__path__[0])
        files |= {f"{package.replace('.', '/')}/{path.relative_to(folder).as_posix()}": path
                  for path in folder.rglob("*") if path.suffix in (".py", ".so", *SOURCES)}
    code = {name: path for name, path in files.items() if path.suffix == ".py"}
    sources = {name: path for name, path in files.items() if path.suffix in SOURCES}
    kernels = {name: path for name, path in files.items() if name.endswith(f".{soabi}.so")}
    built = {path.name.split(".")[0] for path in kernels.values()}
    whole = built.issuperset({"memoryviews", *(path.stem for path in sources.values() if path.suffix == ".pyx")})
    return code, sources, kernels if whole else {}


def _pins() -> list[str]:
    """The packages, in the driver's versions; those for HDFS only where the driver has them."""
    try:
        metadata.version(HDFS[0])
    except metadata.PackageNotFoundError:
        return [f"{name}=={metadata.version(name)}" for name in PACKAGES]
    return [f"{name}=={metadata.version(name)}" for name in PACKAGES + HDFS]


def _wheel_kernels(target: Target, wheels: str | None, sources: dict[str, Path],
                   folder: Path) -> dict[str, Path]:
    """The kernels out of a wheel, which must have been built from the sources that stand here."""
    place = ["--no-index", f"--find-links={wheels}"] if wheels else []
    how = (f"in its source tree run `python{target.version} -m pip wheel . --no-deps -w wheels`, "
           "then give --wheels wheels")
    error = _pip(target, folder, f"mrdl=={__version__}", *place)
    need(not error, f"mrdl's kernels are not built for the nodes' {target}: {how} ({error})")
    for name, path in sources.items():
        need((folder / name).is_file() and filecmp.cmp(folder / name, path, shallow=False),
             f"the wheel for the nodes' {target} is of another mrdl than this one ({name}): {how}")
    return _files(folder, "mrdl/kernels/**/*.so")


def _packages(target: Target, pins: list[str], wheels: str | None, cache: Path,
              warned: Callable[[str], None]) -> Path:
    """The folder of the packages for the target; kept, so that only mrdl's own files are new next time."""
    made = cache / f"packages-{_digest({}, repr((target, pins)))[:16]}"
    if not made.exists():
        with tempfile.TemporaryDirectory(dir=cache) as temporary:
            folder = Path(temporary, "packages")
            _install(target, pins, [f"--find-links={wheels}"] if wheels else [], folder, warned)
            with suppress(OSError):         # another was as quick, and has the same
                folder.rename(made)
    return made


def _install(target: Target, pins: list[str], links: list[str], site: Path,
             warned: Callable[[str], None]) -> None:
    """All packages at once, in the versions asked for; else each in the newest that there is."""
    if not _pip(target, site, *pins, *links):
        return
    for pin in pins:
        name = pin.split("=")[0]
        if _pip(target, site, pin, *links) and (error := _pip(target, site, name, *links)):
            need(name in HDFS, f"no {name} for the nodes' {target}: {error}")
            warned(f"no {name} for the nodes' {target}, so tasks cannot open hdfs://: {error}")


def _pip(target: Target, folder: Path, *arguments: str) -> str:
    """Installs into the folder. Gives what went wrong, or nothing."""
    done = subprocess.run(
        safe_path.command(PIP, "install", "--quiet", "--disable-pip-version-check",
         "--no-input", "--no-deps", "--no-compile", f"--target={folder}", *target.tags(),
         *arguments),
        stdin=subprocess.DEVNULL, env=safe_path.environment(), capture_output=True, text=True, check=False)
    return (done.stderr.strip() or "pip failed").splitlines()[-1] if done.returncode else ""


def _compile(target: Target, site: Path) -> None:
    """Needs a Python of the target's version here; without one, tasks start half as fast."""
    same = target.soabi == sysconfig.get_config_var("SOABI")
    python = sys.executable if same else shutil.which(f"python{target.version}")
    if python:
        environment = {"PYTHONPATH": ".", "PYTHONHASHSEED": "0", "PYTHONPYCACHEPREFIX": ""}
        subprocess.run([python, "-S", "-B", "-c", COMPILE], cwd=site, env=os.environ | environment,
                       capture_output=True, check=False)


def _files(folder: Path, pattern: str = "**/*") -> dict[str, Path]:
    """What is imported and loaded, or matches: no tests, type stubs, headers, commands."""
    found = {path.relative_to(folder): path for path in sorted(folder.glob(pattern))}
    return {name.as_posix(): path for name, path in found.items()
            if (path.suffix in (".py", ".pyc") or ".so" in path.suffixes)
            and "tests" not in name.parts and name.parts[0] != "bin"}


def _digest(files: dict[str, Path], more: str = "") -> str:
    content = hashlib.sha256(more.encode())
    for name, path in sorted(files.items()):
        content.update(f"\n{name} {hashlib.sha256(path.read_bytes()).hexdigest()}".encode())
    return content.hexdigest()


def _pack(files: dict[str, Path], path: Path) -> None:
    """The same files give the same bytes: in one order, without times and owners."""
    with open(path, "wb") as raw, gzip.GzipFile("", "wb", 6, raw, mtime=0) as file, \
            tarfile.open(fileobj=file, mode="w") as archive:
        for name, content in sorted(files.items()):
            entry = tarfile.TarInfo(name)
            entry.size = content.stat().st_size
            with open(content, "rb") as data:
                archive.addfile(entry, data)


def main() -> None:
    """python -m mrdl.archive [PYTHON [WHEELS]]: for a driver without a network."""
    python, wheels = (sys.argv[1:] + [sys.executable, None][len(sys.argv) - 1:])[:2]
    said = subprocess.run([python, probe.__file__], input="", check=True, capture_output=True, text=True,
                          env=safe_path.environment())
    print(build(parse_probe(said.stdout), wheels))
