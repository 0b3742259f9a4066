"""Handing a method and the settings of its steps to the loops."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from flashode.engines.compiled.method import translate
from flashode.engines.numba.loops.records import INTERPOLANTS, METHOD
from flashode.problem import Integrator

# What records have by other names, or not at all.
_ROWS = ("b", "b_error", "b_mid")
_PLAIN = {name for name, *_ in METHOD}


class MethodRecord:
    """A method as fields of a system's record.

    Attributes:
        step_t: Times that steps end on.
        jump_t: Those of them where the field jumps.
    """

    def __init__(self, **facts: Any) -> None:
        self.step_t = np.array(facts.pop("step_t"), np.float64)
        self.jump_t = np.array(facts.pop("jump_t"), np.float64)
        self._facts = facts

    @property
    def stages(self) -> int:
        """How many it has."""
        return len(self._facts["b"])

    @property
    def with_slope(self) -> bool:
        """Whether a checkpoint has the slope at its start, which is another step's last stage."""
        return bool(self._facts["carried"] and not self._facts["fsal"])

    @property
    def degree(self) -> int:
        """Of the interpolant."""
        return len(self._facts["interpolant_weights"]["y0"]) - 1

    def write(self, record: npt.NDArray[np.void]) -> None:
        """Writes it to a system's record."""
        facts: Mapping[str, Any] = {**self._facts, **self._facts["automatic_first_step"]}
        for name in _PLAIN & facts.keys():
            if name not in ("interpolant", "c_stages"):
                record[name] = facts[name]
        stages = self.stages
        for i, row in enumerate(facts["a"]):
            record["a"][i, : len(row)] = row
        for name in _ROWS:
            record[name][: len(facts[name])] = facts[name]
        record["c_stages"][:stages] = facts["c"]
        record["stages"] = stages
        record["adaptive"] = facts["control"] == "error"
        record["interpolant"] = INTERPOLANTS[facts["interpolant"]]
        record["degree"] = self.degree
        for i, polynomial in enumerate(facts["interpolant_weights"].values()):
            record["weights"][i, : len(polynomial)] = polynomial
        for name, times in (("step_t", self.step_t), ("jump_t", self.jump_t)):
            record[name], record[f"{name}_count"] = times.ctypes.data, len(times)


def method_record(integrator: Integrator) -> MethodRecord:
    """The method and the settings of its steps."""
    return translate(integrator, MethodRecord)
