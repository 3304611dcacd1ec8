"""From C sources to a library on disk: units compiled in parallel, taken from the cache, linked.

The compiler is `$CC`; else the system's for this machine and the one in the `ziglang` wheel for
others. A unit is one source at one instruction-set level. The library is built in a temporary
folder and stays there as a file, for it holds all weights and may be larger than what anybody wants
to have in memory.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from convforge.compiler.backend.build_cache import key_of, open_cache
from convforge.compiler.backend.compilers import (
    find_compiler,
    identity,
    in_its_words,
    run_compiler,
)
from convforge.processors import processors

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from convforge.compiler.backend.target import Target

_COMMON = ("-std=c11", "-fvisibility=hidden")
# A multiply and an add may become one operation in the network; never in the preprocessing, whose
# arithmetic has to give Pillow's bits.
NETWORK_FLAGS = ("-O3", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast")
EXACT_FLAGS = ("-O3", "-fno-math-errno", "-ffp-contract=off")

# By file type: what every C unit needs, and what turns objects into a library. A wasm module is a
# reactor: it has no main, and its host calls what it exports.
_COMPILE = {
    "elf": ("-fPIC", "-pthread"),
    "mach-o": ("-fPIC", "-pthread"),
    "coff": ("-pthread",),
    "wasm": (),
}
_LINK = {
    "elf": ("-shared", "-pthread", "-lm"),
    "mach-o": ("-shared", "-pthread"),
    "coff": ("-shared", "-pthread"),
    "wasm": ("-mexec-model=reactor", "-Wl,--export-dynamic,--export=malloc,--export=free", "-lm"),
}


@dataclass(frozen=True)
class Unit:
    """One object file: a source, and the flags it is compiled with."""

    source: str
    object: str
    flags: tuple[str, ...]

    @property
    def is_kept(self) -> bool:
        """Whether the cache keeps it: not the weights, which are large and fast to wrap."""
        return self.source.endswith(".c")


class Built:
    """A library in a temporary folder, which goes with this object."""

    def __init__(self, library: Path) -> None:
        folder = Path(tempfile.mkdtemp(prefix="convforge-"))
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self.path = library.rename(folder / library.name)

    def read_bytes(self) -> bytes:
        """All of it."""
        return self.path.read_bytes()


def units(target: Target, sources: Mapping[str, object]) -> tuple[Unit, ...]:
    """What a target compiles: the network and the preprocessing once a level, the rest once.

    The network is model.c and the files whose names begin with "layers".
    """
    common = (*_COMMON, *_COMPILE[target.binary])
    # The level that every CPU has, said aloud: some compilers take the host's otherwise.
    once = (*common, *EXACT_FLAGS, *target.levels[-1].flags)
    found = []
    for source in sources:
        stem, suffix = Path(source).stem, Path(source).suffix
        if suffix == ".S":
            found.append(Unit(source, f"{stem}.o", ()))
        elif suffix == ".c" and stem != "preprocess" and not is_network(source):
            found.append(Unit(source, f"{stem}.o", once))
        elif suffix == ".c":
            own = NETWORK_FLAGS if is_network(source) else EXACT_FLAGS
            for level in target.levels:
                # What it exports is named after its level.
                name = "CF_STEPS=cf_steps" if is_network(source) else "cf_preprocess=cf_preprocess"
                flags = (*common, *own, *level.flags, f"-D{name}_{level.name}")
                found.append(Unit(source, f"{stem}_{level.name}.o", flags))
    return tuple(found)


def is_network(source: str) -> bool:
    """Whether a source is the network's, by its name: model.c or layers_N.c."""
    return source.endswith(".c") and source.startswith(("model", "layers"))


def build_library(
    sources: Mapping[str, bytes | memoryview], *, target: Target, extra: Sequence[str] = ()
) -> Built:
    """Compile and link the sources; `extra` flags go to every unit and to the link.

    Without `extra` the library keeps no symbols but those that it exports.

    Raises ToolchainError with the compiler's own first words where it fails.
    """
    compiler = find_compiler(target.triple)
    parts = units(target, sources)
    with tempfile.TemporaryDirectory(prefix="convforge-") as name:
        folder = Path(name)
        for source, content in sources.items():
            (folder / source).write_bytes(content)
        make_objects(parts, folder=folder, compiler=compiler, extra=extra)
        objects = [unit.object for unit in parts]
        library = folder / f"artifact{target.suffix}"
        link = [*_LINK[target.binary], *(extra or ["-s"]), "-o", library.name]
        run_compiler([*compiler, *objects, *link], folder=folder)
        return Built(library)


def make_objects(
    parts: Sequence[Unit], *, folder: Path, compiler: tuple[str, ...], extra: Sequence[str] = ()
) -> None:
    """Compile units whose sources lie in `folder`; what was compiled before comes from the cache.

    Raises ToolchainError with the compiler's own first words where it fails.
    """
    cache = open_cache()
    headers = [path.read_bytes() for path in sorted(folder.glob("*.h"))]
    version = identity(compiler)

    def make(unit: Unit) -> None:
        flags = in_its_words(unit.flags, compiler=compiler)
        command = [*compiler, *flags, *extra, "-c", unit.source]
        made = folder / unit.object
        if not unit.is_kept or not version:
            run_compiler([*command, "-o", made.name], folder=folder)
            return
        words = [word.encode() for word in (version, *command)]
        key = key_of([*words, (folder / unit.source).read_bytes(), *headers])
        known = cache.get(key)
        if known is not None:
            made.write_bytes(known)
            return
        run_compiler([*command, "-o", made.name], folder=folder)
        cache.put(key, made.read_bytes())

    # The weights first: they need memory, the others time.
    with ThreadPoolExecutor(processors()) as pool:
        list(pool.map(make, sorted(parts, key=lambda unit: unit.is_kept)))
    cache.trim()
