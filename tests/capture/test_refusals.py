"""What is not captured, and the reason that the user reads."""

import datetime
import functools
import logging
import random
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from capture.agreement import captured_at
from flashode.capture import Capture
from flashode.declined import Declined

T = torch.tensor(0.3)
Y = torch.randn(4, 3)
Field = Callable[[Any, Any], Any]

ARRAY = np.ones(5000, np.float32)
STAMP = datetime.date(2026, 1, 1)
ALPHA = nn.Parameter(torch.tensor(2.0))
PLAIN = torch.ones(3)
LOG = logging.getLogger("flashode.tests")
DEEP = [[[[[[1.0]]]]]]


class Straight(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.sign()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient


def swallowing(t: Tensor, y: Tensor) -> Tensor:
    try:
        return y * t.item()
    except Exception:
        return y


def writing(t: Tensor, y: Tensor) -> Tensor:
    PLAIN.add_(1)
    return y


def logged(t: Tensor, y: Tensor) -> Tensor:
    LOG.info("evaluating")
    return y


@functools.lru_cache
def _rate() -> float:
    return 2.0


def cached(t: Tensor, y: Tensor) -> Tensor:
    return y * _rate()


def assigning(t: Tensor, y: Tensor) -> Tensor:
    global PLAIN
    PLAIN = y
    return y


def importing(t: Tensor, y: Tensor) -> Tensor:
    import secrets

    return y * secrets.randbelow(3)


class Table(dict[str, float]):
    pass


class Meta(type):
    def __getattr__(cls, name: str) -> float:
        return 2.0


class Odd(metaclass=Meta):
    pass


TABLE = Table(rate=2.0)
ODD = Odd
THINGS = {object()}

FIELDS: dict[str, tuple[Field, str]] = {
    "item": (lambda t, y: y * t.item(), "turns a tensor into a Python number"),
    "float": (lambda t, y: y * float(t), "turns a tensor into a Python number"),
    "branch on t": (lambda t, y: y if t > 0.5 else -y, "turns a tensor into a Python number"),
    "branch on y": (lambda t, y: y if (y > 0).any() else -y, "turns a tensor into a Python number"),
    "item of a parameter": (lambda t, y: y * ALPHA.item(), "turns a tensor into a Python number"),
    "numpy": (lambda t, y: torch.from_numpy(np.sin(y.numpy())), "memory from Python"),
    "numpy of a parameter": (lambda t, y: y * PLAIN.detach().numpy(), "memory from Python"),
    "asarray of a tensor": (lambda t, y: y * float(np.asarray(PLAIN)[0]), "memory from Python"),
    "tolist of a tensor": (lambda t, y: y * PLAIN.tolist()[0], "memory from Python"),
    "formatted": (lambda t, y: y * len(f"{y}"), "prints or formats"),
    "swallowed": (swallowing, "turns a tensor into a Python number"),
    "nonzero": (lambda t, y: y * len((y > 0).nonzero()), "depends on a tensor's values"),
    "mask": (lambda t, y: y[y > 0].sum() * y, "depends on a tensor's values"),
    "rand": (lambda t, y: y + torch.randn(3), "random numbers"),
    "rand_like": (lambda t, y: y + torch.rand_like(y), "random numbers"),
    "python random": (lambda t, y: y * random.random(), "global 'random'"),
    "numpy random": (lambda t, y: y * np.random.rand(), "hidden state"),  # noqa: NPY002
    "in-place parameter": (writing, "changes a tensor that it owns in place"),
    "in-place t": (lambda t, y: t.add_(1) * y, "changes t in place"),
    "in-place view of y": (lambda t, y: y[:, 0].mul_(2)[:, None] * y, "changes y in place"),
    "data": (lambda t, y: y * ALPHA.data, "cuts a gradient off (.data)"),
    "print": (lambda t, y: print() or y, "it calls print()"),
    "seed": (lambda t, y: torch.manual_seed(0) and y, "random number generator"),
    "custom backward": (lambda t, y: Straight.apply(y) * y, "custom autograd.Function"),
    "shape": (lambda t, y: y.sum(-1), "func must return a tensor of shape (4, 3), as y0 has"),
    "dtype": (lambda t, y: y.double(), "makes torch.float64 of a torch.float32 state"),
    "tuple": (lambda t, y: (y,), "func must return a tensor shaped like y0, got tuple"),
    "none": (lambda t, y: None, "func must return a tensor shaped like y0, got NoneType"),
    "half": (lambda t, y: (y.half() * 2).float(), "torch.float16"),
    "complex": (lambda t, y: torch.fft.fft(y).real, "is not supported"),
    "error": (lambda t, y: y @ torch.ones(5, 5), "calling it raised RuntimeError"),
    "array": (lambda t, y: y * float(ARRAY[0]), "the global 'ARRAY' is a numpy.ndarray of 5000 elements"),
    "date": (lambda t, y: y * STAMP.year, "the global 'STAMP' is a datetime.date"),
    "logger": (logged, ""),
    "deep": (lambda t, y: y * DEEP[0][0][0][0][0][0], "deep or large container"),
    "cached": (cached, "the global '_rate' is a functools._lru_cache_wrapper"),
    "grad mode": (lambda t, y: y if torch.is_grad_enabled() else -y, "is_grad_enabled"),
    "requires_grad": (lambda t, y: y if y.requires_grad else -y, "requires_grad"),
    "clock": (lambda t, y: y * time.time(), "global 'time'"),
    "global": (assigning, "assigns the global 'PLAIN'"),
    "import": (importing, "imports 'secrets'"),
    "dictionary class": (lambda t, y: y * TABLE["rate"], "whose state cannot be watched"),
    "metaclass": (lambda t, y: y * ODD.rate, "metaclass"),
    "lazy layer": (nn.Sequential(nn.LazyLinear(3)).forward, "no shape yet in 0 LazyLinear: call it once"),
    "set of objects": (lambda t, y: y * len(THINGS), "a set of things"),
    "unwatched": (lambda t, y: y * globals()["PLAIN"], "it calls globals()"),
    "unsupported": (lambda t, y: torch.special.i0(y), "aten.special_i0 is not supported"),
    "median": (lambda t, y: y - y.median(-1, True)[0], "aten.median is not supported"),
}


@pytest.mark.parametrize("name", FIELDS)
def test_reason(name: str) -> None:
    func, expected = FIELDS[name]
    captured = captured_at(func, T, Y)
    assert isinstance(captured, Declined)
    assert expected in captured.reason


def test_the_users_line_is_named() -> None:
    def field(t: Tensor, y: Tensor) -> Tensor:
        h = y * 2
        return torch.special.i0(h)

    captured = captured_at(field, T, Y)
    assert isinstance(captured, Declined)
    assert f"{__file__}:" in captured.reason
    assert "return torch.special.i0(h)" in captured.reason


def test_the_line_of_a_read_is_named() -> None:
    def field(t: Tensor, y: Tensor) -> Tensor:
        return y * t.item()

    captured = captured_at(field, T, Y)
    assert isinstance(captured, Declined)
    assert f"{__file__}:{field.__code__.co_firstlineno + 1}" in captured.reason


@pytest.mark.parametrize("dtype", [torch.float16, torch.complex64, torch.int64])
def test_state_dtypes(dtype: torch.dtype) -> None:
    captured = captured_at(lambda t, y: y, T, torch.ones(2, 3, dtype=dtype))
    assert isinstance(captured, Declined)
    assert str(dtype) in captured.reason


def test_empty_states_and_subclasses() -> None:
    class Mine(Tensor):
        pass

    for y, expected in ((torch.ones(0, 3), "empty"), (Y.as_subclass(Mine), "Mine")):
        captured = captured_at(lambda t, y: y, T, y)
        assert isinstance(captured, Declined)
        assert expected in captured.reason


def test_inside_a_transform() -> None:
    reasons = []

    def solve(y: Tensor) -> Tensor:
        captured = captured_at(lambda t, y: -y, T, y)
        assert isinstance(captured, Declined)
        reasons.append(captured.reason)
        return y

    torch.func.vmap(solve)(Y)
    assert "torch.func transform" in reasons[0]


@pytest.mark.parametrize("transform", [torch.func.vmap, torch.func.grad])
def test_a_transform_over_what_the_field_owns(transform: Callable[..., Any]) -> None:
    def solved(w: Tensor) -> Tensor:
        captured = captured_at(lambda t, y: y * w, T, Y)
        assert isinstance(captured, Declined)
        assert "torch.func transform" in captured.reason
        return w.sum()

    captured_at(lambda t, y: y * 2, T, Y)
    transform(solved)(torch.ones(3))


def test_forward_mode() -> None:
    with torch.autograd.forward_ad.dual_level():
        captured = captured_at(lambda t, y: y * 2, T, Y)
    assert isinstance(captured, Declined)
    assert "forward-mode" in captured.reason


def test_a_default_device() -> None:
    field: Field = lambda t, y: y + torch.ones(3)  # noqa: E731
    with torch.device("cpu"):
        assert isinstance(captured_at(field, T, Y), Capture)
    with torch.device("meta"):
        captured = captured_at(field, T, Y)
    assert isinstance(captured, Declined)
    assert "mode" in captured.reason


def test_a_large_state_that_mixes_trajectories() -> None:
    captured = captured_at(lambda t, y: y - y.mean(0), T, torch.randn(2000, 200))
    assert isinstance(captured, Declined)
    first, second = captured.reasons
    assert "batch" in first.what
    assert second.what.startswith("taken as one trajectory, it computes more than")


@pytest.mark.filterwarnings("ignore:.*is deprecated:DeprecationWarning")
def test_compiled_modules() -> None:
    captured = captured_at(torch.jit.trace(nn.Tanh(), Y), T, Y)
    assert isinstance(captured, Declined)
