"""Tensors changed in place before the backward pass: the right gradient, or an error where it reads them.

Nothing but what it reads may stand in its way.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import pytest
import torch
import torchdiffeq
from torch import Tensor, nn

import flashode

D = torch.float64
LEARNED = ("w", "b", "context")


class Field(nn.Module):
    """A layer, what it is scaled by, and a row for each trajectory."""

    def __init__(self, learned: tuple[str, ...]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.w = nn.Parameter(torch.randn(2, 2, dtype=D))
        self.b = nn.Parameter(torch.randn(2, dtype=D))
        self.register_buffer("scale", torch.rand(2, dtype=D) + 0.5)
        self.fixed = torch.rand(2, dtype=D) + 0.5
        self.context = nn.Parameter(torch.randn(3, 2, dtype=D))
        self.frozen = nn.Parameter(torch.rand(2, dtype=D))
        self.unread = nn.Parameter(torch.ones(2, dtype=D))
        for name in ("w", "b", "context", "frozen"):
            getattr(self, name).requires_grad_(name in learned)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        layer = torch.tanh(nn.functional.linear(y, self.w, self.b))
        return layer * self.scale * self.fixed * torch.cos(t) + self.context - self.frozen * y


class Solved(NamedTuple):
    """A solve: what of it may be changed, by name, what has a gradient, and its solution."""

    tensors: dict[str, Tensor]
    learned: list[Tensor]
    states: Tensor


def _event(library: Any, adjoint: bool, field: Field, y0: Tensor, t: Tensor, **settings: Any) -> Tensor:
    solve = partial(library.odeint_adjoint, adjoint_params=_read(field)) if adjoint else library.odeint
    event_t, states = library.odeint_event(
        field, y0, t[0], event_fn=lambda t, y: 0.5 - t + 0 * y.sum(), odeint_interface=solve, **settings
    )
    out: Tensor = states * event_t
    return out


def _tuple(library: Any, field: Field, y0: Tensor, t: Tensor, **settings: Any) -> Tensor:
    plain = settings | {name: 1e-3 for name in ("rtol", "atol") if name in settings}
    states = library.odeint(lambda t, y: (field(t, y[0]), -y[1]), (y0, y0), t, **plain)
    return torch.cat(states, -1)


def _dense(library: Any, field: Field, y0: Tensor, t: Tensor, **settings: Any) -> Tensor:
    out: Tensor = flashode.odeint_dense(field, y0, t[0], t[-1], **settings)(torch.tensor([0.2, 0.7], dtype=D))
    return out


def _read(field: Field) -> tuple[Tensor, ...]:
    return tuple(x for x in (field.w, field.b, field.context, field.frozen, field.unread) if x.requires_grad)


def _adjoint(library: Any, field: Field, y0: Tensor, t: Tensor, **settings: Any) -> Tensor:
    if "rtol" in settings:
        settings |= {"adjoint_rtol": 1e-3, "adjoint_atol": 1e-3}
    out: Tensor = library.odeint_adjoint(field, y0, t, adjoint_params=_read(field), **settings)
    return out


FACES: dict[str, Callable[..., Tensor]] = {
    "odeint": lambda library, *arguments, **settings: library.odeint(*arguments, **settings),
    "odeint_adjoint": _adjoint,
    "tuple": _tuple,
    "odeint_dense": _dense,
    "odeint_event": lambda library, *arguments, **settings: _event(library, False, *arguments, **settings),
    "odeint_event of odeint_adjoint": lambda library, *arguments, **settings: _event(
        library, True, *arguments, **settings
    ),
}
PATTERNS: dict[str, tuple[str, ...]] = {
    "state and layer": ("y0", "w", "b"),
    "state": ("y0",),
    "layer": ("w", "b"),
    "all": ("t", "y0", "w", "b", "context", "frozen", "step_size"),
    "times": ("t",),
    "context": ("context",),
}


def solved(face: str, method: str, learned: tuple[str, ...], library: Any = flashode) -> Solved:
    field = Field(learned)
    y0 = torch.linspace(-1, 1, 6, dtype=D).reshape(3, 2).requires_grad_("y0" in learned)
    t = torch.linspace(0, 1, 3, dtype=D).requires_grad_("t" in learned)
    tensors = {"t": t, "y0": y0, **dict(field.named_parameters()), "scale": field.scale, "fixed": field.fixed}
    settings: dict[str, Any] = {"method": method}
    if method == "dopri5":
        tensors |= {"rtol": torch.full((3, 2), 1e-3, dtype=D), "atol": torch.full((3, 2), 1e-3, dtype=D)}
        tensors |= {"step_t": torch.tensor([0.25], dtype=D), "jump_t": torch.tensor([0.4], dtype=D)}
        settings |= {name: tensors[name] for name in ("rtol", "atol")}
        settings["options"] = {name: tensors[name] for name in ("step_t", "jump_t")}
    else:
        step = torch.tensor(0.5, dtype=D)
        learns = "step_size" in learned and library is flashode and "event" not in face
        tensors["step_size"] = step.requires_grad_(learns)
        settings["options"] = {"step_size": tensors["step_size"] if learns else 0.5}
    tensors["solution"] = FACES[face](library, field, y0, t, **settings)
    wanted = [x for name, x in tensors.items() if x.requires_grad and x.is_leaf]
    return Solved(tensors, wanted, tensors["solution"])


@torch.no_grad()
def change(tensor: Tensor) -> None:
    tensor.mul_(3.0).add_(0.1)


def gradients(solution: Solved, higher: bool = False) -> list[Tensor | None]:
    weights = torch.linspace(-1, 1, solution.states.numel(), dtype=D).reshape(solution.states.shape)
    # The solution itself, whose content may have been changed, is no part of the loss's derivative.
    total = torch.autograd.grad(
        solution.states, solution.learned, weights, allow_unused=True, create_graph=higher
    )
    if higher:
        loss = sum((x.square().sum() for x in total if x is not None), torch.zeros((), dtype=D))
        total = torch.autograd.grad(loss, solution.learned, allow_unused=True)
    return list(total)


def assert_right(actual: list[Tensor | None], right: list[Tensor | None]) -> None:
    for one, other in zip(actual, right, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-11)


def attempted(solution: Solved) -> tuple[list[Tensor | None], bool]:
    """The gradients, and whether they were refused because something had been changed."""
    try:
        return gradients(solution), False
    except RuntimeError as error:
        if re.search(REFUSED, str(error)):
            return [], True
        raise


# Neither the reverse of a solve nor the adjoint equations read these.
NEVER_READ = {"t", "y0", "unread", "rtol", "atol", "step_t", "jump_t", "step_size"}
REFUSED = "modified by an inplace operation|is not what it was in the forward pass"


@pytest.mark.filterwarnings("ignore::flashode.FallbackWarning")
@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("method", ["rk4", "dopri5"])
@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("engine", ["native", "eager"])
def test_a_change_before_the_backward_pass(engine: str, face: str, method: str, pattern: str) -> None:
    learned = PATTERNS[pattern]
    kinder = engine == "native" and "event" not in face
    with flashode.use_engine("auto" if engine == "native" else "eager"):
        first = solved(face, method, learned)
        right = gradients(first)
        for name in first.tensors:
            solution = solved(face, method, learned)
            change(solution.tensors[name])
            actual, refused = attempted(solution)
            if refused:
                # A function that is called again in the backward pass has to be what it was.
                called = engine == "eager" or "event" in face
                assert name not in NEVER_READ or (name == "unread" and called), name
                # Inputs with a gradient, and the solution of the adjoint equations, are all that is read.
                read = {"solution"} if "adjoint" in face else set()
                assert not kinder or name in {*learned, *read} - {"context"}, name
            else:
                assert_right(actual, right)


@pytest.mark.parametrize("name", ["t", "y0", "scale", "fixed", "solution", "step_size"])
@pytest.mark.parametrize("pattern", ["state and layer", "all"])
def test_a_change_before_gradients_of_gradients(pattern: str, name: str) -> None:
    learned = PATTERNS[pattern]
    with flashode.use_engine("native"):
        right = gradients(solved("odeint", "rk4", learned), higher=True)
        solution = solved("odeint", "rk4", learned)
        change(solution.tensors[name])
        assert_right(gradients(solution, higher=True), right)


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("face", ["odeint", "odeint_adjoint"])
def test_no_more_refusals_than_torchdiffeq(face: str, pattern: str) -> None:
    """Except where the layer's bias is, of which autograd needs no value, and the compiled module does."""
    learned = PATTERNS[pattern]
    for name in solved(face, "rk4", learned).tensors:
        refused = []
        for library in (torchdiffeq, flashode):
            solution = solved(face, "rk4", learned, library)
            change(solution.tensors[name])
            if attempted(solution)[1]:
                refused.append(library)
        assert refused != [flashode] or name in ("b", "frozen"), name


@pytest.mark.parametrize("engine", ["native", "eager"])
def test_a_replaced_norm_reads_the_parameters(engine: str) -> None:
    with flashode.use_engine(engine):
        solution = solved("odeint_adjoint", "rk4", PATTERNS["layer"])
        assert solution.states.grad_fn is not None
        solution.states.grad_fn.adjoint_options["norm"] = lambda x: x[1].abs().max()  # type: ignore[attr-defined]
        change(solution.tensors["w"])
        with pytest.raises(RuntimeError, match=REFUSED):
            gradients(solution)
