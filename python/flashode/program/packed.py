"""Many numbers in one piece of memory, where a tuple holds an object for each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar, overload

import numpy as np
import numpy.typing as npt

Number = TypeVar("Number", int, float)


class Packed(Sequence[Number]):
    """Immutable, hashable, and compared by the bits of its numbers: 0.0 is not -0.0, and NaN is itself."""

    __slots__ = ("array",)

    def __init__(self, numbers: Any, dtype: npt.DTypeLike) -> None:
        self.array = np.array(numbers, dtype)
        self.array.flags.writeable = False

    @property
    def nbytes(self) -> int:
        """Bytes of the numbers."""
        return self.array.nbytes

    def __len__(self) -> int:
        return len(self.array)

    @overload
    def __getitem__(self, at: int) -> Number: ...
    @overload
    def __getitem__(self, at: slice) -> tuple[Number, ...]: ...
    def __getitem__(self, at: int | slice) -> Number | tuple[Number, ...]:
        numbers = self.array[at].tolist()
        return tuple(numbers) if isinstance(at, slice) else numbers

    def __iter__(self) -> Iterator[Number]:
        return iter(self.array.tolist())

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return np.array(self.array, dtype, copy=copy)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Packed):
            return NotImplemented
        return self.array.dtype == other.array.dtype and self.array.tobytes() == other.array.tobytes()

    def __hash__(self) -> int:
        return hash(self.array.tobytes())

    def __repr__(self) -> str:
        return repr(tuple(self))


def integers(numbers: Sequence[int] | npt.NDArray[np.int64]) -> Packed[int]:
    """Indices of rows, as 32-bit integers."""
    return numbers if isinstance(numbers, Packed) else Packed(numbers, np.int32)


def floats(numbers: Sequence[float] | npt.NDArray[np.float64]) -> Packed[float]:
    """Numbers in double precision."""
    return numbers if isinstance(numbers, Packed) else Packed(numbers, np.float64)
