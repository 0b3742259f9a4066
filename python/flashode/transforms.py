"""Fields of augmented states: a solution together with its derivatives or its density.

Each function here makes the field of a tuple state from the field of its first component. One solve of it
gives what nested automatic differentiation of a solve would: the derivatives obey differential equations of
their own, which forward-mode rules derive from the field. Solves of such fields are captured, compiled and
differentiated like any other's, once more to train what they depend on.

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
from typing import Any, Literal

import torch
from torch import Tensor, nn

__all__ = ["with_divergence", "with_jvp", "with_laplacian"]

Field = Callable[[Tensor, Tensor], Tensor]
_OfTwo = Callable[[Tensor, tuple[Tensor, Tensor]], tuple[Tensor, Tensor]]
_OfThree = Callable[[Tensor, tuple[Tensor, Tensor, Tensor]], tuple[Tensor, Tensor, Tensor]]
Estimator = Literal["exact", "hutchinson"]
# Of a time and a tuple state, with the function first.
_Rate = Callable[[Field, Tensor, Any], tuple[Tensor, ...]]
_ESTIMATORS = ("exact", "hutchinson")


def with_jvp(func: Field) -> _OfTwo:
    """The field of ``(y, v)``: a solution and the derivative of the flow along a direction.

    Args:
        func: ``func(t, y) -> dy/dt`` for y of shape (B, D), in which trajectories do not depend on each
            other, made of operations that ``torch.func.jvp`` knows.

    Returns:
        A function of a time and of the tuple ``(y, v)``, both of shape (B, D) and one dtype, that returns
        their rates: an ``nn.Module`` with the parameters of ``func`` where that is one. v starts as the
        direction in y(t₀), and is the derivative of the solution along it, at any time. Differentiable to any
        order in y, v and what ``func`` depends on.

    Raises:
        TypeError: If ``func`` cannot be called; from the function, if its state is no tuple of two tensors.
        ValueError: From the function, if their shapes do not fit.
    """

    def rate(func: Field, t: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        y, v = _parts("with_jvp", state, ("y", "v"))
        _same_shape("with_jvp", "v", v, y.shape)
        dy, dv = _along(func, t, y, v)
        return dy, dv

    made: _OfTwo = _augmented("with_jvp", func, rate)
    return made


def with_divergence(func: Field, estimator: Estimator = "exact", probe: Tensor | None = None) -> _OfTwo:
    """The field of ``(y, logp)``: a solution and the logarithm of the density that flows along with it.

    Args:
        func: As for :func:`with_jvp`.
        estimator: ``"exact"`` takes D derivatives along the axes, for D of a few; ``"hutchinson"`` one, along
            ``probe``: its estimate is right on average over probes of mean zero and unit covariance.
        probe: The direction, of shape (B, D) or (D,), kept for the whole solve as Grathwohl et al., *FFJORD*
            (ICLR 2019), have it; random signs or normal numbers, anew for each solve. Only with
            ``"hutchinson"``.

    Returns:
        A function of a time and of the tuple ``(y, logp)``, of shapes (B, D) and (B, 1), that returns their
        rates: an ``nn.Module`` with the parameters of ``func`` where that is one. The rate of logp is minus
        the divergence of ``func``. Differentiable to any order in y and what ``func`` depends on, and in the
        probe.

    Raises:
        TypeError: If ``func`` cannot be called or ``probe`` is no tensor; from the function, if its state is
            no tuple of two tensors.
        ValueError: If there is no such estimator, or it does not go with ``probe``; from the function, if
            shapes do not fit.
    """
    if estimator not in _ESTIMATORS:
        raise ValueError(f"estimator must be one of {', '.join(map(repr, _ESTIMATORS))}, got {estimator!r}")
    if estimator == "exact" and probe is not None:
        raise ValueError("probe must be None with estimator 'exact', which takes every direction")
    if estimator == "hutchinson" and not isinstance(probe, Tensor):
        if probe is None:
            raise ValueError("probe must be given with estimator 'hutchinson': a direction of shape (B, D)")
        raise TypeError(f"probe must be a tensor of shape (B, D) or (D,), got {type(probe).__name__}")

    def rate(func: Field, t: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        y, logp = _parts("with_divergence", state, ("y", "logp"))
        _same_shape("with_divergence", "logp", logp, (*y.shape[:-1], 1))
        if probe is None:
            dy, divergence = _trace(func, t, y)
        else:
            dy, divergence = _estimate(func, t, y, probe)
        return dy, -divergence

    made: _OfTwo = _augmented("with_divergence", func, rate)
    return made


def with_laplacian(func: Field) -> _OfThree:
    """The field of ``(y, J, L)``: a solution, its first derivatives and the sum of its second ones.

    Where y(t₀) is a function h of an input x, start with J the derivatives of h along K directions of x, and
    L the sum of its second derivatives along them; with unit vectors for directions, L is the Laplacian of
    the solution in x at any time. For an affine h it starts as zero.

    Args:
        func: As for :func:`with_jvp`; twice differentiable.

    Returns:
        A function of a time and of the tuple ``(y, J, L)``, of shapes (B, D), (B, K, D) and (B, D), that
        returns their rates: an ``nn.Module`` with the parameters of ``func`` where that is one.
        Differentiable to any order in y, J, L and what ``func`` depends on.

    Raises:
        TypeError: If ``func`` cannot be called; from the function, if its state is no tuple of three tensors.
        ValueError: From the function, if their shapes do not fit.
    """

    def rate(func: Field, t: Tensor, state: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        y, jacobian, second = _parts("with_laplacian", state, ("y", "J", "L"))
        if jacobian.dim() != y.dim() + 1 or jacobian.shape[1] < 1:
            raise ValueError(
                f"the state of with_laplacian must have J of shape (B, K, D), K at least 1, got "
                f"{tuple(jacobian.shape)}"
            )
        _same_shape("with_laplacian", "J", jacobian, (y.shape[0], jacobian.shape[1], *y.shape[1:]))
        _same_shape("with_laplacian", "L", second, y.shape)
        dy, along, total = _twice_along(func, t, y, jacobian[:, 0], second)
        first = [along]
        for direction in jacobian.unbind(1)[1:]:
            _, along, curvature = _twice_along(func, t, y, direction)
            first.append(along)
            total = total + curvature
        return dy, torch.stack(first, 1), total

    made: _OfThree = _augmented("with_laplacian", func, rate)
    return made


class _Augmented(nn.Module):
    """A transformed Module, whose parameters are that Module's."""

    def __init__(self, name: str, func: nn.Module, rate: _Rate) -> None:
        super().__init__()
        self.func = func
        self._name = name
        self._rate = rate

    def extra_repr(self) -> str:
        return self._name

    def forward(self, t: Tensor, state: Any) -> tuple[Tensor, ...]:
        """The rates of the augmented state."""
        return self._rate(self.func, t, state)


def _augmented(name: str, func: Field, rate: _Rate) -> Any:
    if isinstance(func, nn.Module):
        return _Augmented(name, func, rate)
    if not callable(func):
        raise TypeError(f"func must be a callable of (t, y), got {type(func).__name__}")

    def augmented(t: Tensor, state: Any) -> tuple[Tensor, ...]:
        return rate(func, t, state)

    return augmented


def _along(func: Field, t: Tensor, y: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """The rate, and its derivative along v."""
    dy, dv = _jvp(lambda y: func(t, y), (y,), (v,))
    return dy, dv


def _jvp(of: Callable[..., Any], at: tuple[Tensor, ...], along: tuple[Tensor, ...]) -> tuple[Any, Any]:
    """What a function gives, and how that changes along a direction."""
    value, change = torch.func.jvp(of, at, along)  # type: ignore[misc]
    return value, change


def _twice_along(
    func: Field, t: Tensor, y: Tensor, v: Tensor, a: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """The rate, and its first and second derivative along a curve of velocity v and acceleration a (or
    none)."""
    if a is None:
        (dy, first), (_, second) = _jvp(lambda y: _along(func, t, y, v), (y,), (v,))
    else:
        (dy, first), (_, second) = _jvp(lambda y, v: _along(func, t, y, v), (y, v), (v, a))
    return dy, first, second


def _trace(func: Field, t: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """The rate, and the trace of its Jacobian, (B, 1)."""
    axes = torch.eye(y.shape[-1], dtype=y.dtype, device=y.device)
    dy, diagonal = y, []
    for i in range(y.shape[-1]):
        dy, column = _along(func, t, y, axes[i].expand_as(y))
        diagonal.append(column[..., i : i + 1])
    return dy, torch.cat(diagonal, -1).sum(-1, keepdim=True)


def _estimate(func: Field, t: Tensor, y: Tensor, probe: Tensor) -> tuple[Tensor, Tensor]:
    """The rate, and v · Df v for the probe v, (B, 1)."""
    if probe.shape not in (y.shape, y.shape[-1:]):
        raise ValueError(
            f"probe must have the shape of y, {tuple(y.shape)}, or of its last dimension, got "
            f"{tuple(probe.shape)}"
        )
    v = probe.expand_as(y)
    dy, dv = _along(func, t, y, v)
    return dy, (v * dv).sum(-1, keepdim=True)


def _parts(name: str, state: Any, names: tuple[str, ...]) -> tuple[Tensor, ...]:
    if not isinstance(state, tuple) or len(state) != len(names):
        got = f"a tuple of {len(state)}" if isinstance(state, tuple) else type(state).__name__
        raise TypeError(f"the state of {name} must be the tuple ({', '.join(names)}), got {got}")
    if state[0].dim() < 2:
        raise ValueError(
            f"the state of {name} must have y of shape (B, D), got {tuple(state[0].shape)}: a single one is "
            "a batch of 1"
        )
    return state


def _same_shape(name: str, part: str, tensor: Tensor, shape: tuple[int, ...]) -> None:
    if tensor.shape != shape:
        raise ValueError(
            f"the state of {name} must have {part} of shape {tuple(shape)}, got {tuple(tensor.shape)}"
        )
