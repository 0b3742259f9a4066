"""Whatever the things that a field leads to do when they are looked at, a solve goes on."""

from __future__ import annotations

import csv
import enum
import io
import math
import warnings
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import flashode
from flashode.errors import FallbackWarning

T = torch.linspace(0, 1, 3, dtype=torch.float64)
Y = torch.tensor([[1.0, 2.0], [3.0, -1.0], [0.5, 0.0]], dtype=torch.float64)


def raising(*names: str, bases: tuple[type, ...] = (), **others: Any) -> Any:
    """An object whose methods of these names raise, whatever they are called with."""

    def method(*arguments: Any, **named: Any) -> Any:
        raise OSError("not to be looked at")

    return type("Raising", bases, {**dict.fromkeys(names, method), **others})()


def claiming(kind: type) -> Any:
    return type("Claiming", (), {"__class__": property(lambda self: kind)})()


def chain(length: int) -> Any:
    first = link = type("Link", (), {})()
    for _ in range(length):
        link.next = type(first)()
        link = link.next
    return first


def nested(depth: int) -> Callable[..., Tensor]:
    def innermost(t: Tensor, y: Tensor) -> Tensor:
        return y

    def around(inner: Callable[..., Tensor]) -> Callable[..., Tensor]:
        return lambda t, y: inner(t, y)

    wrapped: Callable[..., Tensor] = innermost
    for _ in range(depth):
        wrapped = around(wrapped)
    return wrapped


def dead() -> Any:
    class Gone:
        pass

    return weakref.proxy(Gone())


def deep(depth: int) -> list[Any]:
    innermost: list[Any] = [1.0]
    for _ in range(depth):
        innermost = [innermost]
    return innermost


class Descriptor:
    def __get__(self, owner: Any, kind: Any) -> Any:
        if owner is None:
            raise OSError("not of the class")
        return 1.0


class Meta(type):
    def __instancecheck__(cls, other: object) -> bool:
        raise OSError("no instances")

    def __eq__(cls, other: object) -> bool:
        raise OSError("not equal")

    __hash__ = type.__hash__


ODD: dict[str, Callable[[], Any]] = {
    **{
        f"raises in {name}": partial(raising, name)
        for name in (
            *("__getattr__", "__getattribute__", "__eq__", "__hash__", "__len__", "__iter__", "__bool__"),
            *("__repr__", "__str__", "__dir__", "__call__", "__getitem__", "__contains__", "__format__"),
        )
    },
    **{
        f"claims to be {kind.__name__}": partial(claiming, kind)
        for kind in (nn.Module, Tensor, nn.Parameter, dict, list, tuple, int, enum.Enum, type, partial)
    },
    "a __dict__ that raises": lambda: raising(__dict__=property(lambda self: 1 / 0)),
    "a property that raises": lambda: raising(value=property(lambda self: 1 / 0)),
    "a descriptor that raises": lambda: type("Holder", (), {"value": Descriptor()})(),
    "a module with one": lambda: type("Holder", (nn.Module,), {"value": Descriptor()})(),
    "a module that raises": lambda: raising("extra_repr", "named_parameters", bases=(nn.Module,)),
    "a list that raises": lambda: raising("__len__", "__iter__", bases=(list,)),
    "a dict that raises": lambda: raising("__len__", "keys", "__iter__", bases=(dict,)),
    "a number that raises": lambda: raising("__eq__", "__hash__", bases=(float,)),
    "a string that raises": lambda: raising("__eq__", "__hash__", bases=(str,)),
    "a tensor that raises": lambda: torch.ones(2).as_subclass(
        type("Odd", (Tensor,), {"__torch_function__": classmethod(lambda *arguments: 1 / 0)})
    ),
    "a metaclass": lambda: Meta("Made", (), {"value": 1.0}),
    "an instance of its": lambda: Meta("Made", (), {"value": 1.0})(),
    "a dead proxy": dead,
    "a reader": lambda: csv.reader(io.StringIO("1,2")),
    "a long chain": lambda: chain(400),
    "many closures": lambda: nested(400),
    "a deep list": lambda: deep(3000),
    "a nested tensor": lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]),
    "a quantized tensor": lambda: torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.quint8),
    "a sparse tensor": lambda: torch.eye(2).to_sparse().requires_grad_(),
    "a compressed tensor": lambda: torch.eye(2).to_sparse_csr(),
    "a meta parameter": lambda: nn.Linear(2, 2, device="meta"),
    "a tensor without memory": lambda: torch._efficientzerotensor(2, 2),
    "a conjugate": lambda: torch.ones(2, dtype=torch.complex64).conj(),
    "a negative view": lambda: torch.ones(2, dtype=torch.complex64).conj().imag,
    "a generator": lambda: (n for n in range(3)),
    "a large number": lambda: 10**5000,
    "a module": lambda: csv,
}


@pytest.mark.parametrize("name", ODD)
@pytest.mark.filterwarnings("ignore")  # torch's, of tensors that it makes no more
def test_solves_go_on(name: str) -> None:
    odd = ODD[name]()

    def field(t: Tensor, y: Tensor) -> Tensor:
        return -y if odd is not None else y

    def reached(t: Tensor, y: Tensor) -> Tensor:
        return field(t, y)

    reached.odd = odd  # type: ignore[attr-defined]
    for func in (field, partial(field), reached):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FallbackWarning)
            for solve in (flashode.odeint, partial(flashode.odeint_adjoint, adjoint_params=())):
                states = solve(func, Y, T, method="rk4")
                torch.testing.assert_close(states[-1], Y * torch.exp(-T[-1]), rtol=1e-2, atol=0.0)


DTYPES = (
    *(torch.half, torch.bfloat16, torch.float32, torch.float64, torch.complex64, torch.complex128),
    *(torch.int32, torch.bool, torch.float8_e4m3fn, torch.float8_e5m2),
)


class Scaled(nn.Module):
    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        learned = dtype.is_floating_point or dtype.is_complex
        self.k = nn.Parameter(torch.tensor([1.0, 2.0]).to(dtype), requires_grad=learned)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return -(self.k.real if self.k.is_complex() else self.k).to(y.dtype) * y


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("solve", [flashode.odeint, flashode.odeint_adjoint])
@pytest.mark.filterwarnings("ignore")
def test_parameters_of_other_dtypes_are_captured(solve: Callable[..., Tensor], dtype: torch.dtype) -> None:
    field = Scaled(dtype)
    if solve is flashode.odeint_adjoint and "float8" in str(dtype):
        return  # torch adds no tensors of eight bits
    with flashode.use_engine("native"):
        states = solve(field, torch.ones(3, 2), T.float(), rtol=1e-6, atol=1e-6)
    rates = torch.tensor([1.0, 1.0 if dtype is torch.bool else 2.0])
    torch.testing.assert_close(states[-1], torch.exp(-rates).expand(3, 2), rtol=1e-4, atol=0.0)
    if field.k.requires_grad:
        states[-1].sum().backward()
        assert field.k.grad is not None and field.k.grad.dtype == dtype
        actual = field.k.grad.to(torch.complex64 if dtype.is_complex else torch.float32)
        width = torch.finfo(dtype.to_real() if dtype.is_complex else dtype).eps
        torch.testing.assert_close(
            actual, (-3 * torch.exp(-rates)).to(actual), rtol=max(width, 1e-3), atol=0.0
        )


def test_sparse_gradients_are_captured() -> None:
    table = nn.Embedding(4, 2, sparse=True).double()
    rows = torch.tensor([1, 2, 1])

    def field(t: Tensor, y: Tensor) -> Tensor:
        return table(rows).sum(0) - y

    results = []
    for engine in ("native", "eager"):
        with flashode.use_engine(engine):
            flashode.odeint(field, Y, T, method="rk4")[-1].sum().backward()
        assert table.weight.grad is not None
        results.append(table.weight.grad.to_dense())
        table.weight.grad = None
    torch.testing.assert_close(*results)


def test_an_ensemble_whose_base_has_no_numbers_is_captured() -> None:
    models = [nn.Linear(2, 2).double() for _ in range(3)]
    stacked = torch.func.stack_module_state(models)  # type: ignore[arg-type]
    base = nn.Linear(2, 2, device="meta")

    def one(params: Any, buffers: Any, y: Tensor) -> Any:
        return torch.func.functional_call(base, (params, buffers), (y,))

    def field(t: Tensor, y: Tensor) -> Tensor:
        return torch.vmap(one, in_dims=(0, 0, None))(*stacked, y).mean(0)

    results = []
    for engine in ("native", "eager"):
        with flashode.use_engine(engine):
            results.append(flashode.odeint(field, Y, T, method="rk4"))
    torch.testing.assert_close(*results)


@pytest.mark.parametrize("step", ["watch", "make", "unsteady", "confirm", "compare_values", "unhooked"])
def test_a_fault_of_the_capture_itself_is_a_decline(monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    faults = []

    def failing(*arguments: object, **named: object) -> object:
        faults.append(step)
        raise ZeroDivisionError("a fault")

    def decaying(t: Tensor, y: Tensor) -> Tensor:
        return -y

    def solved(size: int) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FallbackWarning)
            end = flashode.odeint(decaying, torch.ones(size, 2), torch.tensor([0.0, 1.0]), verify="always")[
                -1
            ]
        torch.testing.assert_close(end, torch.full((size, 2), math.exp(-1)), rtol=1e-4, atol=1e-4)

    if step in ("confirm", "compare_values"):
        # Of a capture that is there.
        solved(3)
    monkeypatch.setattr(flashode.capture, step, failing)
    for size in (3, 5, 3):
        solved(size)
    assert faults
    size = 3 if step == "compare_values" else 7
    explanation = flashode.explain(decaying, torch.ones(size, 2), verify="always")
    assert "ZeroDivisionError: a fault" in explanation.declined["native"]
