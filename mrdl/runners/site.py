"""Builds one archive of everything that a node needs besides Python: mrdl, its kernels, NumPy and
the other packages that tasks import.

YARN unpacks the archive in a task's folder, which is on the task's PYTHONPATH. Archives are named
by a hash of their content, so a node downloads each only once. The node's Python may have another
version than the driver's."""
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
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module, metadata
from pathlib import Path

from mrdl import __version__, safe_path
from mrdl.config import ConfigError, need
from mrdl.runners import probe

OLDEST = (3, 10)
PACKAGES = ("numpy", "mrjob", "safetensors", "fsspec")
HDFS = ("hdfs-native", "typing-extensions")     # hdfs-native imports typing-extensions
#: packages of forms of input -> what tasks import
FORMS = {"pyarrow": ("pyarrow.parquet", "pyarrow.orc"), "fastavro": ("fastavro",), "zstandard": ("zstandard",)}
UNUSED = re.compile(r"pyarrow/\w*flight")       # a fifth of it
SOURCES = (".pyx", ".pxi", ".h")                # sources of kernels
PIP = "import runpy; runpy.run_module('pip', run_name='__main__', alter_sys=True)"
# Compiles all modules that a task imports: a node may be unable to write .pyc files into the archive,
# so each task would compile them again. "Unchecked", because unpacking may change the files' times.
COMPILE = """
import importlib, os, py_compile, sys
from contextlib import suppress
for name in sys.argv[1:]:
    with suppress(ImportError):
        importlib.import_module(name)
for module in list(sys.modules.values()):
    name = os.path.relpath(getattr(module, "__file__", None) or os.pardir)
    if name.endswith(".py") and not name.startswith(os.pardir):
        py_compile.compile(name, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
"""


@dataclass(frozen=True)
class Target:
    """The properties of a node's Python that compiled files depend on."""
    version: str        # "3.11"
    soabi: str          # "cpython-311-x86_64-linux-gnu"
    machine: str        # "x86_64"
    glibc: str          # "2.36"

    def __str__(self) -> str:
        return f"Python {self.version} ({self.soabi}, glibc {self.glibc})"

    def tags(self) -> list[str]:
        """pip's options to select wheels that run on the node: those for its glibc or any older one."""
        minors = range(int(self.glibc.split(".")[1]), 16, -1)
        platforms = [*(f"manylinux_2_{minor}" for minor in minors), "manylinux2014", "linux"]
        return ["--only-binary=:all:", "--implementation=cp", f"--python-version={self.version}",
                f"--abi=cp{self.soabi.split('-')[1]}",
                *(f"--platform={name}_{self.machine}" for name in platforms)]


def probe_command(python: str) -> tuple[str, str]:
    """A mapper's command that prints a line for parse_probe(), and the script to ship with it.

    It is a script and not `python -c`, because streaming has its own rules for quotes and blanks in commands."""
    return f"{python} {os.path.basename(probe.__file__)}", probe.__file__


def parse_probe(line: str) -> Target:
    """The Target that the line describes; ConfigError if mrdl cannot run there."""
    try:
        found = json.loads(line)
        release, soabi = found["python"], found["soabi"] or "unknown"
        version = tuple(int(part) for part in release.split(".")[:2])
        here = f"Python {release} ({found['executable']})"
        libc, cpu = found["libc"], found["cpu"]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ConfigError("the nodes' Python was asked to describe itself, but wrote "
                          f"{line[:200]!r}") from None
    need(version >= OLDEST, f"the nodes run {here}; mrdl needs {'.'.join(map(str, OLDEST))} or newer: "
         "install it, or name another Python with --node-python")
    glibc = re.fullmatch(r"glibc (2\.\d+)", libc)
    need(soabi.startswith("cpython-") and glibc, f"the nodes run {here}, with the ABI {soabi} and the C "
         f"library {libc or 'unknown'}; mrdl needs CPython with glibc: name one with --node-python")
    need(cpu != "v1", "the nodes' CPUs are older than x86-64-v2: mrdl's kernels do not run there")
    return Target(".".join(map(str, version)), soabi, found["machine"], glibc[1])


def build(target: Target, wheels: str | None = None, cache: str | None = None,
          warned: Callable[[str], None] = lambda text: None) -> str:
    """Builds the archive, unless it exists already, and returns its path, site-HASH.tar.gz.

    `wheels` is a folder with a wheel of mrdl for the target, and of any package that pip's index lacks.
    Packages have the same versions as the driver's, if there are wheels of these versions."""
    folder = _cache(cache)
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
        jobs = [name.removesuffix(".py").replace("/", ".") for name in code if name.startswith("mrdl/jobs/")]
        _compile(target, site, [*jobs, "mrdl.storage.hdfs.folder", "hdfs_native"])
        _pack(files | _files(site, "**/*.pyc"), packed)
        made.mkdir(exist_ok=True)
        os.replace(packed, path)        # atomic; another process that builds it at the same time gets the same bytes
    return str(path)


def build_package(target: Target, name: str, wheels: str | None = None, cache: str | None = None) -> str:
    """Builds an archive of one of FORMS, unless it exists already, and returns its path, NAME-HASH.tar.gz. It is an archive
    of its own, so that only jobs that need it ship it, and a node keeps it whatever becomes of mrdl."""
    folder, pin = _cache(cache), f"{name}=={metadata.version(name)}"
    made = folder / f"{name}-{_digest({}, repr((target, pin)))[:16]}"
    for path in made.glob("*.tar.gz"):
        return str(path)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        site, packed = Path(temporary, "site"), Path(temporary, "packed")
        _install(target, [pin], [f"--find-links={wheels}"] if wheels else [], site, lambda text: None)
        _compile(target, site, FORMS[name])
        files = {file: path for file, path in (_files(site) | _files(site, "**/*.pyc")).items() if not UNUSED.match(file)}
        path = made / f"{name}-{_digest(files)[:16]}.tar.gz"
        _pack(files, packed)
        made.mkdir(exist_ok=True)
        os.replace(packed, path)
    return str(path)


def _cache(folder: str | None) -> Path:
    """The folder that archives are kept in: this one, or the user's own."""
    return Path(folder or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "mrdl")).expanduser()


def _own_files(soabi: str) -> tuple[dict[str, Path], dict[str, Path], dict[str, Path]]:
    """Three dicts of name in the archive -> path: mrdl's code, the kernels' sources, the kernels built for the ABI.

    The third is empty if any kernel is missing."""
    files = {}
    for package in ("mrdl", "mrdl.kernels", "mrdl.jobs"):   # in a checkout these are three separate folders
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
    """The packages with the driver's versions; those for HDFS only if the driver has them."""
    try:
        metadata.version(HDFS[0])
    except metadata.PackageNotFoundError:
        return [f"{name}=={metadata.version(name)}" for name in PACKAGES]
    return [f"{name}=={metadata.version(name)}" for name in PACKAGES + HDFS]


def _wheel_kernels(target: Target, wheels: str | None, sources: dict[str, Path],
                   folder: Path) -> dict[str, Path]:
    """The kernels from a wheel, which must have been built from the same sources as this mrdl."""
    place = ["--no-index", f"--find-links={wheels}"] if wheels else []
    how = (f"in its source tree run `python{target.version} -m pip wheel . --no-deps -w wheels`, "
           "then give --wheels wheels")
    error = _pip(target, folder, f"mrdl=={__version__}", *place)
    need(not error, f"mrdl's kernels are not built for the nodes' {target}: {how} ({error})")
    for name, path in sources.items():
        need((folder / name).is_file() and filecmp.cmp(folder / name, path, shallow=False),
             f"the wheel for the nodes' {target} was built from another version of mrdl ({name} differs): {how}")
    return _files(folder, "mrdl/kernels/**/*.so")


def _packages(target: Target, pins: list[str], wheels: str | None, cache: Path,
              warned: Callable[[str], None]) -> Path:
    """The folder with the packages for the target. It is kept, so that a changed mrdl needs no new download."""
    made = cache / f"packages-{_digest({}, repr((target, pins)))[:16]}"
    if not made.exists():
        with tempfile.TemporaryDirectory(dir=cache) as temporary:
            folder = Path(temporary, "packages")
            _install(target, pins, [f"--find-links={wheels}"] if wheels else [], folder, warned)
            with suppress(OSError):         # another process has made the same folder meanwhile
                folder.rename(made)
    return made


def _install(target: Target, pins: list[str], links: list[str], site: Path,
             warned: Callable[[str], None]) -> None:
    """Installs all packages in the pinned versions. If that fails, installs them one by one, in the newest version that
    exists where the pinned one does not."""
    if not _pip(target, site, *pins, *links):
        return
    for pin in pins:
        name = pin.split("=")[0]
        if _pip(target, site, pin, *links) and (error := _pip(target, site, name, *links)):
            need(name in HDFS, f"no {name} for the nodes' {target}: {error}")
            warned(f"no {name} for the nodes' {target}, so tasks cannot open hdfs://: {error}")


def _pip(target: Target, folder: Path, *arguments: str) -> str:
    """Installs into the folder. Returns pip's error, or "" if there was none."""
    done = subprocess.run(
        safe_path.command(PIP, "install", "--quiet", "--disable-pip-version-check",
         "--no-input", "--no-deps", "--no-compile", f"--target={folder}", *target.tags(),
         *arguments),
        stdin=subprocess.DEVNULL, env=safe_path.environment(), capture_output=True, text=True, check=False)
    return (done.stderr.strip() or "pip failed").splitlines()[-1] if done.returncode else ""


def _compile(target: Target, site: Path, modules: Iterable[str]) -> None:
    """Compiles these modules, and those that they import, to .pyc. This needs a Python of the target's version on this machine; without one, tasks take
    twice as long to start."""
    same = target.soabi == sysconfig.get_config_var("SOABI")
    python = sys.executable if same else shutil.which(f"python{target.version}")
    if python:
        environment = {"PYTHONPATH": ".", "PYTHONHASHSEED": "0", "PYTHONPYCACHEPREFIX": ""}
        subprocess.run([python, "-S", "-B", "-c", COMPILE, *modules], cwd=site, env=os.environ | environment,
                       capture_output=True, check=False)


def _files(folder: Path, pattern: str = "**/*") -> dict[str, Path]:
    """The files below the folder that match and that Python imports or loads: no tests, type stubs, headers or commands."""
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
    """Packs files into a .tar.gz. The same files give the same bytes: sorted, without times and owners."""
    with open(path, "wb") as raw, gzip.GzipFile("", "wb", 6, raw, mtime=0) as file, \
            tarfile.open(fileobj=file, mode="w") as archive:
        for name, content in sorted(files.items()):
            entry = tarfile.TarInfo(name)
            entry.size = content.stat().st_size
            with open(content, "rb") as data:
                archive.addfile(entry, data)


def main() -> None:
    """python -m mrdl.archive [PYTHON [WHEELS]]: builds the archives for a driver that has no network: that of mrdl, and those of
    the packages of FORMS that are installed here."""
    python, wheels = (sys.argv[1:] + [sys.executable, None][len(sys.argv) - 1:])[:2]
    said = subprocess.run([python, probe.__file__], input="", check=True, capture_output=True, text=True,
                          env=safe_path.environment())
    target = parse_probe(said.stdout)
    print(build(target, wheels))
    for name in FORMS:
        with suppress(metadata.PackageNotFoundError):
            print(build_package(target, name, wheels))
