"""The memory of a solve: one piece for what its workers write, and their records, which say what is where."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping
from ctypes import addressof, c_byte
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from flashode.memory import address

# Arrays begin at lines of the cache.
_LINE = 64
# Bytes of memory that is kept for a later solve, and how many such there are of one kind.
_MOST_KEPT = 2**18
_MOST_IDLE = 1


def address_of(numbers: npt.NDArray[Any]) -> int:
    """Where the memory of an array begins; ``ctypes.data`` takes several times as long."""
    return addressof(c_byte.from_buffer(numbers.data)) if numbers.size else 0


class Layout:
    """Where the arrays of a solve are, and records that are ready but for addresses.

    Attributes:
        size: Bytes of the memory.
        kind: The type of a worker's records together.
        workers: How many workers there are.
        records: Where theirs are.
        template: These, as bytes; addresses count from the beginning of the memory.
        addresses: Which words of them these are.
        y: Where states at both ends of a step are.
        f: Where the slopes there are.
    """

    def __init__(
        self,
        system: npt.NDArray[np.void],
        kinds: Mapping[str, np.dtype[Any]],
        workers: int,
        group_tiles: int,
        work: int,
        arrays: Mapping[str, Mapping[str, int]] = MappingProxyType({}),
        numbers: Mapping[str, Mapping[str, float]] = MappingProxyType({}),
    ) -> None:
        """Lays it out.

        Args:
            system: A system's record, less addresses and what is a worker's own.
            kinds: The records of a worker beside the system: the type of each by its name.
            workers: How many there are.
            group_tiles: Tiles that one of them has to take together.
            work: Numbers of scratch memory for the field or its vjp.
            arrays: By record and field, how many numbers of the state's precision a worker has there.
            numbers: By record and field, what is the same in all solves.
        """
        record = system[0]
        self.size = 0
        self.kind = np.dtype([("system", system.dtype), *kinds.items()], align=True)
        size, lanes, tiles = int(record["itemsize"]), int(record["lanes"]), int(record["tiles"])
        every, tile = (int(record["rows"]) * int(record[of]) for of in ("batch", "lanes"))
        sets = max(int(record["stages"]), 2)
        self.y, self.f = self._take(2 * every, size), self._take(2 * every, size)
        shared = {
            "y": self.y,
            "f": self.f,
            "middle": self._take(every, size),
            "sums": self._take(2 * tiles * int(record["sum_count"])),
            "arrivals": self._take(1),
        }
        self.arrivals = shared["arrivals"]
        groups = -(-tiles // group_tiles)
        self.workers = workers
        self.records = self._take(workers, self.kind.itemsize)
        template = np.zeros(workers, self.kind)
        words = []
        for worker in range(workers):
            own = {
                "k": self._take(sets * tile, size),
                "argument": self._take(3 * tile, size),
                "work": self._take(work, size),
                "uniform": self._take(sets * int(record["uniform_size"]), size),
                "squares": self._take(lanes),
            }
            mine = template[worker]
            mine["system"] = record
            first, last = groups * worker // workers, groups * (worker + 1) // workers
            mine["system"]["first"] = first * group_tiles
            mine["system"]["last"] = min(last * group_tiles, tiles)
            mine["system"]["workers"] = workers
            mine["system"]["group_tiles"], mine["system"]["groups"] = group_tiles, groups
            places = {"system": {**shared, **own}}
            for name, counts in arrays.items():
                places[name] = {field: self._take(count, size) for field, count in counts.items()}
            for name, fields in places.items():
                for field, place in fields.items():
                    mine[name][field] = place
                    words.append(worker * self.kind.itemsize + self.place(name, field))
            for name, values in numbers.items():
                for field, number in values.items():
                    mine[name][field] = number
        self.template = template.view(np.uint8)
        self.addresses = np.array(words) // 8
        self._idle: list[Memory] = []

    def memory(self, parameters: array[int], **by_tiles: Tensor | None) -> Memory:
        """Memory for a solve, that of an earlier one if that is done.

        Args:
            parameters: As of ``FieldCode.addresses``.
            by_tiles: What else the loops read that is in tiles, by its name in a system's record.
        """
        try:
            memory = self._idle.pop()
        except IndexError:
            memory = Memory(self)
        memory.begin(parameters, by_tiles)
        return memory

    def give_back(self, memory: Memory) -> None:
        """Keeps memory for a later solve, if it is small: allocating it takes as long as a small solve."""
        if self.size <= _MOST_KEPT and len(self._idle) < _MOST_IDLE:
            self._idle.append(memory)

    def _take(self, count: int, itemsize: int = 8) -> int:
        """Room for so many numbers: where it begins."""
        begin = self.size
        self.size += -(-count * itemsize // _LINE) * _LINE
        return begin

    def place(self, name: str, field: str | None = None) -> int:
        """Where a record begins in a worker's, or a field of it."""
        fields = self.kind.fields
        assert fields is not None
        kind, begin, *_ = fields[name]
        if field is None:
            return begin
        assert kind.fields is not None
        return begin + kind.fields[field][1]


class Memory:
    """The memory of one solve at a time.

    Attributes:
        layout: What is where.
        workers: The records of each worker: a record of records.
    """

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self._buffer = np.empty(layout.size + _LINE, np.uint8)
        begin = address_of(self._buffer)
        self._base = -(-begin // _LINE) * _LINE
        self._offset = self._base - begin
        self._ready = layout.template.copy()
        self._ready.view(np.int64)[layout.addresses] += self._base
        self._records = self.array(layout.records, len(layout.template), np.uint8)
        self._arrivals = self.array(layout.arrivals, 1, np.int64)
        self.workers = list(self._records.view(layout.kind))
        self._systems = [worker["system"] for worker in self.workers]
        self._tasks: dict[tuple[str, ...], list[Callable[[], None]]] = {}

    def begin(self, parameters: array[int], by_tiles: Mapping[str, Tensor | None]) -> None:
        """Makes it that of a new solve; see ``Layout.memory``."""
        self._records[:] = self._ready
        self._arrivals[0] = 0
        self._parameters = parameters
        self._by_tiles = by_tiles
        for system in self._systems:
            system["parameters"] = parameters.buffer_info()[0]
            for name, tensor in by_tiles.items():
                if tensor is not None:
                    system[name] = address(tensor)

    def tasks(self, run: Callable[..., None], *names: str) -> list[Callable[[], None]]:
        """For each worker the call of the function of these of its records; there is one of such."""
        known = self._tasks.get(names)
        if known is None:
            first = self._base + self.layout.records
            begins = [first + worker * self.layout.kind.itemsize for worker in range(len(self.workers))]
            places = [self.layout.place(name) for name in names]
            known = [partial(run, *[begin + place for place in places]) for begin in begins]
            self._tasks[names] = known
        return known

    def array(self, place: int, count: int, dtype: Any) -> npt.NDArray[Any]:
        """What is at a place of the memory."""
        begin = self._offset + place
        return self._buffer[begin : begin + count * np.dtype(dtype).itemsize].view(dtype)
