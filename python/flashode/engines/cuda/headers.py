"""The C++ headers that kernels are compiled with."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

# The rooms of csrc that kernels include.
_ROOMS = ("numerics", "solve", "cuda")

_PACKAGE = Path(__file__).parents[2]
# Of an installed package, and of the source tree that a development build runs in.
_PLACES = (_PACKAGE / "csrc", _PACKAGE.parents[1] / "csrc")


@cache
def folder() -> Path:
    """Where they are.

    Raises:
        FileNotFoundError: They are not part of this installation.
    """
    for place in _PLACES:
        if all((place / room).is_dir() for room in _ROOMS):
            return place
    raise FileNotFoundError(f"the headers of kernels are in neither {_PLACES[0]} nor {_PLACES[1]}")


def standard_folder() -> Path:
    """Where the few headers of the standard library are that NVRTC lacks."""
    return folder() / "cuda" / "std"


def files() -> list[Path]:
    """All of them, in an order that is always the same."""
    own = (path for room in _ROOMS for path in (folder() / room).rglob("*.hpp"))
    return sorted({*own, *(path for path in standard_folder().iterdir() if path.is_file())})


@cache
def digest() -> str:
    """The same for the same headers, wherever they are."""
    whole = hashlib.sha256()
    for path in files():
        text = path.read_bytes()
        whole.update(f"{path.relative_to(folder()).as_posix()} {len(text)}\n".encode())
        whole.update(text)
    return whole.hexdigest()
