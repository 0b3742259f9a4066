"""Constants that are equal and not the same, in all that can hold one."""

import enum
import itertools
import math
import struct
from typing import Any

import numpy as np
import pytest
import torch

from capture.following import Case, follows
from flashode.capture.guards.guard_code import differs
from flashode.capture.guards.trust import simple


class Level(enum.IntEnum):
    ONE = 1


NUMBERS: list[Any] = [
    *(0, 1, -1, True, False, 0.0, -0.0, 1.0, math.inf, -math.inf, math.nan, -math.nan, 2**70, Level.ONE),
    *(
        struct.unpack("d", struct.pack("Q", 0x7FF8000000000001))[0],
        0j,
        complex(0.0, -0.0),
        complex(-0.0, 0.0),
    ),
    *(complex(1, 0.0), complex(1, -0.0), 1 + 0j, "1", b"1", "", None, ..., NotImplemented),
    *(
        kind(number)
        for kind in (np.float32, np.float64, np.float16)
        for number in (0.0, -0.0, 1.0, math.nan, -math.nan)
    ),
    *(kind(1) for kind in (np.int32, np.int64, np.uint8, np.bool_, np.complex64, np.complex128)),
    *(np.complex64(complex(0.0, -0.0)), np.complex64(0), np.str_("1"), np.bytes_(b"1")),
    *(np.datetime64("2000-01-01", unit) for unit in ("D", "s")),
    *(np.timedelta64(1, "D"), np.timedelta64(24, "h")),
    *(
        torch.float32,
        torch.float64,
        torch.device("cpu"),
        torch.device("cpu", 0),
        torch.Size([1]),
        torch.strided,
    ),
    *(
        np.dtype("f4"),
        np.dtype("f4", metadata={"a": 1}),
        np.dtype(">f4"),
        np.dtype([("a", "f4")]),
        np.dtype("i8"),
    ),
    *(range(0), range(1), range(0, 1, 2), range(0, 3, 2), range(0, 4, 2), range(1, 1), range(True)),
]
SLICES = [slice(a, b) for a, b in itertools.product((None, 0, False, 0.0, -0.0, 1, True, 1.0), repeat=2)]
CONSTANTS: list[Any] = [*NUMBERS, *SLICES]


def told(value: Any) -> Any:
    """All that code can find out about a constant."""
    kind = type(value)
    if kind is float:
        return kind, struct.pack("d", value)
    if kind is complex:
        return kind, struct.pack("dd", value.real, value.imag)
    if kind in (range, slice):
        return kind, told(value.start), told(value.stop), told(value.step)
    if isinstance(value, np.generic):
        return kind, value.tobytes(), str(value.dtype)
    if isinstance(value, np.dtype):
        return kind, str(value), repr(value.metadata)
    return kind, repr(value)


def test_no_two_are_taken_for_one() -> None:
    """Values, and the same in a tuple."""
    assert all(map(simple, CONSTANTS))
    for a, b in itertools.product(CONSTANTS, repeat=2):
        same = told(a) == told(b)
        assert differs(a, b) is not same, (a, b)
        assert differs((a,), (b,)) is not same, (a, b)


SIGNS = [
    (lambda c: math.copysign(1.0, c), 0.0, -0.0),
    (lambda c: math.copysign(1.0, c), math.nan, -math.nan),
    (lambda c: math.copysign(1.0, c), np.float32(0.0), np.float32(-0.0)),
    (lambda c: math.copysign(1.0, c.imag), complex(1, 0.0), complex(1, -0.0)),
    (lambda c: math.copysign(1.0, c.imag), np.complex64(0.0), np.complex64(complex(0, -0.0))),
    (lambda c: math.copysign(1.0, c[0]), (0.0,), (-0.0,)),
    (lambda c: math.copysign(1.0, c.stop), slice(0.0), slice(-0.0)),
    (lambda c: float(c.stop), range(0, 3, 2), range(0, 4, 2)),
    (lambda c: 1.0 if type(c.stop) is int else 3.0, slice(1), slice(True)),
    (lambda c: 1.0 if c.metadata is None else 3.0, np.dtype("f4"), np.dtype("f4", metadata={"a": 1})),
    (lambda c: float(len(str(c))), np.datetime64("2000-01-01", "D"), np.datetime64("2000-01-01", "s")),
]


@pytest.mark.parametrize(("read", "first", "second"), SIGNS)
def test_what_tells_equal_ones_apart(read: Any, first: Any, second: Any) -> None:
    class User:
        constant = first

    user = User()
    assert follows(Case(lambda t, y: y * read(user.constant), lambda: setattr(user, "constant", second)))


def test_what_can_be_changed_is_no_constant() -> None:
    held = [1.0]
    for constant in (slice(held), slice(None, None, held)):
        follows(
            Case(lambda t, y, c=constant: y * (c.stop or c.step)[0], lambda: held.__setitem__(0, held[0] + 2))
        )  # type: ignore[misc]
    record = np.array([(1.0,)], dtype=[("rate", float)])[0]
    follows(Case(lambda t, y: y * float(record["rate"]), lambda: record.__setitem__("rate", 3.0)))
