"""``precompile``: what a solve compiles, compiled before it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

import torch

from flashode.engines import consider, name_of, taken
from flashode.problem import (
    DEFAULT_ATOL,
    DEFAULT_RTOL,
    DISCRETE,
    Gradient,
    State,
    make_continuous,
    make_problem,
    times_or_start,
)
from flashode.verify import Verify
from flashode.wording import shown


@dataclass(frozen=True)
class Precompiled:
    """What :func:`flashode.precompile` has done; printed, it says so.

    Attributes:
        function: What the function calls itself.
        engine: Name of the engine that would run the solve.
        kernels: By the name of each kernel of the solve the seconds that compiling it took; None where it was
            compiled before. Empty where the engine compiles nothing for a function.
        seconds: That all of it took, with the capture of the function.
    """

    function: str
    engine: str
    kernels: Mapping[str, float | None]
    seconds: float

    def __str__(self) -> str:
        if not self.kernels:
            return (
                f"{self.function} runs in the {self.engine} engine, which compiles nothing for a function; "
                f"looking at it took {self.seconds:.2g} s."
            )
        each = ", ".join(
            f"{name} ({'compiled before' if seconds is None else f'{seconds:.2g} s'})"
            for name, seconds in self.kernels.items()
        )
        return f"{self.function} runs in the {self.engine} engine: {each}; all took {self.seconds:.2g} s."

    __repr__ = __str__


def precompile(
    func: Callable[..., Any],
    y0: State,
    t: torch.Tensor | float | None = None,
    *,
    rtol: Any = DEFAULT_RTOL,
    atol: Any = DEFAULT_ATOL,
    method: str | None = None,
    options: Mapping[str, Any] | None = None,
    event_fn: Callable[..., Any] | None = None,
    verify: Verify = "first",
    gradients: Literal["discrete", "continuous"] | None = "discrete",
    adjoint_rtol: Any = None,
    adjoint_atol: Any = None,
    adjoint_method: str | None = None,
    adjoint_options: Mapping[str, Any] | None = None,
    adjoint_params: Iterable[torch.Tensor] | None = None,
) -> Precompiled:
    """Compile what a solve of these arguments needs, and its backward pass, without solving.

    The first solve of a function on a GPU compiles kernels for it, for about a second each, and so does one
    that Numba compiles, after the loops that all functions share; later processes find them on the disk.
    Kernels depend on the function and on the shape, dtype and device of ``y0``, not on numbers. For the
    compiled module there is nothing to compile: the function is captured, as by its first solve.

    Args:
        func: As for :func:`flashode.odeint`. It may be called a few times.
        y0: Likewise; its values matter where the function is defined.
        t: The times of a solve, or one time; None is 0.
        rtol: As for :func:`flashode.odeint`.
        atol: Likewise.
        method: Likewise.
        options: Likewise.
        event_fn: Likewise.
        verify: Likewise.
        gradients: Whose gradients: ``"discrete"`` those of :func:`flashode.odeint`, ``"continuous"`` those of
            :func:`flashode.odeint_adjoint`; None is a solve within ``torch.no_grad()``. They are compiled for
            the tensors that require grad now.
        adjoint_rtol: As for :func:`flashode.odeint_adjoint`, of continuous gradients.
        adjoint_atol: Likewise.
        adjoint_method: Likewise.
        adjoint_options: Likewise.
        adjoint_params: Likewise.

    Returns:
        Which engine runs the solve, and what was compiled in which time.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument has an impossible value, or ``use_engine`` insists on an engine that cannot
            run the solve.
        RuntimeError: If a kernel does not compile.
    """
    began = time.perf_counter()
    if not (gradients is None or isinstance(gradients, str)):
        raise TypeError(f"gradients must be 'discrete', 'continuous' or None, got {shown(gradients)}")
    if gradients not in ("discrete", "continuous", None):
        raise ValueError(f"gradients must be 'discrete', 'continuous' or None, got {shown(gradients)}")
    adjoint: dict[str, Any] = {
        "adjoint_rtol": adjoint_rtol,
        "adjoint_atol": adjoint_atol,
        "adjoint_method": adjoint_method,
        "adjoint_options": adjoint_options,
        "adjoint_params": adjoint_params,
    }
    if gradients != "continuous":
        for name, value in adjoint.items():
            if value is not None:
                raise ValueError(f"{name} must be None where gradients is {gradients!r}, not 'continuous'")
    t = times_or_start(t, y0, to_event=event_fn is not None)
    problem = make_problem(
        func, y0, t, rtol=rtol, atol=atol, method=method, options=options, verify=verify, event_fn=event_fn
    )
    gradient: Gradient = DISCRETE
    if gradients == "continuous":
        gradient = make_continuous(problem, method=method, options=options, **adjoint)
    with torch.set_grad_enabled(gradients is not None):
        plan = taken(consider(problem, gradient))
        kernels = plan.kernels(reverse=gradients is not None)
    compiled: dict[str, float | None] = {}
    if kernels:
        with ThreadPoolExecutor(len(kernels)) as pool:
            seconds = pool.map(lambda kernel: kernel.compile(), kernels)
            compiled = dict(zip([kernel.name for kernel in kernels], seconds, strict=True))
    return Precompiled(name_of(problem.func), plan.engine, compiled, time.perf_counter() - began)
