"""What a run of an experiment leaves behind: one JSON file with the numbers, and what they depend on."""

import json
import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from torch import Tensor, nn

from flashode.engines import choose
from flashode.problem import DEFAULT_ATOL, DEFAULT_RTOL, make_problem


def write_metrics(folder: Path, metrics: Mapping[str, object]) -> Path:
    """Writes `metrics.json`; a reader, or an interruption, finds the old file or the new one, never half."""
    path = folder / "metrics.json"
    unfinished = path.with_suffix(".json.part")
    unfinished.write_text(json.dumps(metrics, indent=2) + "\n")
    unfinished.replace(path)
    return path


def engine_of(field: nn.Module, y0: Tensor, t: Tensor) -> str:
    """The name of the engine that solves `field` with the default options under the present `use_engine`.

    Raises:
        EngineDeclined: If `use_engine` insists on an engine that cannot.
    """
    problem = make_problem(field, y0, t, rtol=DEFAULT_RTOL, atol=DEFAULT_ATOL, method=None, options=None)
    return choose(problem, None).engine


def versions() -> dict[str, str]:
    """The versions that a run's numbers depend on."""
    packages = ("flashode", "torch", "numpy")
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in packages}}
