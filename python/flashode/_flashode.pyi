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

class Op:
    def __init__(
        self,
        *,
        kind: str,
        out: int,
        inputs: Sequence[int],
        index: Sequence[int] = ...,
        constants: Sequence[float] = ...,
        fn: str = ...,
        parameter: int = ...,
        bias: int | None = ...,
        blocks: int = ...,
        repeats: int = ...,
        features_in: int = ...,
        features_out: int = ...,
        stride: int = ...,
        count: int = ...,
        right: bool = ...,
    ) -> None: ...

class Program:
    def __init__(
        self,
        *,
        widths: Sequence[int],
        parameter_sizes: Sequence[int],
        ops: Sequence[Op],
        output: int,
        shared: int = ...,
    ) -> None: ...
    width: int

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
        precision: str,
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
    name: str
    value: int
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
    nan_met: bool
    unconverged: int
    unconverged_t: float
    event_t: float
    miss: float
    miss_t: float
    size: float
    seconds: float
    waited: float
    def located(self, *, status: Status, trajectory: int, row: int) -> Outcome: ...

class StepLog:
    steps: int

class cuda:
    """A submodule, there where ``cuda_built``: kernels on a GPU, by the CUDA driver."""

    class Properties:
        architecture: str
        multiprocessors: int
        shared_bytes: int
        shared_bytes_together: int
        reserved_bytes: int
        threads_together: int
        memory_bytes: int

    class Driver:
        def __init__(self, *, library: str) -> None: ...
        version: int
        def properties(self, *, device: int) -> cuda.Properties: ...
        def synchronize(self, *, device: int, stream: int) -> None: ...

    class Kernel:
        def __init__(self, *, driver: cuda.Driver, device: int, image: bytes, name: str) -> None: ...
        registers: int
        local_bytes: int
        shared_bytes: int
        def blocks_together(self, *, threads: int, shared_bytes: int) -> int: ...
        def launch(
            self,
            *,
            blocks: int,
            threads: int,
            shared_bytes: int,
            meeting: bool,
            arguments: bytes,
            stream: int,
        ) -> bool: ...

    class Stand:
        """Where a launch of a forward solve has stopped."""

        paused: bool
        t: float
        tried: float
        half: int
        full: bool
        def __init__(self) -> None: ...
        @staticmethod
        def at(*, address: int) -> cuda.Stand: ...
        def outcome(self, *, seconds: float) -> Outcome: ...

    class AdjointStand:
        """Where a launch of the adjoint equations has stopped."""

        paused: bool
        t: float
        tried: float
        half: int
        def __init__(self) -> None: ...
        @staticmethod
        def at(*, address: int) -> cuda.AdjointStand: ...
        def outcome(self, *, seconds: float) -> Outcome: ...

    ADJOINT_STAND_BYTES: int
    MAX_CHUNKS: int
    MAX_SUMS: int
    REDUCTION_BYTES: int
    REVERSE_ROWS: int
    SLOT_BYTES: int
    STAND_BYTES: int
    STEPS_BETWEEN_FOLDS: int
    STEP_BYTES: int

    @staticmethod
    def forward_arguments(
        *,
        precision: str,
        method: Method,
        batch: int,
        direction: float,
        y0: int,
        c: int,
        times: tuple[int, int],
        grid: tuple[int, int],
        step_t: tuple[int, int],
        jump_t: tuple[int, int],
        states: int,
        rtol: int,
        atol: int,
        rows: int,
        stages: int,
        slots: int,
        round: int,
        budget: int,
        step_of_time: int,
        chunks: Sequence[tuple[int, int, int, int]],
        first_steps: int,
        checkpoint_size: int,
        state_size: int,
        stand: cuda.Stand,
        left: int,
        event: tuple[int, int, int, float, float] | None,
        step_size: float,
        parameters: Sequence[int],
    ) -> bytes: ...
    @staticmethod
    def discrete_arguments(
        *,
        precision: str,
        method: Method,
        batch: int,
        direction: float,
        c: int,
        times: tuple[int, int],
        grad_states: int,
        grad_y0: int,
        grad_c: int,
        steps: int,
        step_count: int,
        step_of_time: int,
        nodes: bool,
        chunks: Sequence[tuple[int, int, int, int]],
        first_steps: int,
        checkpoint_size: int,
        scratch: int,
        accumulators: int,
        sums: int,
        time_sums: int,
        grid_sums: tuple[int, int],
        done: int,
        budget: int,
        parameters: Sequence[int],
    ) -> bytes: ...
    @staticmethod
    def continuous_arguments(
        *,
        precision: str,
        method: Method,
        batch: int,
        direction: float,
        c: int,
        times: tuple[int, int],
        grids: int,
        step_t: tuple[int, int],
        jump_t: tuple[int, int],
        states: int,
        grad_states: int,
        grad_y0: int,
        grad_c: int,
        grad_times: int,
        rows: int,
        stages: int,
        slots: int,
        round: int,
        budget: int,
        adjoint: int,
        gradients: int,
        quadrature: int,
        accumulators: int,
        sets: int,
        segments: tuple[int, int],
        starts: int,
        sources: int,
        stand: cuda.AdjointStand,
        left: int,
        parameters: Sequence[int],
    ) -> bytes: ...

def active_instruction_set() -> str: ...
def arithmetic_rate(*, precision: str, threads: int, seconds: float) -> float: ...
def continuous_vjp(
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
    measured_c: Sequence[tuple[int, int]] = ...,
    transposes: Sequence[tuple[int, int, int, int]] = ...,
) -> Outcome: ...
def discrete_vjp(
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
def evaluate(*, field: Field, y: int, c: int, t: float, steps: int, stages: int) -> Outcome: ...
def forward(
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
