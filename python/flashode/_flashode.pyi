"""The compiled module: whole solves and their gradients.

Addresses are those of contiguous tensors that the caller keeps alive, 0 for none; shapes stand beside the
arguments of the requests in ``csrc/solve/request.hpp`` and ``csrc/cpu/engine.hpp``.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

MAX_PARAMETER_ELEMENTS: int
MAX_ROWS: int
MAX_THREADS: int
compiler: str
cuda_built: bool
version: str

class Program:
    @property
    def width(self) -> int: ...

class ProgramBuilder:
    def __init__(
        self, *, widths: Sequence[int], parameter_sizes: Sequence[int], shared: int = ...
    ) -> None: ...
    def dense(
        self,
        *,
        out: int,
        x: int,
        weight: int,
        bias: int | None,
        repeats: int,
        features_in: int,
        features_out: int,
    ) -> None: ...
    def dense_dynamic(self, *, out: int, x: int, weight: int, blocks: int, repeats: int) -> None: ...
    def gather(self, *, out: int, inputs: Sequence[int], index: Sequence[int]) -> None: ...
    def unary(self, *, out: int, x: int, fn: str, constants: Sequence[float]) -> None: ...
    def binary(self, *, out: int, a: int, b: int, fn: str) -> None: ...
    def select(self, *, out: int, condition: int, a: int, b: int) -> None: ...
    def segment_sum(self, *, out: int, x: int, segment: Sequence[int]) -> None: ...
    def parameter(self, *, out: int, parameter: int) -> None: ...
    def constant(self, *, out: int, values: Sequence[float]) -> None: ...
    def finish(self, *, output: int) -> Program: ...

class Method:
    def __init__(
        self,
        *,
        order: int,
        control: str,
        equations: str,
        carried: bool,
        fsal: bool,
        a: Sequence[Sequence[float]],
        b: Sequence[float],
        c: Sequence[float],
        b_error: Sequence[float],
        b_mid: Sequence[float],
        interpolant: str,
        interpolant_weights: Mapping[str, Sequence[float]],
        rtol: float,
        atol: float,
        first_step: float,
        automatic_first_step: Mapping[str, float],
        min_step: float,
        max_step: float,
        safety: float,
        ifactor: float,
        dfactor: float,
        max_num_steps: int,
        newton: Mapping[str, float],
        perturb: bool,
        step_t: Sequence[float] = ...,
        jump_t: Sequence[float] = ...,
    ) -> None: ...

class Field:
    def __init__(
        self,
        *,
        program: Program,
        parameters: Sequence[int],
        wants_gradient: Sequence[bool],
        segments: Sequence[int],
        batch: int,
        direction: float,
        threads: int = ...,
        features_in_lanes: bool = ...,
    ) -> None: ...

class Event:
    def __init__(self, *, field: Field) -> None: ...

class Status:
    done: Status
    nonfinite_field: Status
    nonfinite_state: Status
    nonfinite_event: Status
    underflow: Status
    too_many_steps: Status
    @property
    def name(self) -> str: ...
    @property
    def value(self) -> int: ...
    def __init__(self, value: int) -> None: ...

class Outcome:
    done: bool
    status: Status
    t: float
    dt: float
    trajectory: int
    row: int
    times_reached: int
    evaluations: int
    accepted: int
    rejected: int
    unconverged: int
    unconverged_t: float
    event_t: float
    miss: float
    miss_t: float
    size: float
    seconds: float
    waited: float

class StepLog:
    @property
    def steps(self) -> int: ...

def active_instruction_set() -> str: ...
def arithmetic_rate(*, precision: str, threads: int, seconds: float) -> float: ...
def continuous_vjp_float32(
    *,
    field: Field,
    method: Method,
    seminorm: bool,
    times: int,
    time_count: int,
    grids: Sequence[Sequence[float]],
    c: int,
    states: int,
    grad_states: int,
    grad_y0: int,
    grad_c: int,
    grad_times: int,
    grad_parameters: Sequence[int],
    judged_c: Sequence[tuple[int, int]] = ...,
    transposes: Sequence[tuple[int, int, int, int]] = ...,
) -> Outcome: ...
def continuous_vjp_float64(
    *,
    field: Field,
    method: Method,
    seminorm: bool,
    times: int,
    time_count: int,
    grids: Sequence[Sequence[float]],
    c: int,
    states: int,
    grad_states: int,
    grad_y0: int,
    grad_c: int,
    grad_times: int,
    grad_parameters: Sequence[int],
    judged_c: Sequence[tuple[int, int]] = ...,
    transposes: Sequence[tuple[int, int, int, int]] = ...,
) -> Outcome: ...
def discrete_vjp_float32(
    *,
    field: Field,
    method: Method,
    log: StepLog,
    checkpoints: Sequence[int],
    c: int,
    times: int,
    time_count: int,
    grad_states: int,
    grad_y0: int,
    grad_c: int,
    grad_times: int,
    grad_grid: int,
    grad_parameters: Sequence[int],
) -> None: ...
def discrete_vjp_float64(
    *,
    field: Field,
    method: Method,
    log: StepLog,
    checkpoints: Sequence[int],
    c: int,
    times: int,
    time_count: int,
    grad_states: int,
    grad_y0: int,
    grad_c: int,
    grad_times: int,
    grad_grid: int,
    grad_parameters: Sequence[int],
) -> None: ...
def evaluate_float32(*, field: Field, y: int, c: int, t: float, steps: int, stages: int) -> Outcome: ...
def evaluate_float64(*, field: Field, y: int, c: int, t: float, steps: int, stages: int) -> Outcome: ...
def forward_float32(
    *,
    field: Field,
    method: Method,
    y0: int,
    c: int,
    times: int,
    time_count: int,
    grid: int,
    grid_count: int,
    states: int,
    storage: Callable[[int], int] | None = ...,
    rtol: int = ...,
    atol: int = ...,
    event: Event | tuple[Callable[[float], float], int] | None = ...,
    step_size: float = ...,
    every_step: bool = ...,
    norm: tuple[Callable[[], float], int] | None = ...,
) -> tuple[Outcome, StepLog | None, Any, Any]: ...
def forward_float64(
    *,
    field: Field,
    method: Method,
    y0: int,
    c: int,
    times: int,
    time_count: int,
    grid: int,
    grid_count: int,
    states: int,
    storage: Callable[[int], int] | None = ...,
    rtol: int = ...,
    atol: int = ...,
    event: Event | tuple[Callable[[float], float], int] | None = ...,
    step_size: float = ...,
    every_step: bool = ...,
    norm: tuple[Callable[[], float], int] | None = ...,
) -> tuple[Outcome, StepLog | None, Any, Any]: ...
def instruction_sets() -> list[str]: ...
def memory_rate(*, bytes: int, threads: int, seconds: float) -> float: ...
