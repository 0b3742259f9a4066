"""The rates of a tile: of its states, or of the augmented states of its adjoint equations."""

from __future__ import annotations

from typing import Any

from flashode.engines.numba.loops.calls import call_field, call_shared, call_vjp, doubles, numbers
from flashode.engines.numba.loops.jit import expanded, strict
from flashode.engines.numba.loops.linked import FLOAT, INT, SYSTEM, linked
from flashode.engines.numba.loops.tiles import lanes_of, own
from flashode.engines.numba.machine_code import rounded_as


@expanded
def uniform_of(system: Any, stage: int) -> int:
    """The address of what all trajectories share at a stage."""
    return system.uniform + stage * system.uniform_size * system.itemsize


@strict
def prepare(system: Any, t: Any, stage: int) -> None:
    """Computes what rates of a stage have in common for all trajectories; before any of them."""
    time = rounded_as(-t if system.direction < 0.0 else t, system.one)
    if system.shared_code == 0:
        numbers(uniform_of(system, stage), system.one, 0, 1)[0] = time
    else:
        call_shared(system.shared_code, time, system.parameters, uniform_of(system, stage))


@linked(SYSTEM, INT, FLOAT, INT, INT, INT)
def rates(system: Any, tile: int, time_in: float, stage: int, state: int, place: int) -> None:
    """Writes the rates of a tile.

    With g the field in reversed time s = -t, g(s, y) = -f(-s, y), an augmented state obeys
        dy/ds = g,   da/ds = -a^T dg/dy,   d(dL/dt)/ds = a^T dg/ds,   d(dL/dtheta)/ds = -a^T dg/dtheta
    (Chen et al., "Neural Ordinary Differential Equations", NeurIPS 2018, appendix B), and dL/dc as
    dL/dtheta: all of them from one vjp of g with the cotangent -a.

    Args:
        system: The system.
        tile: Which.
        time_in: Solver time, in the state's precision.
        stage: What was prepared for it.
        state: Address of the states.
        place: Where the rates are written.
    """
    n, t = lanes_of(system, tile), rounded_as(time_in, system.one)
    size, reversed_ = system.width * n, system.direction < 0.0
    time = -t if reversed_ else t
    c = system.c + tile * system.lanes * system.context_width * system.itemsize
    parameters, uniform, work = system.parameters, uniform_of(system, stage), system.work
    out = numbers(place, system.one, 0, system.rows * n)
    if system.vjp_code == 0:
        call_field(system.code, time, state, c, parameters, uniform, work, place, n)
    else:
        cotangent, y = own(system, system.argument, 2), numbers(state, system.one, 0, system.rows * n)
        for e in range(size):
            cotangent[e] = y[size + e] if reversed_ else -y[size + e]
        for e in range(2 * size, system.rows * n):
            out[e] = 0.0
        call_field(system.code, time, state, c, parameters, uniform, work, place, n)
        set_ = tile // system.group_tiles * system.sets + stage
        grad_t = call_vjp(
            system.vjp_code,
            time,
            state,
            c,
            parameters,
            uniform,
            work,
            cotangent.ctypes.data,
            place + size * system.itemsize,
            place + 2 * size * system.itemsize,
            system.places + set_ * system.parameter_count * 8,
            n,
        )
        of_time = doubles(system.gathered, set_ * system.quadrature_size, 1)
        of_time[0] -= system.direction * grad_t
    if reversed_:
        for e in range(size):
            out[e] = -out[e]
