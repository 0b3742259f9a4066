"""What a solve compiles, for those who want to know of it or have it compiled before."""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch

from flashode.engines.numba.batch import Batch
from flashode.engines.numba.code_cache import compilations
from flashode.engines.numba.entry import loop
from flashode.engines.numba.fields.field_code import Function


class NumbaKernel:
    """The code of a solve, or of its reverse.

    Args:
        name: ``forward``, ``discrete_vjp`` or ``continuous_vjp``.
        functions: Those of the field.
        batch: What it is for.
        dtype: Of the state.
        workers: How many share the batch, where there are as many.
    """

    def __init__(
        self, name: str, functions: Sequence[Function], batch: Batch, dtype: torch.dtype, workers: int
    ) -> None:
        self._name = name
        self._functions = functions
        self._batch = batch
        self._dtype = dtype
        self._workers = workers

    @property
    def name(self) -> str:
        """What it does."""
        return self._name

    @property
    def facts(self) -> tuple[str, ...]:
        """How the batch is spread, and what a tile works on."""
        batch = self._batch
        workers = min(self._workers, batch.tiles)
        tiles = f"{batch.tiles:,} tile{'s' if batch.tiles > 1 else ''}"
        lanes = f"{batch.lanes} trajector{'ies' if batch.lanes > 1 else 'y'}"
        threads = f"{workers} thread{'s' if workers > 1 else ''}"
        numbers = max(function.work(batch.lanes) for function in self._functions)
        return (
            f"{tiles} of {lanes}, {threads}",
            f"{numbers * batch.itemsize:,} bytes of scratch memory a tile",
        )

    @property
    def source(self) -> str:
        """Python over the modules of this folder."""
        return "\n\n".join(function.text for function in self._functions)

    def compile(self) -> float | None:
        """Compiles it."""
        before, began = compilations(), time.perf_counter()
        loop(self._name, self._dtype)
        for function in self._functions:
            _ = function.address
        return time.perf_counter() - began if compilations() > before else None
