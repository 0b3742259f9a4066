"""Fields of augmented states: a solution together with its derivatives or its density.

Each function here makes the field of a tuple state from the field of its first component. One solve of it
gives the same as nested automatic differentiation of a solve: the derivatives obey differential equations of
their own, which forward-mode rules derive from the field. Such solves are captured, compiled and
differentiated like any others.

With f the field, v a direction and φ the flow, y = φ(y₀):

=====================  ==============================================================================
``with_jvp``           dv/dt = Df(y) v, the variational equation
``with_divergence``    d log p/dt = -tr Df(y), the instantaneous change of variables
``with_laplacian``     dJₖ/dt = Df(y) Jₖ,   dL/dt = Df(y) L + Σₖ D²f(y)[Jₖ, Jₖ]
=====================  ==============================================================================

Hairer, Nørsett, Wanner, *Solving Ordinary Differential Equations I*, I.14, for the first and the last; Chen
et al., *Neural Ordinary Differential Equations* (NeurIPS 2018), theorem 1, for the second; Hutchinson, *A
stochastic estimator of the trace of the influence matrix* (1989), for its estimate.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from flashode.wording import shown

__all__ = ["with_divergence", "with_jvp", "with_laplacian"]

Field = Callable[[Tensor, Tensor], Tensor]
Pair = tuple[Tensor, Tensor]
Triple = tuple[Tensor, Tensor, Tensor]
Estimator = Literal["exact", "hutchinson"]
_ESTIMATORS = ("exact", "hutchinson")


def with_jvp(func: Field) -> Callable[[Tensor, Pair], Pair]:
    """The field of ``(y, v)``: a solution and the derivative of the flow along a direction.

    Args:
        func: ``func(t, y) -> dy/dt`` for y of shape (B, D), in which trajectories do not depend on each
            other, of operations that ``torch.func.jvp``, and autograd through it, differentiate correctly
            (torch 2.13 does not for ``layer_norm``).

    Returns:
        A function of a time and of the tuple ``(y, v)``, both of shape (B, D) and one dtype, that returns
        their rates: an ``nn.Module`` with the parameters of ``func`` where that is one. v starts as the
        direction in y(t₀), and is the derivative of the solution along it, at any time. Differentiable in y,
        v and what ``func`` depends on, to any order that ``func`` is.

    Raises:
        TypeError: If ``func`` cannot be called; from the function, if its state is no tuple of two tensors of
            one dtype, or ``func`` returns no tensor.
        ValueError: From the function, if their shapes, or that of what ``func`` returns, do not fit.
    """
    return _augmented(_Jvp, func)


def with_divergence(
    func: Field, estimator: Estimator = "exact", probe: Tensor | None = None
) -> Callable[[Tensor, Pair], Pair]:
    """The field of ``(y, logp)``: a solution and the logarithm of the density that flows along with it.

    Args:
        func: As for :func:`with_jvp`; a divergence of trajectories that depend on each other means nothing.
        estimator: ``"exact"`` takes D derivatives along the axes, for D of a few; ``"hutchinson"`` one, along
            ``probe``: its estimate is right on average over probes of mean zero and unit covariance.
        probe: The direction, of shape (B, D) or (D,) in the dtype of y: random signs or normal numbers, the
            same during a solve as Grathwohl et al., *FFJORD* (ICLR 2019), have it, new ones for each. Only
            with ``"hutchinson"``.

    Returns:
        A function of a time and of the tuple ``(y, logp)``, of shapes (B, D) and (B, 1), that returns their
        rates: an ``nn.Module`` with the parameters of ``func`` where that is one, of which the probe is a
        buffer that is not saved. The rate of logp is minus the divergence of ``func``. Differentiable in y,
        the probe and what ``func`` depends on, to any order that ``func`` is.

    Raises:
        TypeError: If ``func`` cannot be called or ``probe`` is no tensor; from the function, if its state is
            no tuple of two tensors of one dtype, or ``func`` returns no tensor.
        ValueError: If there is no such estimator, or it does not go with ``probe``; from the function, if
            shapes do not fit.
    """
    if estimator not in _ESTIMATORS:
        raise ValueError(
            f"estimator must be one of {', '.join(map(repr, _ESTIMATORS))}, got {shown(estimator)}"
        )
    if estimator == "exact" and probe is not None:
        raise ValueError("probe must be None with estimator 'exact', which takes every direction")
    if estimator == "hutchinson" and not isinstance(probe, Tensor):
        if probe is None:
            raise ValueError("probe must be given with estimator 'hutchinson': a direction of shape (B, D)")
        raise TypeError(f"probe must be a tensor of shape (B, D) or (D,), got {type(probe).__name__}")
    return _augmented(_Divergence, func, probe)


def with_laplacian(func: Field) -> Callable[[Tensor, Triple], Triple]:
    """The field of ``(y, J, L)``: a solution, its first derivatives and the sum of its second ones.

    Where y(t₀) is a function h of an input x, start with J the derivatives of h along K directions of x, and
    L the sum of its second derivatives along them; with unit vectors for directions, L is the Laplacian of
    the solution in x at any time. For an affine h it starts as zero.

    Args:
        func: As for :func:`with_jvp`; twice differentiable. It is called K times for each rate.

    Returns:
        A function of a time and of the tuple ``(y, J, L)``, of shapes (B, D), (B, K, D) and (B, D), that
        returns their rates: an ``nn.Module`` with the parameters of ``func`` where that is one. J[b, k] is
        the derivative of y[b] along direction k. Differentiable in y, J, L and what ``func`` depends on, to
        any order that ``func`` is.

    Raises:
        TypeError: If ``func`` cannot be called; from the function, if its state is no tuple of three tensors
            of one dtype, or ``func`` returns no tensor.
        ValueError: From the function, if their shapes, or that of what ``func`` returns, do not fit.
    """
    return _augmented(_Laplacian, func)


def _rate_with_jvp(func: Field, probe: None, t: Tensor, state: Pair) -> Pair:
    y, v = _parts("with_jvp", state, ("y", "v"))
    _fits("with_jvp", "v", v, y, y.shape)
    return _along(func, t, y, v)


def _rate_with_divergence(func: Field, probe: Tensor | None, t: Tensor, state: Pair) -> Pair:
    y, logp = _parts("with_divergence", state, ("y", "logp"))
    _fits("with_divergence", "logp", logp, y, (len(y), 1))
    dy, divergence = _trace(func, t, y) if probe is None else _estimate(func, t, y, probe)
    return dy, -divergence


def _rate_with_laplacian(func: Field, probe: None, t: Tensor, state: Triple) -> Triple:
    y, jacobian, second = _parts("with_laplacian", state, ("y", "J", "L"))
    if jacobian.dim() != 3 or jacobian.shape[1] < 1:
        raise ValueError(
            f"the state of with_laplacian must have J of shape (B, K, D), K at least 1, got "
            f"{tuple(jacobian.shape)}"
        )
    _fits("with_laplacian", "J", jacobian, y, (len(y), jacobian.shape[1], y.shape[1]))
    _fits("with_laplacian", "L", second, y, y.shape)
    dy, along, total = _twice_along(func, t, y, jacobian[:, 0], second)
    first = [along]
    for direction in jacobian.unbind(1)[1:]:
        _, along, curvature = _twice_along(func, t, y, direction)
        first.append(along)
        total = total + curvature
    return dy, torch.stack(first, 1), total


class _Augmented(nn.Module):
    """A field of an augmented state, with the parameters of the Module that it is made from."""

    rate: Callable[..., Any]
    probe: Tensor | None

    def __init__(self, func: nn.Module, probe: Tensor | None) -> None:
        super().__init__()
        self.func = func
        self.register_buffer("probe", probe, persistent=False)

    def forward(self, t: Tensor, state: Any) -> Any:
        """The rates of the components."""
        return self.rate(self.func, self.probe, t, state)


class _Jvp(_Augmented):
    rate = staticmethod(_rate_with_jvp)


class _Divergence(_Augmented):
    rate = staticmethod(_rate_with_divergence)


class _Laplacian(_Augmented):
    rate = staticmethod(_rate_with_laplacian)


def _augmented(kind: type[_Augmented], func: Field, probe: Tensor | None = None) -> Callable[..., Any]:
    if isinstance(func, nn.Module):
        return kind(func, probe)
    if not callable(func):
        raise TypeError(f"func must be a callable of (t, y), got {type(func).__name__}")
    return partial(kind.rate, func, probe)


def _along(func: Field, t: Tensor, y: Tensor, v: Tensor) -> Pair:
    """The rate, and its derivative along v."""

    def rate(y: Tensor) -> Tensor:
        out = func(t, y)
        if not isinstance(out, Tensor):
            raise TypeError("func must return a tensor of the shape of y")
        if out.shape != y.shape:
            raise ValueError(f"func must return the shape of y, {tuple(y.shape)}, got {tuple(out.shape)}")
        return out

    dy, dv = _jvp(rate, (y,), (v,))
    return dy, dv


def _jvp(of: Callable[..., Any], at: tuple[Tensor, ...], along: tuple[Tensor, ...]) -> tuple[Any, Any]:
    """The value of a function, and its derivative along a direction."""
    value, change = torch.func.jvp(of, at, along)  # type: ignore[misc]
    return value, change


def _twice_along(func: Field, t: Tensor, y: Tensor, v: Tensor, a: Tensor | None = None) -> Triple:
    """The rate, and its two derivatives along a curve of velocity v and acceleration a, or none."""
    if a is None:
        (dy, first), (_, second) = _jvp(lambda y: _along(func, t, y, v), (y,), (v,))
    else:
        (dy, first), (_, second) = _jvp(lambda y, v: _along(func, t, y, v), (y, v), (v, a))
    return dy, first, second


def _trace(func: Field, t: Tensor, y: Tensor) -> Pair:
    """The rate, and the trace of its Jacobian, (B, 1)."""
    axes = torch.eye(y.shape[1], dtype=y.dtype, device=y.device)
    dy, diagonal = y, []
    for i in range(y.shape[1]):
        dy, column = _along(func, t, y, axes[i].expand_as(y))
        diagonal.append(column[:, i : i + 1])
    return dy, torch.cat(diagonal, 1).sum(1, keepdim=True)


def _estimate(func: Field, t: Tensor, y: Tensor, probe: Tensor) -> Pair:
    """The rate, and v · Df v for the probe v, (B, 1)."""
    if probe.shape not in (y.shape, y.shape[1:]):
        raise ValueError(
            f"probe must have the shape of y, {tuple(y.shape)}, or of its last dimension, got "
            f"{tuple(probe.shape)}"
        )
    if probe.dtype != y.dtype:
        raise TypeError(f"probe must have the dtype of y, {y.dtype}, got {probe.dtype}")
    v = probe.expand_as(y)
    dy, dv = _along(func, t, y, v)
    return dy, (v * dv).sum(1, keepdim=True)


def _parts(name: str, state: Any, names: tuple[str, ...]) -> tuple[Tensor, ...]:
    """The state's components, of which the first is checked."""
    wanted = ", ".join(names)
    if not isinstance(state, tuple) or not all(isinstance(part, Tensor) for part in state):
        raise TypeError(f"the state of {name} must be the tuple of tensors ({wanted})")
    if len(state) != len(names):
        raise TypeError(f"the state of {name} must be the tuple ({wanted}), got one of {len(state)}")
    if state[0].dim() != 2 or state[0].shape[1] == 0:
        raise ValueError(
            f"the state of {name} must have y of shape (B, D), got {tuple(state[0].shape)}: a single one is "
            "a batch of 1"
        )
    return state


def _fits(name: str, part: str, tensor: Tensor, y: Tensor, shape: tuple[int, ...]) -> None:
    if tensor.shape != shape:
        raise ValueError(
            f"the state of {name} must have {part} of shape {tuple(shape)}, got {tuple(tensor.shape)}"
        )
    if tensor.dtype != y.dtype:
        raise TypeError(
            f"the state of {name} must have {part} in the dtype of y, {y.dtype}, got {tensor.dtype}"
        )
