"""A field whose surroundings change: what is captured of it follows."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch

from capture.agreement import T, Y, captured_at, evaluated
from flashode.capture import Capture

Field = Callable[[Any, Any], Any]


class Case(NamedTuple):
    """A field, and a change after which it is another.

    Attributes:
        func: the field.
        change: changes what it hangs on.
    """

    func: Field
    change: Callable[[], object]


def agrees_now(func: Field) -> bool:
    """Whether there is a capture; it has to agree with the function as it is now."""
    captured = captured_at(func, T, Y)
    if not isinstance(captured, Capture):
        return False
    try:
        expected = func(T, Y)
    except Exception as error:
        raise AssertionError("it is captured though it raises") from error
    torch.testing.assert_close(evaluated(captured, T, Y), expected)
    return True


def follows(case: Case) -> bool:
    """Whether the field is captured before a change, which no capture outlasts unless it is the same."""
    captured = agrees_now(case.func)
    case.change()
    agrees_now(case.func)
    return captured


@contextmanager
def held(space: Any, name: str, value: Any) -> Iterator[None]:
    """Something of the user's on a class or in a module, for a while; what was there comes back."""
    missing = object()
    before = space.__dict__.get(name, missing)
    setattr(space, name, value)
    try:
        yield
    finally:
        if before is missing:
            delattr(space, name)
        else:
            setattr(space, name, before)
