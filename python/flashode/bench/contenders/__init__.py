"""Who is measured: libraries, each with its ways to a gradient. One file a library.

A way registers itself: a function under ``@register`` is in every study from then on.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from flashode.bench.tasks.answers import Answer
from flashode.bench.tasks.workloads import Workload

FORWARD = "forward"
DISCRETE = "discrete"
CONTINUOUS = "continuous"
SEMINORM = "seminorm"


class Unsupported(Exception):
    """A contender cannot do this work; the message says why."""


@dataclass(frozen=True)
class Evaluations:
    """How often a run evaluates the field, in the solve and in the reverse pass; None where unknown.

    `engine` is which engine of ours did the run.
    """

    forward: int | None = None
    backward: int | None = None
    engine: str | None = None


@dataclass(frozen=True)
class Prepared:
    """One contender with one workload, ready to be run again and again.

    Attributes:
        run: Does the work once and waits until it is done. What it returns only `read` understands.
        read: The answer in what `run` returned.
        count: Does the work once more, and counts.
    """

    run: Callable[[], Any]
    read: Callable[[Any], Answer]
    count: Callable[[], Evaluations]


@dataclass(frozen=True)
class Contender:
    """A library with one of its ways to solve or to differentiate.

    Attributes:
        library: Name of the library; "flashode eager" is our plain-PyTorch engine.
        mode: `FORWARD`, or what sort of gradient it gives: `DISCRETE` that of the steps taken, `CONTINUOUS`
            that of the adjoint equations, `SEMINORM` the same with an error norm over the adjoint state
            alone, or another that a library has of its own.
        label: The library with its own word for the mode.
        packages: What has to be installed, as pip names it; the first gives the version.
        prepare: Makes a workload ready; raises `Unsupported` for one that it cannot do.
    """

    library: str
    mode: str
    label: str
    packages: tuple[str, ...]
    prepare: Callable[[Workload], Prepared]

    @property
    def missing(self) -> str | None:
        """Why it cannot run here, or None."""
        absent = [name for name in self.packages if not _installed(name)]
        return f"{', '.join(absent)} not installed" if absent else None


_registry: dict[tuple[str, str], Contender] = {}


def register(
    library: str, mode: str, *, label: str, packages: tuple[str, ...]
) -> Callable[[Callable[[Workload], Prepared]], Callable[[Workload], Prepared]]:
    """Registers the decorated function as `Contender.prepare`; the other arguments are its attributes."""

    def keep(prepare: Callable[[Workload], Prepared]) -> Callable[[Workload], Prepared]:
        _registry[library, mode] = Contender(library, mode, label, packages, prepare)
        return prepare

    return keep


def contenders(mode: str | None = None) -> tuple[Contender, ...]:
    """Every contender, or those of one mode, installed or not; ours first, then by name."""
    _load()
    wanted = (one for one in _registry.values() if mode is None or one.mode == mode)
    return tuple(sorted(wanted, key=lambda one: (not one.library.startswith("flashode"), one.library)))


def contender(library: str, mode: str) -> Contender:
    """The contender of that name; KeyError where there is none."""
    _load()
    return _registry[library, mode]


def _load() -> None:
    # Files, not a list of names: adding a library is adding its file. Each imports its library when asked to.
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")


def _installed(package: str) -> bool:
    try:
        metadata.distribution(package)
    except metadata.PackageNotFoundError:
        return importlib.util.find_spec(package) is not None
    return True
