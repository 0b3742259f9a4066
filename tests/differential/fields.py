"""The functions for both libraries: new ones for each call, the same to the last bit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from problems import ComplexRotation, Counting, Network, values


@dataclass(frozen=True)
class Functions:
    """A function, and what is differentiated besides its arguments.

    Attributes:
        func: The function.
        parameters: Tensors that it reads and that require grad.
        counter: What counts its evaluations, or None.
    """

    func: Callable[..., Any]
    parameters: tuple[Tensor, ...]
    counter: Counting | None


class Elementwise(Counting):
    """Nonlinear and time-dependent on states of any shape, with a parameter that it does not use."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.rate = nn.Parameter(torch.tensor(0.7, dtype=dtype))
        self.spare = nn.Parameter(torch.ones(2, dtype=dtype))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        self.nfe += 1
        return torch.sin(2 * t) - self.rate * y * torch.cos(y)


class Linear(Counting):
    """y' = y A."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.a = nn.Parameter(values(3, 3, seed=3, scale=0.7).to(dtype))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        self.nfe += 1
        return y @ self.a


class Branching(Elementwise):
    """Looks at the numbers of its state, so that nothing but Python can run it."""

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        slope = super().forward(t, y)
        return slope if float(y.detach().abs().max()) < 3 else 0.5 * slope


class Coupled(Counting):
    """Components of any shape, each driven by the means of all."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.rate = nn.Parameter(torch.tensor(0.6, dtype=dtype))

    def forward(self, t: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        self.nfe += 1
        mean = torch.stack([part.mean() for part in state]).sum()
        return tuple(
            torch.cos(t) * mean - self.rate * torch.sin((1 + i) * part) for i, part in enumerate(state)
        )


class Flow(Counting):
    """A network on the first component, and its sum on the second: side by side for each trajectory."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.net = Network(dtype=dtype)

    def forward(self, t: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        self.nfe += 1
        y, z = state
        slope = self.net(t, y)
        return slope, slope.square().sum(dim=-1, keepdim=True) - 0.1 * z


def _closure(dtype: torch.dtype) -> Functions:
    """A function over two tensors, one of which requires grad."""
    rate = torch.tensor(0.8, dtype=dtype, requires_grad=True)
    shift = torch.tensor(0.3, dtype=dtype)
    return Functions(lambda t, y: torch.tanh(rate * y + shift) * torch.cos(t) - 0.2 * y, (rate,), None)


def _closure_of_tuples(dtype: torch.dtype) -> Functions:
    rate = torch.tensor(0.8, dtype=dtype, requires_grad=True)
    return Functions(lambda t, state: tuple(torch.cos(t) - rate * part for part in state), (rate,), None)


def _module(kind: Callable[[torch.dtype], Counting]) -> Callable[[torch.dtype], Functions]:
    def make(dtype: torch.dtype) -> Functions:
        func = kind(dtype)
        return Functions(func, tuple(func.parameters()), func)

    return make


_ANY = {"elementwise": _module(Elementwise), "closure": _closure, "branching": _module(Branching)}
_LAST_OF_THREE = {
    **_ANY,
    "network": _module(lambda dtype: Network(dtype=dtype)),
    "linear": _module(Linear),
}
_TUPLE = {"coupled": _module(Coupled), "closure of tuples": _closure_of_tuples}

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Kind:
    """A kind of state.

    Attributes:
        shapes: Of its components.
        is_tuple: Whether it is a tuple.
        is_complex: Whether its numbers are complex.
        fields: What makes functions for it, by name, given the real dtype.
    """

    shapes: tuple[Shape, ...]
    fields: dict[str, Callable[[torch.dtype], Functions]]
    is_tuple: bool = False
    is_complex: bool = False


KINDS: dict[str, Kind] = {
    "vector": Kind(((3,),), _LAST_OF_THREE),
    "batch": Kind(((4, 3),), _LAST_OF_THREE),
    "0-d": Kind(((),), _ANY),
    "two batch dimensions": Kind(((2, 2, 3),), _LAST_OF_THREE),
    "flow": Kind(((4, 3), (4, 1)), {**_TUPLE, "flow": _module(Flow)}, is_tuple=True),
    "mixed": Kind(((), (2, 3), (3,)), _TUPLE, is_tuple=True),
    "complex": Kind(
        ((3,),), {"rotation": _module(lambda dtype: ComplexRotation().to(dtype))}, is_complex=True
    ),
}


def make_state(kind: Kind, dtype: torch.dtype) -> tuple[Tensor, ...]:
    """The components of the initial state."""
    parts = tuple(values(*shape, seed=5 + i, scale=0.8) for i, shape in enumerate(kind.shapes))
    if kind.is_complex:
        parts = tuple(torch.complex(part, part.flip(0)) for part in parts)
        return tuple(
            part.to(torch.complex64 if dtype == torch.float32 else torch.complex128) for part in parts
        )
    return tuple(part.to(dtype) for part in parts)
