"""What crosses into the compiled module is checked to be there and to be what it was."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

import flashode


class Field(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(2, 2)
        self.shift = nn.Parameter(torch.zeros(3, 2), requires_grad=False)  # a row for each trajectory

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return torch.tanh(self.net(y)) + self.shift


SOLVES = [flashode.odeint, flashode.odeint_adjoint]
LOST = "memory|storage|bounds"


@pytest.fixture(autouse=True)
def native() -> Any:
    with flashode.use_engine("native"):
        yield


def inputs() -> tuple[Field, Tensor, Tensor]:
    torch.manual_seed(0)
    y0 = torch.randn(3, 2).requires_grad_()
    return Field(), y0, torch.linspace(0, 1, 4, dtype=torch.float64)


@pytest.mark.parametrize("left", [0, 4])
@pytest.mark.parametrize("name", ["weight", "bias", "shift", "y0", "t"])
@pytest.mark.parametrize("solve", SOLVES)
@pytest.mark.parametrize("method", ["rk4", "dopri5"])
def test_storage_that_is_gone_before_a_solve(
    method: str, solve: Callable[..., Tensor], name: str, left: int
) -> None:
    field, y0, t = inputs()
    solve(field, y0, t.clone(), method=method)
    tensors = {"weight": field.net.weight, "bias": field.net.bias, "shift": field.shift, "y0": y0, "t": t}
    tensors[name].untyped_storage().resize_(left)
    with pytest.raises((RuntimeError, ValueError)):
        solve(field, y0, t, method=method)


@pytest.mark.parametrize("name", ["shift", "weight"])
@pytest.mark.parametrize("solve", SOLVES)
def test_storage_that_is_gone_before_the_first_solve(solve: Callable[..., Tensor], name: str) -> None:
    field, y0, t = inputs()
    tensor = {"weight": field.net.weight, "shift": field.shift}[name]
    size = tensor.untyped_storage().nbytes()
    content = tensor.detach().clone()
    tensor.untyped_storage().resize_(0)
    with pytest.raises(ValueError, match="has lost its memory"):
        solve(field, y0, t)
    # It is no reason for ever: frameworks that free weights bring them back.
    tensor.untyped_storage().resize_(size)
    with torch.no_grad():
        tensor.copy_(content)
    solve(field, y0, t)


@pytest.mark.parametrize("name", ["rtol", "atol", "step_t", "first_step"])
def test_storage_that_is_gone_from_settings(name: str) -> None:
    field, y0, t = inputs()
    values = {"step_t": torch.tensor([0.2, 0.4]), "first_step": torch.tensor(0.1)}
    value = values.get(name, torch.full((3, 2), 1e-3))
    value.untyped_storage().resize_(0)
    settings: dict[str, Any] = {"options": {name: value}} if name in values else {name: value}
    with pytest.raises((RuntimeError, TypeError)):
        flashode.odeint(field, y0, t, **settings)


@pytest.mark.parametrize("name", ["weight", "bias", "cotangent", "states"])
@pytest.mark.parametrize("solve", SOLVES)
def test_storage_that_is_gone_before_the_backward_pass(solve: Callable[..., Tensor], name: str) -> None:
    field, y0, t = inputs()
    states = solve(field, y0, t, method="rk4")
    cotangent = torch.ones_like(states)
    if name == "states" and solve is flashode.odeint:
        return  # its backward pass does not read them
    tensors = {"weight": field.net.weight, "bias": field.net.bias, "cotangent": cotangent, "states": states}
    tensors[name].untyped_storage().resize_(0)
    with pytest.raises(RuntimeError, match=LOST):
        states.backward(cotangent)


def _cut(x: Tensor, size: int) -> Tensor:
    cut = x.clone()
    cut.untyped_storage().resize_(size)
    return cut


def _zero(like: Tensor) -> Tensor:
    return torch._efficientzerotensor(like.shape, dtype=like.dtype)


def _within(x: Tensor) -> Tensor:
    return torch.cat([x.new_full((3,), 7.0), x.reshape(-1)])[3:].view(x.shape)


def _spread(x: Tensor) -> Tensor:
    return torch.stack([x, x], dim=-1)[..., 0]


# The same numbers, as other memory.
EQUAL: dict[str, Callable[[Tensor], Tensor]] = {
    "copied": lambda x: x.clone(),
    "spread": _spread,
    "negated": lambda x: torch._neg_view(-x),
    "conjugated": lambda x: torch.complex(torch.zeros_like(x), -x).conj().imag,
    "within": _within,
    "turned": lambda x: x.mT.contiguous().mT if x.dim() > 1 else x.flip(0).flip(0),
    "learned": lambda x: x.detach().clone().requires_grad_(),
}
UNPACKED: dict[str, Callable[[Tensor], Any]] = {
    "one": lambda x: x.reshape(-1)[:1],
    "empty": lambda x: x.reshape(-1)[:0],
    "more": lambda x: torch.cat([x.reshape(-1), x.reshape(-1)]),
    "raised": lambda x: x[None],
    "half": lambda x: x.to(torch.float16),
    "other": lambda x: x.to(torch.float64 if x.dtype == torch.float32 else torch.float32),
    "integer": lambda x: x.to(torch.int32),
    "complex": lambda x: torch.complex(x, x),
    "meta": lambda x: x.to("meta"),
    "sparse": lambda x: x.to_sparse(),
    "blocked": lambda x: x.float().to_mkldnn(),
    "nested": lambda x: torch.nested.nested_tensor([x]),
    "gone": lambda x: _cut(x, 0),
    "short": lambda x: _cut(x, 4),
    "nothing": lambda x: None,
    "a list": lambda x: x.tolist(),
}


def _event(field: Field, y0: Tensor, t: Tensor, method: str, adjoint: bool = False) -> Tensor:
    def interface(*args: Any, **kwargs: Any) -> Any:
        return (flashode.odeint_adjoint if adjoint else flashode.odeint)(*args, **kwargs)

    _, states = flashode.odeint_event(
        field, y0, t[0], event_fn=lambda t, y: 0.5 - t, method=method, odeint_interface=interface,
        options={"step_size": 0.1} if method == "rk4" else None,
    )  # fmt: skip
    return states


def _tuple(field: Field, y0: Tensor, t: Tensor, method: str) -> Tensor:
    states, _ = flashode.odeint(lambda t, y: (field(t, y[0]), -y[1]), (y0, y0 * 2), t, method=method)
    return states


FACES: dict[str, Callable[..., Tensor]] = {
    "odeint": flashode.odeint,
    "odeint_adjoint": flashode.odeint_adjoint,
    "odeint_event": _event,
    "odeint_event of odeint_adjoint": lambda *inputs, **kw: _event(*inputs, **kw, adjoint=True),
    "tuple": _tuple,
}


def _gradients(face: str, method: str, cotangent: Callable[[Tensor], Tensor] = lambda x: x) -> list[Tensor]:
    field, y0, t = inputs()
    t.requires_grad_()
    states = FACES[face](field, y0, t, method=method)
    sources = (y0, t, *field.net.parameters())
    return [x.to_dense() for x in torch.autograd.grad(states, sources, cotangent(torch.ones_like(states)))]


METHODS_AND_FACES = [
    pytest.param(method, face, id=f"{method}-{face}") for face in FACES for method in ("rk4", "dopri5")
]


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize("unpack", UNPACKED)
@pytest.mark.parametrize(("method", "face"), METHODS_AND_FACES)
def test_hooks_that_return_something_else(method: str, face: str, unpack: str) -> None:
    field, y0, t = inputs()
    with saved_tensors_hooks(lambda x: x, lambda x: UNPACKED[unpack](x) if x.is_floating_point() else x):
        states = FACES[face](field, y0, t.requires_grad_(), method=method)
    with pytest.raises((RuntimeError, TypeError)):
        states.sum().backward()


@pytest.mark.parametrize("same", EQUAL)
@pytest.mark.parametrize(
    ("method", "face"),
    [*METHODS_AND_FACES, ("implicit_euler", "odeint"), ("implicit_euler", "odeint_adjoint")],
)
def test_hooks_that_return_the_same_elsewhere(method: str, face: str, same: str) -> None:
    results = []
    for unpack in (lambda x: x, lambda x: EQUAL[same](x) if x.is_floating_point() else x):
        field, y0, t = inputs()
        with saved_tensors_hooks(lambda x: x, unpack):
            states = FACES[face](field, y0, t.requires_grad_(), method=method)
        results.append(torch.autograd.grad(states.square().sum(), (y0, t, *field.net.parameters())))
    for gradients in zip(*results, strict=True):
        torch.testing.assert_close(*gradients, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("unpack", ["half", "other", "meta", "gone", "short", "one"])
def test_hooks_before_gradients_of_gradients(unpack: str) -> None:
    field, y0, t = inputs()
    with saved_tensors_hooks(lambda x: x, UNPACKED[unpack]):
        states = flashode.odeint(field, y0, t, method="rk4")
    with pytest.raises(RuntimeError):
        torch.autograd.grad(states.sum(), y0, create_graph=True)


@pytest.mark.parametrize("equal", EQUAL)
@pytest.mark.parametrize("name", ["y0", "t", "weight", "bias", "shift", "cotangent"])
@pytest.mark.parametrize("solve", SOLVES)
@pytest.mark.parametrize("again", [False, True])
def test_the_same_numbers_elsewhere(solve: Callable[..., Tensor], name: str, equal: str, again: bool) -> None:
    results = []
    for change in (lambda x: x, EQUAL[equal]):
        field, y0, t = inputs()
        y0, cotangent = y0.detach(), torch.linspace(-1, 1, 24).reshape(4, 3, 2)
        if again:
            solve(field, y0.clone().requires_grad_(), t, method="dopri5")
        given_ = {"y0": y0, "t": t, "cotangent": cotangent}
        if name in given_:
            given_[name] = change(given_[name]).detach()
        else:
            holder: Any = field if name == "shift" else field.net
            old = getattr(holder, name)
            setattr(holder, name, nn.Parameter(change(old.detach()).detach(), old.requires_grad))
        y0, t, cotangent = given_["y0"].requires_grad_(), given_["t"].requires_grad_(), given_["cotangent"]
        states = solve(field, y0, t, method="dopri5")
        gradients = torch.autograd.grad(states, (y0, t, *field.net.parameters()), cotangent)
        results.append([x.detach().clone() for x in (states, *gradients)])
    for pair in zip(*results, strict=True):
        torch.testing.assert_close(*pair, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["y0", "weight", "shift", "cotangent", "t"])
@pytest.mark.parametrize("solve", SOLVES)
@pytest.mark.parametrize("engine", ["native", "eager"])
@pytest.mark.parametrize("again", [False, True])
def test_zeros_without_memory(engine: str, solve: Callable[..., Tensor], name: str, again: bool) -> None:
    results = []
    for change in (torch.zeros_like, _zero):
        field, y0, t = inputs()
        cotangent = torch.ones(1 if name == "t" else 4, 3, 2)
        with flashode.use_engine(engine):
            if again:
                solve(field, y0.clone().requires_grad_(), t, method="rk4")
            y0 = y0.detach()
            if name == "weight":
                field.net.weight = nn.Parameter(change(field.net.weight.detach()))
            elif name == "shift":
                field.shift = nn.Parameter(change(field.shift.detach()), requires_grad=False)
            y0 = change(y0) if name == "y0" else y0
            t = change(t[:1]) if name == "t" else t
            cotangent = change(cotangent) if name == "cotangent" else cotangent
            y0.requires_grad_()
            states = solve(field, y0, t, method="rk4")
            sources = (y0, *field.net.parameters())
            gradients = torch.autograd.grad(states, sources, cotangent, allow_unused=True)
        results.append([states.detach().clone(), *[None if x is None else x.clone() for x in gradients]])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-7)


# Elsewhere operations of torch's refuse them.
@pytest.mark.parametrize(
    ("engine", "face"), [("native", "odeint"), ("native", "odeint_adjoint"), ("eager", "odeint_adjoint")]
)
def test_sparse_cotangents(engine: str, face: str) -> None:
    with flashode.use_engine(engine):
        for one, other in zip(
            _gradients(face, "rk4"), _gradients(face, "rk4", lambda x: x.to_sparse()), strict=True
        ):
            torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-7)


KINDS: dict[str, Callable[[Tensor], Tensor]] = {
    "sparse": lambda x: x.to_sparse(),
    "blocked": lambda x: x.to_mkldnn(),
    "nested": lambda x: torch.nested.nested_tensor(list(x)),
    "meta": lambda x: x.to("meta"),
    "quantized": lambda x: torch.quantize_per_tensor(x, 0.1, 0, torch.quint8),
}


@pytest.mark.filterwarnings("ignore:torch.quantize", "ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["y0", "shift"])
@pytest.mark.parametrize("again", [False, True])
def test_tensors_that_have_no_plain_memory(name: str, kind: str, again: bool) -> None:
    """None of them may end the process, or be read."""
    field, y0, t = inputs()
    y0, field.shift = y0.detach(), nn.Parameter(torch.zeros(3, 2), requires_grad=False)
    if again:
        flashode.odeint(field, y0, t)
    odd = KINDS[kind](y0)
    if name == "shift":
        del field.shift
        field.shift = odd  # type: ignore[assignment]
    with pytest.raises((RuntimeError, TypeError, ValueError)):
        flashode.odeint(field, odd if name == "y0" else y0, t)
