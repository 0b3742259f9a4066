"""Which copy of a shared function the linker keeps, in a build of the compiled module.

    python tests/cpp/kept_symbols.py build/cp311-cp311-linux_x86_64

Templates of the standard library are compiled for every instruction set, and the linker keeps the first copy
that it meets: were that one for a higher set than another copy, a machine without the set would run it.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

WEAK = {"W", "V", "u"}


def level(object_file: str) -> int:
    """Of the instruction set that an object is compiled for; 0 is the compiler's own default."""
    version = re.search(r"flashode_kernels_v(\d)", object_file)
    return int(version[1]) if version else 0


def misplaced(objects: Iterable[tuple[int, Iterable[str]]]) -> Iterator[str]:
    """The symbols whose first definition is for a higher instruction set than a later one.

    Args:
        objects: Level and weak symbols of each, in the order of linking.
    """
    first: dict[str, int] = {}
    for own, symbols in objects:
        for symbol in symbols:
            if own < first.setdefault(symbol, own):
                yield symbol


def linked(build: Path) -> list[Path]:
    """The objects of the module, in the order of linking."""
    commands = subprocess.run(
        ["ninja", "-C", str(build), "-t", "commands", "_flashode"], capture_output=True, text=True, check=True
    ).stdout
    link = next(line for line in reversed(commands.splitlines()) if "_flashode" in line and " -o " in line)
    return [build / word for word in link.split() if word.endswith(".o")]


def weak_symbols(object_file: Path) -> list[str]:
    """Those that an object defines."""
    lines = subprocess.run(
        ["nm", "--defined-only", "--format=posix", str(object_file)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    return [fields[0] for fields in map(str.split, lines) if len(fields) > 1 and fields[1] in WEAK]


if __name__ == "__main__":
    files = linked(Path(sys.argv[1]))
    wrong = list(misplaced((level(str(file)), weak_symbols(file)) for file in files))
    print(f"{len(files)} objects of {len({level(str(file)) for file in files})} instruction sets")
    sys.exit("\n".join(["kept for too high an instruction set:", *wrong]) if wrong else 0)
