"""What is wrong with a wheel of this source tree, made with ``FLASHODE_CUDA`` ON or OFF.

    python tests/packaging/wheel_contents.py ON dist/flashode-*.whl

One with CUDA has the headers of kernels, all and as they are here. None is linked to anything that a machine
may lack: a driver is looked for at run time.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from zipfile import ZipFile

from flashode.engines.cuda import headers

# What manylinux wheels may need of a machine.
SYSTEM = re.compile(r"lib(c|m|dl|rt|pthread|gcc_s|stdc\+\+)\.so\.\d+|ld-linux.*")


def complaints(wheel: Path, cuda: bool) -> Iterator[str]:
    """One line each."""
    with ZipFile(wheel) as archive, tempfile.TemporaryDirectory() as folder:
        names = [name for name in archive.namelist() if not name.endswith("/")]
        packed = {
            name.removeprefix("flashode/csrc/"): archive.read(name) for name in names if "/csrc/" in name
        }
        modules = [Path(archive.extract(name, folder)) for name in names if name.endswith(".so")]
        yield from wrong_headers(packed, cuda)
        if len(modules) != 1:
            yield f"it has {len(modules)} compiled modules, not one"
        for module in modules:
            needed = re.findall(r"\(NEEDED\).*\[(.*)\]", dynamic_section(module))
            if not needed:
                yield f"what {module.name} is linked to is not known"
            yield from (f"{module.name} is linked to {name}" for name in needed if not SYSTEM.fullmatch(name))


def wrong_headers(packed: dict[str, bytes], cuda: bool) -> Iterator[str]:
    """What differs from the headers of this source tree, or is there though it should not be."""
    place = headers.folder()
    expected = {path.relative_to(place).as_posix(): path.read_bytes() for path in headers.files() if cuda}
    yield from (f"it lacks csrc/{name}" for name in sorted(expected.keys() - packed.keys()))
    yield from (f"it has csrc/{name}" for name in sorted(packed.keys() - expected.keys()))
    yield from (
        f"its csrc/{name} differs"
        for name in sorted(expected.keys() & packed.keys())
        if packed[name] != expected[name]
    )


def dynamic_section(module: Path) -> str:
    """What the linker noted for the loader."""
    return subprocess.run(
        ["readelf", "--dynamic", str(module)], check=True, capture_output=True, text=True
    ).stdout


if __name__ == "__main__":
    option, path = sys.argv[1:]
    problems = [*complaints(Path(path), {"ON": True, "OFF": False}[option])]
    sys.exit(
        "\n".join(f"{Path(path).name}, FLASHODE_CUDA={option}: {problem}" for problem in problems) or None
    )
