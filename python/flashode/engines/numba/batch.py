"""A batch as workers integrate it: its tiles, its memory, and a record for each worker."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Hashable, Sequence
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from flashode.engines.compiled.requests import EvaluatedField
from flashode.engines.generated.locate import Stop, overflow
from flashode.engines.numba.fields.field_code import FieldCode, Function
from flashode.engines.numba.layout import Layout, Memory
from flashode.engines.numba.loops.records import one, system_record
from flashode.engines.numba.method import MethodRecord
from flashode.engines.numba.parameter_sums import GroupedParameters
from flashode.memory import address

# What a tile works on stays in the cache next to the processor, or nearly.
_TILE_BYTES = 128 * 2**10
_LEAST_LANES = 16
_MOST_LANES = 64


def lanes_of(batch: int, row_bytes: int) -> int:
    """Trajectories of a tile, given what it has of each: as few tiles as stay near, all about the same."""
    most = max(
        _LEAST_LANES, min(_MOST_LANES, _TILE_BYTES // max(row_bytes, 1) // _LEAST_LANES * _LEAST_LANES)
    )
    tiles = -(-batch // most)
    even = -(-batch // tiles)
    return even if tiles == 1 else -(-even // _LEAST_LANES) * _LEAST_LANES


class Batch:
    """What the solves of a batch have in common.

    Attributes:
        record: A system's, less addresses and what is a worker's own.
        tiles: How many tiles there are.
        lanes: Trajectories of each.
        rows: That are integrated.
        degree: Of the interpolant.
        stages: Of the method.
    """

    def __init__(
        self,
        field: EvaluatedField,
        method: MethodRecord,
        dtype: torch.dtype,
        code: FieldCode,
        vjp: Function | None = None,
        measured_c: Sequence[tuple[int, int]] = (),
    ) -> None:
        """Lays a batch out.

        Args:
            field: Of the request.
            method: How it is integrated.
            dtype: Of the state.
            code: The field's.
            vjp: Of the vjp of adjoint equations.
            measured_c: Of adjoint equations: rows of c whose gradients count in error norms.
        """
        shape, name = field.shape, str(dtype).removeprefix("torch.")
        self._code, self._vjp, self._method = code, vjp, method
        self.itemsize = dtype.itemsize
        self.width = sum(shape.segments)
        self.context_width = field.program.widths[2]
        self.rows = self.width if vjp is None else 2 * self.width + self.context_width
        self.batch = shape.batch
        self._functions = [code.field, *([vjp] if vjp is not None else [])]
        tile_rows = (method.stages + 5) * self.rows + max(function.rows for function in self._functions)
        self.lanes = lanes_of(self.batch, tile_rows * self.itemsize)
        self.tiles = -(-self.batch // self.lanes)
        ends = list(accumulate(shape.segments, initial=0))
        segments = list(pairwise(ends))
        if vjp is not None:
            segments += [(begin + self.width, end + self.width) for begin, end in segments]
            segments += [(begin + 2 * self.width, end + 2 * self.width) for begin, end in measured_c]
        self._parts = np.array(shape.segments, np.int64)
        self.record = one(system_record(name))
        record = self.record[0]
        method.write(record)
        record["one"], record["itemsize"] = 1.0, self.itemsize
        record["largest"], record["overflow"] = torch.finfo(dtype).max, overflow(dtype)
        record["direction"] = shape.direction if vjp is None else -shape.direction
        for key, value in (
            ("batch", self.batch),
            ("lanes", self.lanes),
            ("tiles", self.tiles),
            ("width", self.width),
            ("context_width", self.context_width),
            ("rows", self.rows),
            ("parts", self._parts.ctypes.data),
            ("part_count", len(self._parts)),
            ("uniform_size", code.uniform_size),
            ("parameter_count", max(len(field.parameters), 1)),
        ):
            record[key] = value
        self._segments = np.array(segments, np.int64)
        record["segments"], record["segment_count"] = self._segments.ctypes.data, len(segments)
        record["sum_count"] = max(2, len(segments))

        self.degree, self.stages = method.degree, method.stages
        self._layouts: dict[Hashable, Layout] = {}
        self._grouped: dict[tuple[int, ...], GroupedParameters] = {}

    def layout(self, key: Hashable, make: Callable[[], Layout]) -> Layout:
        """The layout of some of its solves, made for the first of them."""
        known = self._layouts.get(key)
        if known is None:
            self._compile()
            known = self._layouts[key] = make()
        return known

    def _compile(self) -> None:
        """What solves call, before the first of them."""
        record, code = self.record[0], self._code
        record["code"] = code.field.address
        record["shared_code"] = code.shared_address
        record["vjp_code"] = 0 if self._vjp is None else self._vjp.address

    def work(self, *more: Function) -> int:
        """Numbers of scratch memory for a tile of the field and its vjp, and of more functions."""
        return max(function.work(self.lanes) for function in (*self._functions, *more))

    def addresses(self, field: EvaluatedField) -> array[int]:
        """Of what the code reads beside states."""
        return self._code.addresses(map(address, field.parameters))

    def grouped(self, sizes: tuple[int, ...]) -> GroupedParameters:
        """Groups of tiles for sums of so many numbers for each parameter."""
        known = self._grouped.get(sizes)
        if known is None:
            known = self._grouped[sizes] = GroupedParameters(sizes, self.tiles)
        return known

    @property
    def with_slope(self) -> bool:
        """Whether a checkpoint has the slope at its start, too."""
        return self._method.with_slope

    def by_tiles(self, values: Tensor) -> Tensor:
        """The rows of trajectories, ``(batch, rows)``, as tiles have them."""
        return torch.cat([part.T.reshape(-1) for part in torch.split(values, self.lanes)])

    def state_by_tiles(self, memory: Tensor) -> Tensor:
        """The same of numbers that lie as the state does."""
        sizes = [int(rows) * self.batch for rows in self._parts]
        parts = torch.split(memory.reshape(-1), sizes)
        rows = [part.view(self.batch, -1) for part in parts]
        return self.by_tiles(torch.cat(rows, 1))

    def by_trajectories(self, values: npt.NDArray[Any]) -> Tensor:
        """From tiles: ``(batch, rows)``."""
        size = self.lanes * self.rows
        parts = [values[i * size : (i + 1) * size] for i in range(self.tiles)]
        return torch.cat([torch.from_numpy(part.reshape(self.rows, -1).T.copy()) for part in parts])

    def stop(self, memory: Memory) -> Stop:
        """Where a solve has stopped."""
        at = memory.workers[0]["progress"]
        half, place = int(at["half"]), memory.layout
        ends = [
            self._end(memory, begin, which)
            for begin, which in ((place.y, half), (place.f, half), (place.f, 1 - half))
        ]
        return Stop(float(at["t"]), float(at["tried"]), *ends)

    def _end(self, memory: Memory, place: int, half: int) -> Tensor:
        every = self.rows * self.batch
        return self.by_trajectories(
            memory.array(place, 2 * every, self.record.dtype["one"])[half * every : (half + 1) * every]
        )
