"""odeint_adjoint differentiates the field of the forward pass, or says that it is gone."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn

import flashode

T = torch.tensor([0.0, 1.0], dtype=torch.float64)
RIGHT = math.exp(-1)  # of y' = -y


class Decay(nn.Module):
    """y' = -a b[0] c w y, all of them one at first."""

    def __init__(self) -> None:
        super().__init__()
        self.a = 1.0
        self.b = torch.ones(2, dtype=torch.float64)
        self.register_buffer("c", torch.ones((), dtype=torch.float64))
        self.w = nn.Parameter(torch.ones((), dtype=torch.float64))
        self.frozen = nn.Parameter(torch.ones((), dtype=torch.float64), requires_grad=False)
        self.held = [1.0]
        self.inner = nn.Linear(1, 1, bias=False, dtype=torch.float64).requires_grad_(False)
        nn.init.ones_(self.inner.weight)
        self.context = torch.ones(3, 1, dtype=torch.float64)  # a row for each trajectory
        self.nfe = 0

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        self.nfe += 1
        scale = self.a * self.b[0] * self.c * self.w * self.frozen * self.held[0]
        return -scale * self.context * self.inner(y)


@torch.no_grad()
def _filled(tensor: Tensor) -> None:
    tensor.fill_(3.0)


def _replaced(field: Decay) -> None:
    field.inner = nn.Linear(1, 1, bias=False, dtype=torch.float64)


CHANGES: dict[str, Callable[[Decay], object]] = {
    "a number": lambda f: setattr(f, "a", 3.0),
    "a tensor, in place": lambda f: _filled(f.b),
    "a tensor, a part in place": lambda f: _filled(f.b[:1]),
    "a tensor, by other memory": lambda f: setattr(f.b, "data", 3 * torch.ones(2, dtype=torch.float64)),
    "a tensor, replaced": lambda f: setattr(f, "b", 3 * torch.ones(2, dtype=torch.float64)),
    "a buffer, in place": lambda f: _filled(f.c),
    "a parameter, in place": lambda f: _filled(f.w),
    "a parameter, replaced": lambda f: setattr(f, "w", nn.Parameter(torch.tensor(3.0, dtype=torch.float64))),
    "a frozen parameter, in place": lambda f: _filled(f.frozen),
    "an item of a list": lambda f: f.held.__setitem__(0, 3.0),
    "a submodule's weight": lambda f: _filled(f.inner.weight),
    "a submodule": _replaced,
    "a context, in place": lambda f: _filled(f.context),
    "loaded": lambda f: f.load_state_dict({k: 3 * v for k, v in f.state_dict().items()}),
    "a hook": lambda f: f.register_forward_hook(lambda module, inputs, out: 3 * out),
    "the method": lambda f: setattr(f, "forward", lambda t, y: -3 * y),
}


@pytest.fixture(params=["native", "eager"])
def engine(request: pytest.FixtureRequest) -> Iterator[str]:
    with flashode.use_engine(request.param):
        yield request.param


@pytest.mark.parametrize("method", ["rk4", "dopri5"])
@pytest.mark.parametrize("change", CHANGES)
def test_a_change_before_the_backward_pass(change: str, method: str, engine: str) -> None:
    field = Decay()
    y0 = torch.ones(3, 1, dtype=torch.float64, requires_grad=True)
    states = flashode.odeint_adjoint(field, y0, T, method=method)
    right = torch.autograd.grad(flashode.odeint(field, y0, T, method=method)[-1].sum(), y0)[0]
    CHANGES[change](field)
    # Autograd itself watches the tensors that receive gradients, and what it multiplied them with.
    watched = change in ("a parameter, in place", "loaded")
    if engine == "native":
        # There the factors are one tensor, whose gradient in w reads all of them but w.
        watched = change in ("a frozen parameter, in place", "loaded")
    if watched or engine == "eager":
        words = (
            "modified by an inplace operation" if watched else "func is not what it was in the forward pass"
        )
        with pytest.raises(RuntimeError, match=words):
            states[-1].sum().backward()
        return
    states[-1].sum().backward()
    assert y0.grad is not None
    torch.testing.assert_close(y0.grad, right, rtol=1e-3 if method == "rk4" else 1e-6, atol=0.0)


HARMLESS: dict[str, Callable[[Decay], object]] = {
    "nothing": lambda f: None,
    "the counter": lambda f: setattr(f, "nfe", 0),
    "a parameter, frozen": lambda f: f.w.requires_grad_(False),
    "a hook on a parameter": lambda f: f.w.register_hook(lambda gradient: 2 * gradient),
    "another attribute": lambda f: setattr(f, "losses", [1.0]),
    "a gradient": lambda f: setattr(f.w, "grad", torch.ones((), dtype=torch.float64)),
    "evaluations": lambda f: f(T[0], torch.ones(3, 1, dtype=torch.float64)),
    "another solve": lambda f: flashode.odeint_adjoint(f, torch.ones(3, 1, dtype=torch.float64), T),
}


@pytest.mark.parametrize("change", HARMLESS)
def test_what_is_harmless_stays_so(change: str, engine: str) -> None:
    field = Decay()
    y0 = torch.ones(3, 1, dtype=torch.float64, requires_grad=True)
    states = flashode.odeint_adjoint(field, y0, T)
    HARMLESS[change](field)
    states[-1].sum().backward()
    assert y0.grad is not None
    torch.testing.assert_close(y0.grad, torch.full_like(y0, RIGHT), rtol=1e-6, atol=0.0)


class Stateful(nn.Module):
    """What it changes in itself is its own affair: a buffer that counts, noise that is drawn once, a list."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("evaluations", torch.zeros(()))
        self.noise: Tensor | None = None
        self.seen: list[float] = []

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        self.evaluations += 1
        if self.noise is None:
            self.noise = torch.zeros_like(y)
        self.seen.append(float(t))
        return self.noise - y


@pytest.mark.filterwarnings("ignore::flashode.FallbackWarning")
def test_fields_that_change_themselves() -> None:
    field = Stateful()
    y0 = torch.ones(3, 1, dtype=torch.float64, requires_grad=True)
    states = [flashode.odeint_adjoint(field, y0, T) for _ in range(2)]
    field.evaluations.zero_()
    torch.stack(states)[:, -1].sum().backward()
    assert y0.grad is not None
    torch.testing.assert_close(y0.grad, torch.full_like(y0, 2 * RIGHT), rtol=1e-6, atol=0.0)


def test_what_is_to_be_looked_at_is_found_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A walk through a network takes as long as many calls of it."""
    flashode.capture._looks.clear()
    walks = []
    watch = flashode.capture.watch
    monkeypatch.setattr(flashode.capture, "watch", lambda func: walks.append(func) or watch(func))
    y0 = torch.ones(3, 1, dtype=torch.float64, requires_grad=True)
    counts = []
    with flashode.use_engine("eager"):
        for field in (Decay(), Decay(), Decay()):
            flashode.odeint_adjoint(field, y0, T)
            scale = field.w * 1
            flashode.odeint_adjoint(lambda t, y, s=scale: -s * y, y0, T, adjoint_params=(field.w,))  # type: ignore[misc]
            counts.append(len(walks))
    assert counts == [2, 2, 2]


EVENTS = {
    "odeint_event": lambda f, y0: flashode.odeint_event(
        f, y0, T[0], event_fn=lambda t, y: y[0, 0] - 0.5 * f.a, atol=1e-10
    ),
    "odeint_adjoint": lambda f, y0: flashode.odeint_adjoint(
        f, y0, T, event_fn=lambda t, y: y[0, 0] - 0.5 * f.a, atol=1e-10
    ),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("solve", EVENTS)
def test_a_change_before_an_event_time_is_differentiated(solve: str, change: str, engine: str) -> None:
    field = Decay()
    y0 = torch.ones(3, 1, dtype=torch.float64, requires_grad=True)
    event_t, _ = EVENTS[solve](field, y0)
    CHANGES[change](field)
    with pytest.raises(RuntimeError, match=r"is not what it was in the forward pass|by an inplace operation"):
        event_t.backward()


@pytest.mark.parametrize("change", HARMLESS)
@pytest.mark.parametrize("solve", EVENTS)
def test_what_is_harmless_to_an_event_time(solve: str, change: str, engine: str) -> None:
    field = Decay()
    y0 = torch.ones(3, 1, dtype=torch.float64, requires_grad=True)
    event_t, _ = EVENTS[solve](field, y0)
    HARMLESS[change](field)
    event_t.backward()
    assert y0.grad is not None
    right = torch.tensor([[1.0], [0.0], [0.0]], dtype=torch.float64)
    torch.testing.assert_close(y0.grad, right, rtol=1e-6, atol=1e-6)
