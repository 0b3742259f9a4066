"""What this installation is."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Any


def _installed_version() -> str:
    try:
        return version("flashode")
    except PackageNotFoundError:  # a source tree that is not installed
        return "0+unknown"


VERSION = _installed_version()


def build_info() -> dict[str, Any]:
    """What this installation can do: version, instruction sets and the one in use, threads, CUDA."""
    from flashode.engines import native

    return {"version": VERSION, **native.build_info()}
