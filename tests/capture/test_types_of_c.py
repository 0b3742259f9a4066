"""Objects of types that are written in C have state that nothing shows, so that no field may read one."""

from __future__ import annotations

import array
import collections
import contextlib
import contextvars
import csv
import ctypes
import decimal
import functools
import hashlib
import importlib
import io
import itertools
import mmap
import queue
import random
import re
import sqlite3
import struct
import sys
import threading
import types
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import flashode
from flashode.capture.guards.relevance import written_in_python
from flashode.capture.guards.trust import simple
from flashode.capture.guards.watch import watch
from flashode.capture.refusal import Refusal

# They open windows, browsers or print when they are imported, or are on the way out.
_LEFT_ALONE = {"antigravity", "idlelib", "this", "turtle", "turtledemo", "tkinter", "test", "lib2to3"}
T = torch.tensor([0.0, 1.0])
Y = torch.ones(3, 2)


def standard_types() -> list[type]:
    """Every type that a module of the standard library leads to."""
    results: dict[int, type] = {}
    for name in sorted(sys.stdlib_module_names - _LEFT_ALONE):
        with warnings.catch_warnings(), contextlib.suppress(Exception):
            warnings.simplefilter("ignore")
            for value in vars(importlib.import_module(name)).values():
                if isinstance(value, type):
                    results[id(value)] = value
    waiting = list(results.values())
    for kind in waiting:
        for below in type.__subclasses__(kind):
            if (
                id(below) not in results
                and str(below.__module__).partition(".")[0] in sys.stdlib_module_names
            ):
                results[id(below)] = below
                waiting.append(below)
    return list(results.values())


def test_no_type_of_c_is_taken_for_one_of_python() -> None:
    kinds = standard_types()
    assert len(kinds) > 1000
    taken = list(filter(written_in_python, kinds))
    assert len(taken) > 300
    for kind in taken:
        spaces = [vars(base) for base in kind.__mro__[:-1]]
        code = any(isinstance(value, types.FunctionType) for space in spaces for value in space.values())
        # Without a function it is as good as empty, or a node of a syntax tree: all in its dictionary.
        slots = any("__slots__" in space for space in spaces)
        assert code or slots or kind.__dictoffset__ != 0, kind


KEEP_THEIR_OWN = (
    *(
        re.Pattern,
        re.Match,
        sqlite3.Connection,
        sqlite3.Cursor,
        sqlite3.Row,
        random.Random,
        io.StringIO,
        io.BytesIO,
    ),
    *(type(csv.reader([])), type(hashlib.sha256()), type(zlib.decompressobj()), struct.Struct, array.array),
    *(
        collections.deque,
        threading.local,
        contextvars.ContextVar,
        queue.SimpleQueue,
        decimal.Decimal,
        mmap.mmap,
    ),
    *(
        itertools.count,
        functools.lru_cache(lambda: 0).__class__,
        types.GeneratorType,
        io.TextIOWrapper,
        ctypes.c_double,
    ),
)


@pytest.mark.parametrize("kind", KEEP_THEIR_OWN, ids=lambda kind: kind.__name__)
def test_types_with_state_of_their_own(kind: type) -> None:
    assert not written_in_python(kind)
    with contextlib.suppress(TypeError):  # of those that can be inherited from
        assert not written_in_python(type("Inheriting", (kind,), {"method": lambda self: self}))


def objects_of_c() -> Iterator[Any]:
    """One of each type of C in the standard library that can be made of little."""
    for kind in standard_types():
        if written_in_python(kind) or kind.__module__ == "builtins" or issubclass(kind, BaseException):
            continue
        for arguments in ((), (1,), ("a",), ([1],), (lambda: 1,), (b"a",)):
            with warnings.catch_warnings(), contextlib.suppress(Exception):
                warnings.simplefilter("ignore")
                value = kind(*arguments)
                if type(value) is kind:
                    yield value
                    break


def test_what_is_read_of_objects_of_c_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # some make files
    taken = []
    seen = 0
    for held in objects_of_c():
        seen += 1

        def field(t: Tensor, y: Tensor, held: Any = held) -> Tensor:
            return y * held.anything

        try:
            watch(field)
        except Refusal:
            continue
        if not simple(held):
            taken.append(type(held))
    assert seen > 60
    # What is immutable, or a container whose content is watched.
    assert {kind.__name__ for kind in taken} <= {
        "OrderedDict",
        "defaultdict",
        "partial",
        "SimpleNamespace",
        "Positions",
    }


def test_a_match_that_is_replaced() -> None:
    class Holder:
        match = re.match("a", "a")

    held = Holder()

    def field(t: Tensor, y: Tensor) -> Tensor:
        return y if held.match.string == "a" else -y  # type: ignore[union-attr]

    for text, rate in (("a", 1.0), ("ab", -1.0)):
        held.match = re.match("a", text)
        _expect(field, rate)


def test_a_database_that_changes() -> None:
    held = sqlite3.connect(":memory:")
    held.execute("create table rates (rate real)")
    held.execute("insert into rates values (1.0)")

    def field(t: Tensor, y: Tensor) -> Tensor:
        return held.execute("select rate from rates").fetchone()[0] * y  # type: ignore[no-any-return]

    _expect(field, 1.0)
    held.execute("update rates set rate = 3.0")
    _expect(field, 3.0)
    held.close()


@pytest.mark.filterwarnings("ignore::flashode.FallbackWarning")
def _expect(field: Any, rate: float) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", flashode.FallbackWarning)
        solution = flashode.odeint(field, Y, T)[-1]
    torch.testing.assert_close(solution, Y * torch.exp(torch.tensor(rate)), rtol=1e-4, atol=0.0)
