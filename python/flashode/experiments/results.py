"""What a run of an experiment leaves behind: one JSON file with the numbers, and what they depend on."""

import json
import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

from torch import Tensor, nn

import flashode
from flashode.bench.machine import processor
from flashode.engines import choose
from flashode.problem import DEFAULT_ATOL, DEFAULT_RTOL, DISCRETE, make_problem


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file to write in the other's place: a reader finds the old one or the new one, never half."""
    unfinished = path.with_name(f"{path.name}.part")
    yield unfinished
    unfinished.replace(path)


def write_metrics(folder: Path, metrics: Mapping[str, object]) -> Path:
    """Writes `metrics.json`."""
    path = folder / "metrics.json"
    with replacing(path) as unfinished:
        unfinished.write_text(json.dumps(metrics, indent=2) + "\n")
    return path


def engine_of(field: nn.Module, y0: Tensor, t: Tensor) -> str:
    """The name of the engine that solves `field` with the default options under the present `use_engine`.

    Raises:
        EngineDeclined: If `use_engine` insists on an engine that cannot.
    """
    problem = make_problem(field, y0, t, rtol=DEFAULT_RTOL, atol=DEFAULT_ATOL, method=None, options=None)
    return choose(problem, DISCRETE).engine


def conditions(packages: Sequence[str] = ()) -> dict[str, Any]:
    """The machine and the versions that a run's numbers depend on, those of further packages too."""
    named = ("flashode", "torch", "numpy", *packages)
    return {
        "processor": processor(),
        "threads": flashode.build_info()["threads"],
        "versions": {
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in named},
        },
    }
