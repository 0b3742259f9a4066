"""The exact reverse of one step of a tile, given the state at its start.

With y_i = y0 + dt * sum_j a[i][j] k_j, k_i = f(t_i, y_i) and y1 = y0 + dt * sum_i b[i] k_i, the cotangents
obey, from the last stage to the first,
    y_i' = J_i^T k_i',   k_j' += dt * a[i][j] * y_i',   y0' += y_i'.
Hairer, Norsett, Wanner, "Solving Ordinary Differential Equations I", II.1 for the notation.
"""

from __future__ import annotations

from typing import Any

from flashode.engines.numba.loops.calls import call_vjp, integers, numbers
from flashode.engines.numba.loops.combine import add_scaled, combine, dot, step_to
from flashode.engines.numba.loops.interpolation import dense_output, weights, weights_derivative
from flashode.engines.numba.loops.jit import expanded, strict
from flashode.engines.numba.loops.linked import FLOAT, INT, SYSTEM, linked
from flashode.engines.numba.loops.rates import prepare, rates, uniform_of
from flashode.engines.numba.loops.records import LINEAR, QUARTIC, REVERSE, STEP
from flashode.engines.numba.loops.reverse_times import add_ends, add_output, rate_of_loss, stretches
from flashode.engines.numba.loops.step_times import (
    fraction,
    grid_time,
    just_after,
    just_before,
    last_stage_time,
    stage_time,
)
from flashode.engines.numba.loops.tiles import lanes_of, load_rows, own_stages
from flashode.engines.numba.machine_code import rounded_as

# Of a worker's scratch, rows of a tile: gradients in the state at the end of the step at hand, then at its
# start, and in its last slope; what dense output adds at its start, to its middle and to its first slope;
# its end, the slope there, its middle; a cotangent, what a vjp gives, an argument, a slope.
(
    GRAD_Y,
    GRAD_LAST,
    GRAD_START,
    GRAD_MIDDLE,
    GRAD_FIRST,
    END,
    END_SLOPE,
    MIDDLE,
    COTANGENT,
    GRAD_INPUT,
    ARGUMENT,
    SLOPE,
    ROWS,
) = range(13)


@expanded
def row_of(system: Any, reverse: Any, which: int) -> Any:
    """Rows of a tile in the worker's scratch; gradients in stages follow the named ones."""
    size = system.width * system.lanes
    return numbers(reverse.scratch, system.one, which * size, size)


@expanded
def _asks_for_end(system: Any) -> bool:
    """Whether the slope at the end that dense output needs is no stage: in given steps."""
    return system.interpolant != LINEAR and not system.carried


@expanded
def carries(system: Any, reverse: Any, step: Any) -> bool:
    """Whether the first stage is the last of the step before, evaluated elsewhere than at the solution."""
    return system.carried and not system.fsal and reverse.index > 0 and not step.fresh


@strict
def _first_time(system: Any, reverse: Any, step: Any) -> float:
    """The time of the slope at the start.

    That of a chosen step after the first is the slope at the end of the step before, evaluated just before
    it, unless the field jumped there.
    """
    start = rounded_as(step.start, system.one)
    if step.fresh:
        return just_after(start)
    if system.adaptive:
        return start if reverse.index == 0 else just_before(start)
    return grid_time(system, step)


@linked(SYSTEM, REVERSE, FLOAT, INT, result=FLOAT)
def vjp(system: Any, reverse: Any, t: float, gradient: int) -> float:
    """From a gradient in dy/ds at the argument, that in the argument; gives the one in t."""
    tile = reverse.tile
    n, group = lanes_of(system, tile), tile // system.group_tiles
    grad, cotangent = numbers(gradient, system.one, 0, system.width * n), row_of(system, reverse, COTANGENT)
    backwards = system.direction < 0.0
    for e in range(system.width * n):
        cotangent[e] = -grad[e] if backwards else grad[e]
    time = rounded_as(t, system.one)
    prepare(system, time, 0)
    grad_t = call_vjp(
        reverse.vjp_code,
        -time if backwards else time,
        row_of(system, reverse, ARGUMENT).ctypes.data,
        system.c + tile * system.lanes * system.context_width * system.itemsize,
        system.parameters,
        uniform_of(system, 0),
        system.work,
        cotangent.ctypes.data,
        row_of(system, reverse, GRAD_INPUT).ctypes.data,
        reverse.context,
        reverse.places + group * system.parameter_count * 8,
        n,
    )
    return system.direction * grad_t


@strict
def _evaluate(system: Any, tile: int, t: Any, y: Any, out: int) -> None:
    prepare(system, t, 0)
    rates(system, tile, t, 0, y.ctypes.data, out)


@strict
def _place(system: Any, values: Any, first: int) -> int:
    """The address of the first-th of some numbers."""
    return values.ctypes.data + first * system.itemsize


@linked(SYSTEM, REVERSE, STEP, INT, INT)
def recompute(system: Any, reverse: Any, step: Any, start: int, dense: int) -> None:
    """The stages; and, where outputs lie in the step, its end."""
    tile, size = reverse.tile, system.width * system.lanes
    n, k = system.width * lanes_of(system, tile), own_stages(system)
    every = system.width * system.batch
    y0, slope = numbers(start, system.one, 0, n), numbers(start, system.one, every, n)
    dt, last_time = rounded_as(step.dt, system.one), last_stage_time(system, step)
    argument, end = row_of(system, reverse, ARGUMENT), row_of(system, reverse, END)
    if carries(system, reverse, step):
        for e in range(n):
            k[e] = slope[e]
    else:
        _evaluate(system, tile, _first_time(system, reverse, step), y0, _place(system, k, 0))
    for i in range(1, system.stages):
        if i == system.stages - 1 and system.fsal and not reverse.wants_times:
            break
        step_to(system.a[i], i, dt, y0, k, size, n, argument)
        _evaluate(system, tile, stage_time(system, i, step, last_time), argument, _place(system, k, i * size))
    if reverse.wants_times or (dense and _asks_for_end(system)):
        step_to(system.b, system.stages, dt, y0, k, size, n, end)
    if reverse.wants_times and _asks_for_end(system):
        t = rounded_as(step.end, system.one)
        _evaluate(system, tile, t, end, row_of(system, reverse, END_SLOPE).ctypes.data)


@linked(SYSTEM, REVERSE, STEP, INT)
def outputs(system: Any, reverse: Any, step: Any, start: int) -> None:
    """What the outputs in the step leave."""
    tile, size = reverse.tile, system.width * system.lanes
    n, k, one = system.width * lanes_of(system, tile), own_stages(system), system.one
    y0, dt = numbers(start, one, 0, n), rounded_as(step.dt, one)
    cotangent, slope = row_of(system, reverse, COTANGENT), row_of(system, reverse, SLOPE)
    grad_start, grad_y = row_of(system, reverse, GRAD_START), row_of(system, reverse, GRAD_Y)
    grad_middle, middle = row_of(system, reverse, GRAD_MIDDLE), row_of(system, reverse, MIDDLE)
    grad_first, grad_last = row_of(system, reverse, GRAD_FIRST), row_of(system, reverse, GRAD_LAST)
    end, f1 = row_of(system, reverse, END), row_of(system, reverse, END_SLOPE)
    if system.carried:
        f1 = numbers(system.k, one, (system.stages - 1) * size, size)
    for e in range(n):
        grad_start[e] = grad_middle[e] = grad_first[e] = 0.0
    times = numbers(reverse.times, 0.0, 0, reverse.time_count)
    for j in range(reverse.begin, reverse.end):
        x = fraction(step, times[j])
        w = weights(system, x)
        load_rows(system, tile, 0, reverse.grad_states + j * reverse.size * system.itemsize, cotangent)
        add_scaled(rounded_as(w[1], one), cotangent, n, grad_y)
        add_scaled(rounded_as(w[0], one), cotangent, n, grad_start)
        if system.interpolant != LINEAR:
            add_scaled(dt * rounded_as(w[3], one), cotangent, n, grad_first)
            add_scaled(dt * rounded_as(w[4], one), cotangent, n, grad_last)
        if system.interpolant == QUARTIC:
            add_scaled(rounded_as(w[2], one), cotangent, n, grad_middle)
        # An output there is a state of the step itself, on a grid point, whose time does not matter.
        if not reverse.wants_times or (system.interpolant == LINEAR and x == 1.0):
            continue
        of_fraction = of_dt = 0.0
        if not reverse.nodes:
            if system.interpolant == QUARTIC:
                step_to(system.b_mid, system.stages, dt, y0, k, size, n, middle)
            dense_output(system, weights_derivative(system, x), step.dt, n, y0, end, middle, k, f1, slope)
            of_fraction = rate_of_loss(cotangent, slope, n)
        if system.interpolant != LINEAR and stretches(system, reverse):
            w_f0, w_f1 = rounded_as(w[3], one), rounded_as(w[4], one)
            for e in range(n):
                slope[e] = w_f0 * k[e] + w_f1 * f1[e]
            of_dt = rate_of_loss(cotangent, slope, n)
        add_output(system, reverse, j, x, step.dt, of_fraction, of_dt)


@strict
def _seed(system: Any, reverse: Any, dt: Any, n: int, i: int, dense: int, from_last: bool) -> bool:
    """The cotangent of a stage before any later one has added to it; whether there is one."""
    grad, grad_y = row_of(system, reverse, ROWS + i), row_of(system, reverse, GRAD_Y)
    b, b_mid = dt * system.b[i], dt * system.b_mid[i]
    if not dense or system.interpolant != QUARTIC:
        b_mid = dt * 0
    for e in range(n):
        grad[e] = b * grad_y[e]
    if b_mid != 0.0:
        add_scaled(b_mid, row_of(system, reverse, GRAD_MIDDLE), n, grad)
    if i == 0 and dense:
        add_scaled(system.one, row_of(system, reverse, GRAD_FIRST), n, grad)
    elif i == system.stages - 1 and from_last:
        add_scaled(system.one, row_of(system, reverse, GRAD_LAST), n, grad)
    else:
        return b != 0.0 or b_mid != 0.0
    return True


@strict
def _dt_of_seeds(system: Any, reverse: Any, dense: int, n: int) -> float:
    """The gradient in the size of the step that its end and its middle have by themselves."""
    k, size, argument = own_stages(system), system.width * system.lanes, row_of(system, reverse, ARGUMENT)
    combine(system.b, system.stages, system.one, k, size, n, argument)
    result = dot(row_of(system, reverse, GRAD_Y), argument, n)
    if dense and system.interpolant == QUARTIC:
        combine(system.b_mid, system.stages, system.one, k, size, n, argument)
        result += dot(row_of(system, reverse, GRAD_MIDDLE), argument, n)
    return result


@linked(SYSTEM, REVERSE, STEP, INT, INT)
def reverse_stages(system: Any, reverse: Any, step: Any, start: int, dense: int) -> None:
    """From the gradient in the end of the step that in its start: the stages in reverse."""
    one, tile, size = system.one, reverse.tile, system.width * system.lanes
    n, k = system.width * lanes_of(system, tile), own_stages(system)
    y0, dt, last_time = numbers(start, one, 0, n), rounded_as(step.dt, one), last_stage_time(system, step)
    argument, grad_input = row_of(system, reverse, ARGUMENT), row_of(system, reverse, GRAD_INPUT)
    grad_y, grad_last = row_of(system, reverse, GRAD_Y), row_of(system, reverse, GRAD_LAST)
    stretching = reverse.wants_times and stretches(system, reverse)
    of_start, of_dt, of_end = 0.0, 0.0, 0.0
    if dense and _asks_for_end(system):
        end = row_of(system, reverse, END)
        for e in range(n):
            argument[e] = end[e]
        of_end = vjp(system, reverse, rounded_as(step.end, one), grad_last.ctypes.data)
        add_scaled(one, grad_input, n, grad_y)
    if stretching:
        of_dt = _dt_of_seeds(system, reverse, dense, n)
    from_last = system.carried and (dense != 0 or not system.fsal)
    active = 0  # stages with a cotangent, as bits
    for i in range(system.stages):
        if _seed(system, reverse, dt, n, i, dense, from_last):
            active |= 1 << i
    if dense:
        add_scaled(one, row_of(system, reverse, GRAD_START), n, grad_y)
        if system.interpolant == QUARTIC:
            add_scaled(one, row_of(system, reverse, GRAD_MIDDLE), n, grad_y)
    elif reverse.begin < reverse.end:
        add_scaled(one, row_of(system, reverse, GRAD_START), n, grad_y)
    for i in range(system.stages - 1, 0, -1):
        if active >> i & 1 == 0:
            continue
        step_to(system.a[i], i, dt, y0, k, size, n, argument)
        t = stage_time(system, i, step, last_time)
        grad_t = vjp(system, reverse, t, row_of(system, reverse, ROWS + i).ctypes.data)
        of_start += grad_t
        if stretching:
            of_dt += system.c_stages[i] * grad_t
        add_scaled(one, grad_input, n, grad_y)
        for j in range(i):
            a = system.a[i, j]
            if a != 0.0:
                active |= 1 << j
                add_scaled(dt * a, grad_input, n, row_of(system, reverse, ROWS + j))
        if stretching:
            combine(system.a[i], i, one, k, size, n, argument)
            of_dt += dot(grad_input, argument, n)
    first = row_of(system, reverse, ROWS)
    if carries(system, reverse, step):
        for e in range(n):
            grad_last[e] = first[e]
    else:
        for e in range(n):
            argument[e] = y0[e]
        of_start += vjp(system, reverse, _first_time(system, reverse, step), first.ctypes.data)
        add_scaled(one, grad_input, n, grad_y)
        for e in range(n):
            grad_last[e] = 0.0
    if reverse.wants_times:
        add_ends(system, reverse, of_start - of_dt, of_dt + of_end)


@strict
def start_of(system: Any, reverse: Any) -> int:
    """The address of the tile's checkpoint of the step at hand."""
    firsts, chunk = integers(reverse.chunk_firsts, 0, reverse.chunk_count), reverse.chunk_count - 1
    while firsts[chunk] > reverse.index:
        chunk -= 1
    chunks = integers(reverse.chunks, 0, reverse.chunk_count)
    at = (
        reverse.index - firsts[chunk]
    ) * reverse.checkpoint_size + reverse.tile * system.lanes * system.width
    return chunks[chunk] + at * system.itemsize
