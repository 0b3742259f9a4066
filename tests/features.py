"""What a solve may ask of an engine: the rows of the table in ``capabilities``, each with a small solve."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

import flashode
from flashode.methods import METHODS
from problems import ComplexRotation, Network, Pair, Scalar, parts, values

# Arguments of a solve by name, and "face", the name of what was called.
Call = Mapping[str, Any]
Solution = tuple[Tensor, ...]
_SOLVE = ("odeint", "odeint_adjoint", "odeint_dense")


@dataclass(frozen=True)
class Feature:
    """One row of the table.

    Attributes:
        asks: Whether a call asks for it. None where arguments do not show that: tests that do are marked
            ``needs``.
        solve: A small solve that asks for it: its states, or the gradients of their squares.
    """

    asks: Callable[[Call], bool] | None
    solve: Callable[[], Solution]


def call_of(error: BaseException) -> Call:
    """The call that raised the error: what the innermost function of flashode's that solves was given."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    for frame in reversed(frames):
        name = frame.f_code.co_name
        if name in _SOLVE and frame.f_globals["__name__"].startswith("flashode."):
            names, _, _, variables = inspect.getargvalues(frame)
            return {"face": name, **{key: variables[key] for key in names}}
    raise AssertionError("no solve raised it") from error


def asked(call: Call) -> set[str]:
    """The features that a call asks for, as far as its arguments show."""
    return {name for name, feature in FEATURES.items() if feature.asks is not None and feature.asks(call)}


_T = torch.tensor([0.0, 0.4, 0.7], dtype=torch.float64)
_TOLERANCES = {"rtol": 1e-6, "atol": 1e-7}


def _solve(face: Any = flashode.odeint, func: Any = None, y0: Any = None, **others: Any) -> Solution:
    y0 = values(4, 3) if y0 is None else y0
    solution = face(func or Network(), y0, **{"t": _T, **_TOLERANCES, **others})
    if "event_fn" in others:
        return solution[0], *parts(solution[1])
    return parts(solution)


def _gradients(face: Any, func: Any = None, y0: Any = None, order: int = 1, **others: Any) -> Solution:
    func, y0 = func or Network(), values(4, 3).requires_grad_() if y0 is None else y0
    derivatives = _solve(face, func, y0, **others)
    candidates = [y0, others.get("t", _T), *func.parameters(), *others.get("options", {}).values()]
    tensors = [x for x in candidates if isinstance(x, Tensor) and x.requires_grad]
    for left in reversed(range(order)):
        loss = sum(x.square().sum() for x in derivatives)
        derivatives = torch.autograd.grad(loss, tensors, create_graph=left > 0)  # type: ignore[arg-type]
    return derivatives


def _options(call: Call, name: str = "options") -> Mapping[str, Any]:
    return call.get(name) or {}


def _learns(call: Call) -> bool:
    func = call["func"]
    tensors = [*parts(call["y0"]), call.get("t"), *(func.parameters() if isinstance(func, nn.Module) else ())]
    return torch.is_grad_enabled() and any(isinstance(x, Tensor) and x.requires_grad for x in tensors)


def _vary(call: Call, *names: str) -> bool:
    """Whether these tolerances differ between elements or components."""
    return any(isinstance(call.get(name), (Tensor, tuple)) for name in names)


def _method(name: str) -> Feature:
    def asks(call: Call) -> bool:
        return name in (call.get("method") or "dopri5", call.get("adjoint_method"))

    return Feature(asks, lambda: _solve(method=name))


def _option(name: str, value: Any, **others: Any) -> Feature:
    options = {name: value, **others.pop("options", {})}
    return Feature(lambda call: name in _options(call), lambda: _solve(options=options, **others))


def _state(asks: Callable[[Tensor], bool], y0: Any, func: Any = None, **others: Any) -> Feature:
    return Feature(lambda call: any(map(asks, parts(call["y0"]))), lambda: _solve(func=func, y0=y0, **others))


def _adjoint(asks: Callable[[Call], bool], **others: Any) -> Feature:
    return Feature(
        lambda call: call["face"] == "odeint_adjoint" and asks(call),
        lambda: _gradients(flashode.odeint_adjoint, **others),
    )


class Numbers(Network):
    """Notes the times of its evaluations."""

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        self.last = float(t)
        return super().forward(t, y)


def _has_callback(call: Call, name: str) -> bool:
    return any(hasattr(call["func"], "callback_" + name.format(kind)) for kind in ("", "accept_", "reject_"))


def _with_callback(name: str) -> Network:
    func = Network()
    setattr(func, name, lambda t, y, dt: None)
    return func


def _pushed_forward() -> Solution:
    with forward_ad.dual_level():
        y0 = forward_ad.make_dual(values(4, 3), values(4, 3, seed=1))
        (states,) = _solve(y0=y0)
        tangent = forward_ad.unpack_dual(states).tangent
        assert tangent is not None
        return (tangent.clone(),)


def _largest(state: Any) -> Tensor:
    return torch.stack([part.abs().amax() for part in parts(state)]).amax()


def _grid(func: Any, y0: Tensor, t: Tensor) -> Tensor:
    return torch.linspace(float(t[0]), float(t[-1]), 9, dtype=t.dtype)


def _asks_event(call: Call) -> bool:
    return call.get("event_fn") is not None


def _asks_learned_step(call: Call) -> bool:
    step = _options(call).get("step_size")
    return isinstance(step, Tensor) and step.requires_grad


_PAIR = (values(4, 3), values(4, 1))
_ELEMENTS = torch.tensor([1e-6, 1e-5, 1e-7], dtype=torch.float64)
_STEP = torch.tensor(0.1, dtype=torch.float64, requires_grad=True)
_UNTIL = torch.tensor([0.0, 2.0], dtype=torch.float64)
_COUPLED = ("gl2", "gl4", "gl6", "radauIIA3", "radauIIA5")

FEATURES: dict[str, Feature] = {
    **{name: _method(name) for name in METHODS},
    # options
    "first_step": _option("first_step", 0.05),
    "min_step": _option("min_step", 0.02),
    "max_step": _option("max_step", 0.1),
    "safety": _option("safety", 0.8),
    "ifactor": _option("ifactor", 3.0),
    "dfactor": _option("dfactor", 0.5),
    "max_num_steps": _option("max_num_steps", 1000),
    "norm": _option("norm", _largest),
    "step_t": _option("step_t", torch.tensor([0.31])),
    "jump_t": _option("jump_t", torch.tensor([0.31])),
    "time in float32": Feature(
        lambda call: _options(call).get("dtype") == torch.float32,
        lambda: _solve(
            func=Network(dtype=torch.float32), y0=values(4, 3).float(), options={"dtype": torch.float32}
        ),
    ),
    "step_size": _option("step_size", 0.1, method="rk4"),
    "grid_constructor": _option("grid_constructor", _grid, method="rk4"),
    "interp": _option("interp", "cubic", method="rk4", options={"step_size": 0.3}),
    "perturb": _option("perturb", True, method="rk4"),
    "max_iters": _option("max_iters", 30, method="implicit_midpoint"),
    "tolerances of elements": Feature(
        lambda call: _vary(call, "rtol", "atol"), lambda: _solve(rtol=_ELEMENTS, atol=_ELEMENTS)
    ),
    # faces
    "event": Feature(_asks_event, lambda: _solve(t=_UNTIL, event_fn=lambda t, y: y[0, 0] - 0.3 * t)),
    "event that reads numbers": Feature(
        None, lambda: _solve(t=_UNTIL, event_fn=lambda t, y: y[0, 0] - 0.3 * float(t))
    ),
    "dense output": Feature(
        lambda call: call["face"] == "odeint_dense",
        lambda: (flashode.odeint_dense(Network(), values(4, 3), 0.0, 0.7, **_TOLERANCES)(_T),),
    ),
    "callbacks": Feature(
        lambda call: _has_callback(call, "{}step"), lambda: _solve(func=_with_callback("callback_step"))
    ),
    # states
    "one trajectory": _state(lambda y: y.ndim == 1, values(3)),
    "0-d state": _state(lambda y: y.ndim == 0, values(), Scalar()),
    "many batch dimensions": _state(lambda y: y.ndim > 2, values(2, 5, 3)),
    "tuple state": Feature(lambda call: isinstance(call["y0"], tuple), lambda: _solve(func=Pair(), y0=_PAIR)),
    "single precision": _state(
        lambda y: y.dtype == torch.float32, values(4, 3).float(), Network(dtype=torch.float32), rtol=1e-4
    ),
    "half precision": _state(
        lambda y: y.dtype in (torch.float16, torch.bfloat16),
        values(4, 3).half(),
        Network(dtype=torch.float16),
        method="rk4",
    ),
    "complex state": _state(torch.is_complex, torch.complex(values(3), values(3, seed=1)), ComplexRotation()),
    "empty state": _state(lambda y: y.numel() == 0, values(0, 3)),
    "decreasing times": Feature(
        lambda call: "t" in call and bool(call["t"][0] > call["t"][-1]), lambda: _solve(t=_T.flip(0))
    ),
    "many coupled equations": Feature(
        lambda call: call.get("method") in _COUPLED and call["y0"].shape[-1] > 20,
        lambda: _solve(func=Scalar(), y0=values(2, 100), method="radauIIA5"),
    ),
    "numbers in the field": Feature(None, lambda: _solve(func=Numbers())),
    # gradients
    "discrete gradient": Feature(
        lambda call: call["face"] != "odeint_adjoint" and _learns(call), lambda: _gradients(flashode.odeint)
    ),
    "continuous gradient": _adjoint(_learns),
    "gradient in times": Feature(
        lambda call: isinstance(call.get("t"), Tensor) and call["t"].requires_grad,
        lambda: _gradients(flashode.odeint, t=_T.clone().requires_grad_()),
    ),
    "gradient in step_size": Feature(
        _asks_learned_step,
        lambda: _gradients(flashode.odeint, method="rk4", options={"step_size": _STEP}),
    ),
    "gradient in step_size, event": Feature(
        lambda call: _asks_learned_step(call) and _asks_event(call),
        lambda: _solve(
            t=_UNTIL, event_fn=lambda t, y: y[0, 0] - 0.3 * t, method="rk4", options={"step_size": _STEP}
        ),
    ),
    "gradient of gradients": Feature(None, lambda: _gradients(flashode.odeint, order=2)),
    "forward mode": Feature(None, _pushed_forward),
    # of the adjoint equations
    "seminorm": _adjoint(
        lambda call: _options(call, "adjoint_options").get("norm") == "seminorm",
        adjoint_options={"norm": "seminorm"},
    ),
    "adjoint norm": _adjoint(
        lambda call: callable(_options(call, "adjoint_options").get("norm")),
        adjoint_options={"norm": _largest},
    ),
    "norm in the adjoint": _adjoint(lambda call: "norm" in _options(call), options={"norm": _largest}),
    "adjoint tolerances of elements": _adjoint(
        lambda call: _vary(call, "rtol", "atol", "adjoint_rtol", "adjoint_atol"),
        rtol=_ELEMENTS,
    ),
    "adjoint time in float32": _adjoint(
        lambda call: (
            torch.float32 in (_options(call, n).get("dtype") for n in ("options", "adjoint_options"))
        ),
        func=Network(dtype=torch.float32),
        y0=values(4, 3).float().requires_grad_(),
        adjoint_options={"dtype": torch.float32},
        rtol=1e-4,
        atol=1e-4,
    ),
    "adjoint grid_constructor": _adjoint(
        lambda call: "grid_constructor" in {**_options(call), **_options(call, "adjoint_options")},
        adjoint_method="rk4",
        adjoint_options={"grid_constructor": _grid},
    ),
    "adjoint callbacks": _adjoint(
        lambda call: _has_callback(call, "{}step_adjoint"),
        func=_with_callback("callback_step_adjoint"),
    ),
}
