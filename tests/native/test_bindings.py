"""Whatever the compiled module is handed, it answers, or says by an exception what it cannot take."""

from __future__ import annotations

import importlib
import itertools
import math
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest
import torch

from flashode.methods.control import FIRST_STEP
from flashode.methods.interpolants import LINEAR
from flashode.methods.newton import NEWTON

D = torch.float64
BATCH, WIDTH, TIMES = 3, 2, 4
HUGE = 2**62
# In the place of every argument, one at a time. Addresses that lead nowhere are the caller's business.
WRONG: tuple[Any, ...] = (
    None,
    0,
    -1,
    HUGE,
    2**100,
    1.5,
    math.nan,
    math.inf,
    "x",
    "",
    b"x",
    [],
    {},
    (),
    [[]],
    [None],
    ["x"],
    [-1],
    [HUGE],
    [math.nan],
    [[-1]],
    [(0, 0, 0, 0)],
    [(-1, -1, -2, -2)],
    [(9, 9, 2, 2)],
    object(),
    print,
    torch.ones(1),
    True,
    False,
    (print, 0),
    (None, 1),
)


def _module() -> Any:
    return importlib.import_module("flashode._flashode")


def _method(module: Any, **other: Any) -> Any:
    return module.Method(**METHOD | other)


METHOD: dict[str, Any] = {
    "order": 1,
    "control": "fixed",
    "equations": "none",
    "carried": False,
    "fsal": False,
    "a": [[]],
    "b": [1.0],
    "c": [0.0],
    "b_error": [],
    "b_mid": [],
    "interpolant": "linear",
    "interpolant_weights": LINEAR.weights(),
    "rtol": 1e-3,
    "atol": 1e-3,
    "first_step": 0.0,
    "automatic_first_step": asdict(FIRST_STEP),
    "min_step": 0.0,
    "max_step": 1.0,
    "safety": 0.9,
    "ifactor": 10.0,
    "dfactor": 0.2,
    "max_num_steps": 100,
    "newton": asdict(NEWTON),
    "perturb": False,
    "step_t": [],
    "jump_t": [],
}


def _program(module: Any, context_width: int = 1) -> Any:
    widths = [1, WIDTH, context_width, WIDTH]
    op = module.Op(
        kind="dense", out=3, inputs=[1], parameter=0, bias=1, features_in=WIDTH, features_out=WIDTH
    )
    return module.Program(widths=widths, parameter_sizes=[WIDTH * WIDTH, WIDTH], ops=[op], output=3)


class Case:
    """Calls of every function with arguments that are right."""

    def __init__(self) -> None:
        module = self.module = _module()
        torch.manual_seed(0)
        self.weight, self.bias = torch.randn(WIDTH, WIDTH, dtype=D), torch.randn(WIDTH, dtype=D)
        self.y0, self.c = torch.randn(BATCH, WIDTH, dtype=D), torch.randn(BATCH, 1, dtype=D)
        self.times = torch.linspace(0, 1, TIMES, dtype=D)
        self.states = torch.zeros(TIMES, BATCH, WIDTH, dtype=D)
        self.chunks: list[torch.Tensor] = []
        self.gradients = [torch.zeros(64, dtype=D) for _ in range(6)]
        at = [x.data_ptr() for x in self.gradients]
        times, states = self.times.data_ptr(), self.states.data_ptr()
        y0, c = self.y0.data_ptr(), self.c.data_ptr()
        self.method = _method(module)
        self.field_arguments: dict[str, Any] = {
            "program": _program(module),
            "parameters": [self.weight.data_ptr(), self.bias.data_ptr()],
            "wants_gradient": [True, True],
            "segments": [WIDTH],
            "batch": BATCH,
            "direction": 1.0,
            "precision": "float64",
            "threads": 1,
            "features_in_lanes": False,
        }
        self.field = module.Field(**self.field_arguments)
        self.forward: dict[str, Any] = {
            "field": self.field,
            "method": self.method,
            "y0": y0,
            "c": c,
            "times": times,
            "time_count": TIMES,
            "grid": times,
            "grid_count": TIMES,
            "states": states,
            "storage": self.storage,
            "rtol": 0,
            "atol": 0,
            "event": None,
            "step_size": 0.1,
            "every_step": False,
            "norm": None,
        }
        _, log, _, _ = module.forward(**self.forward)
        self.discrete: dict[str, Any] = {
            "field": self.field,
            "method": self.method,
            "log": log,
            "checkpoints": [chunk.data_ptr() for chunk in self.chunks],
            "c": c,
            "times": times,
            "time_count": TIMES,
            "grad_states": states,
            "grad_y0": at[0],
            "grad_c": at[5],
            "grad_times": at[1],
            "grad_grid": at[2],
            "grad_parameters": [at[3], at[4]],
        }
        grids = [[-float(b), -float(a)] for a, b in itertools.pairwise(self.times)]
        self.continuous: dict[str, Any] = {
            "field": self.field,
            "method": self.method,
            "seminorm": False,
            "times": times,
            "time_count": TIMES,
            "grids": grids,
            "c": c,
            "states": states,
            "grad_states": states,
            "grad_y0": at[0],
            "grad_c": at[5],
            "grad_times": at[1],
            "grad_parameters": [at[3], at[4]],
            "measured_c": [],
            "transposes": [],
        }

    def storage(self, size: int) -> int:
        self.chunks.append(torch.empty(size, dtype=D))
        return self.chunks[-1].data_ptr()

    def functions(self) -> dict[str, tuple[Callable[..., Any], dict[str, Any]]]:
        module = self.module
        return {
            "Field": (module.Field, self.field_arguments),
            "Method": (module.Method, METHOD),
            "forward": (module.forward, self.forward),
            "discrete_vjp": (module.discrete_vjp, self.discrete),
            "continuous_vjp": (module.continuous_vjp, self.continuous),
            "evaluate": (
                module.evaluate,
                {
                    "field": self.field,
                    "y": self.y0.data_ptr(),
                    "c": self.c.data_ptr(),
                    "t": 0.0,
                    "steps": 3,
                    "stages": 1,
                },
            ),
            "Event": (
                module.Event,
                {"field": module.Field(**self.field_arguments | {"program": _program(module, 0)})},
            ),
            "Program": (
                module.Program,
                {"widths": [1, 2, 0], "parameter_sizes": [4], "ops": [], "output": 1, "shared": 0},
            ),
            "arithmetic_rate": (
                module.arithmetic_rate,
                {"precision": "float64", "threads": 1, "seconds": 1e-3},
            ),
            "memory_rate": (module.memory_rate, {"bytes": 4096, "threads": 1, "seconds": 1e-3}),
            **{name: (_evaluated(module), {"kind": name, **given}) for name, given in OPERATIONS.items()},
        }


OPERATIONS: dict[str, dict[str, Any]] = {
    "dense": {"out": 3, "inputs": [1], "parameter": 0, "bias": None, "features_in": 2, "features_out": 2},
    "dense_dynamic": {"out": 3, "inputs": [1, 1], "blocks": 1, "repeats": 1},
    "gather": {"out": 3, "inputs": [1], "index": [1, 0]},
    "unary": {"out": 3, "inputs": [1], "fn": "neg", "constants": []},
    "binary": {"out": 3, "inputs": [1, 1], "fn": "add"},
    "select": {"out": 3, "inputs": [1, 1, 1]},
    "segment_sum": {"out": 3, "inputs": [1], "index": [1, 0]},
    "bucketize": {"out": 3, "inputs": [1], "parameter": 0, "blocks": 2, "right": True},
    "lookup": {"out": 3, "inputs": [1, 1], "index": [0, 0], "stride": 1, "count": 2},
    "parameter": {"out": 3, "inputs": [], "parameter": 1},
    "constant": {"out": 3, "inputs": [], "constants": [1.0, 2.0]},
}


def _evaluated(module: Any) -> Callable[..., Any]:
    """Evaluates a program of one operation."""

    def evaluate(**given: Any) -> None:
        op = module.Op(**given)
        program = module.Program(widths=[1, 2, 0, 2], parameter_sizes=[4, 2], ops=[op], output=3)
        weight, y = torch.ones(4, dtype=D), torch.ones(BATCH, 2, dtype=D)
        field = module.Field(
            program=program,
            parameters=[weight.data_ptr()] * 2,
            wants_gradient=[False, False],
            segments=[2],
            batch=BATCH,
            direction=1.0,
            precision="float64",
        )
        module.evaluate(field=field, y=y.data_ptr(), c=0, t=0.0, steps=1, stages=1)

    return evaluate


# Whatever else it may be, no address of memory and no count of it: there the caller answers for the number.
_TRUSTED = {"y0", "y", "times", "grid", "states", "rtol", "atol", "checkpoints", "grad_states", "c", "grad_c"}
_TRUSTED |= {"grad_y0", "grad_times", "grad_grid", "grad_parameters", "parameters"}


def _is_address(name: str, value: Any) -> bool:
    """Whether it would be taken for an address that is none."""
    parts = value if isinstance(value, (list, tuple)) else [value]
    numbers = [part for part in parts if isinstance(part, (int, bool)) and 0 < part < 2**64]
    return name in _TRUSTED and bool(numbers)


CASES = ["Field", "Method", "forward", "discrete_vjp", "continuous_vjp", "evaluate", "Event"]
CASES += ["Program", "arithmetic_rate", "memory_rate", *OPERATIONS]


@pytest.mark.parametrize("function", CASES)
def test_every_argument_in_turn(function: str) -> None:
    refused = 0
    case = Case()
    call, arguments = case.functions()[function]
    for argument in arguments:
        for value in WRONG:
            # Of what would be right some takes seconds.
            address = function != "Method" and _is_address(argument, value)
            if address or (argument == "seconds" and isinstance(value, float | bool)):
                continue
            try:
                call(**arguments | {argument: value})
            except (TypeError, ValueError):
                refused += 1
    assert refused > len(WRONG) / 2


NULL = [
    ("forward", "y0"),
    ("forward", "c"),
    ("forward", "times"),
    ("forward", "grid"),
    ("forward", "states"),
    ("discrete_vjp", "c"),
    ("discrete_vjp", "grad_c"),
    ("discrete_vjp", "times"),
    ("discrete_vjp", "grad_states"),
    ("discrete_vjp", "grad_y0"),
    ("continuous_vjp", "times"),
    ("continuous_vjp", "c"),
    ("continuous_vjp", "grad_c"),
    ("continuous_vjp", "states"),
    ("continuous_vjp", "grad_states"),
    ("continuous_vjp", "grad_y0"),
    ("evaluate", "y"),
    ("evaluate", "c"),
]


@pytest.mark.parametrize(("function", "argument"), NULL)
def test_no_address(function: str, argument: str) -> None:
    case = Case()  # the memory that addresses are of
    call, arguments = case.functions()[function]
    with pytest.raises(ValueError, match=f"{argument} has no address"):
        call(**arguments | {argument: 0})


# A method whose stages solve equations together, none of which is at the end of a step.
COUPLED = {
    "control": "error",
    "equations": "full",
    "a": [[0.25, -0.25], [0.25, 0.75]],
    "b": [0.5, 0.5],
    "c": [0.0, 1.0],
    "b_error": [0.5, -0.5],
}

REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("Field", {"parameters": [0, 0]}, "an entry of parameters has no address"),
    ("Field", {"parameters": []}, "parameters has not one address"),
    ("Field", {"wants_gradient": [True]}, "wants_gradient has not one flag"),
    ("Field", {"batch": 0}, "batch is 0"),
    ("Field", {"batch": HUGE}, "batch is"),
    ("Field", {"threads": 100_000}, "threads is 100000"),
    ("Field", {"direction": 0.0}, "direction"),
    ("Field", {"direction": math.nan}, "direction"),
    ("Field", {"precision": "float16"}, "precision is 'float16'"),
    ("Field", {"segments": []}, "segments have 0 rows"),
    ("Field", {"segments": [WIDTH, 1]}, "more rows together than the state"),
    ("forward", {"time_count": 0}, "time_count is 0"),
    ("forward", {"time_count": HUGE}, "time_count is"),
    ("forward", {"grid_count": 0}, "grid_count is 0"),
    ("discrete_vjp", {"time_count": TIMES + 1}, "time_count is 5, the solve that log is of had 4"),
    ("discrete_vjp", {"checkpoints": []}, "checkpoints has 0 addresses, .* asked for 1"),
    ("discrete_vjp", {"checkpoints": [0]}, "an entry of checkpoints has no address"),
    ("discrete_vjp", {"grad_times": 0}, "grad_times and grad_grid"),
    ("discrete_vjp", {"grad_parameters": [0, 0]}, "no address for the gradient of parameter 0"),
    ("continuous_vjp", {"grids": []}, "grids has 0 entries for 3 intervals"),
    ("continuous_vjp", {"measured_c": [(0, 2)]}, "measured_c"),
    ("continuous_vjp", {"measured_c": [(-1, 1)]}, "measured_c"),
    ("continuous_vjp", {"measured_c": [(0, 0)]}, "measured_c"),
    ("continuous_vjp", {"transposes": [(0, 7, 2, 2)]}, "an entry of transposes"),
    ("continuous_vjp", {"transposes": [(0, 0, -2, -2)]}, "an entry of transposes"),
    ("evaluate", {"steps": HUGE}, "steps is"),
    ("evaluate", {"stages": 0}, "stages is 0"),
    ("Method", {"rtol": math.nan}, "rtol"),
    ("Method", {"safety": 0.0}, "safety"),
    ("Method", {"c": [math.nan]}, "c holds"),
    ("Method", {"step_t": [math.inf]}, "step_t holds"),
    ("Method", {"control": "joint"}, "control has no joint"),
    ("Method", {"control": "error"}, "two stages"),
    ("Method", {"carried": True}, "those methods carry"),
    ("Method", COUPLED | {"carried": True}, "those methods carry"),
    ("Method", {"b_error": [0.0]}, "b_error has one weight"),
    ("Method", {"interpolant": "quartic"}, "the quartic goes"),
    ("Method", {"interpolant_weights": {}}, "interpolant_weights has no y0"),
    ("Method", {"automatic_first_step": {}}, "automatic_first_step has no share"),
    ("Method", {"newton": asdict(NEWTON) | {"max_iterations": 0}}, "max_iterations is no count"),
    ("arithmetic_rate", {"threads": 100_000}, "threads is 100000"),
    ("memory_rate", {"bytes": HUGE}, "bytes is"),
    ("dense", {"bias": -3}, "bias"),
    ("dense", {"kind": "sparse"}, "unknown operation 'sparse'"),
    ("unary", {"fn": "add"}, "unknown unary function 'add'"),
    ("binary", {"fn": "neg"}, "unknown binary function 'neg'"),
]


@pytest.mark.parametrize(("function", "other", "message"), REFUSED)
def test_what_is_refused_by_name(function: str, other: dict[str, Any], message: str) -> None:
    case = Case()  # the memory that addresses are of
    call, arguments = case.functions()[function]
    with pytest.raises(ValueError, match=message):
        call(**arguments | other)


def test_an_event_sees_no_context() -> None:
    case = Case()
    with pytest.raises(ValueError, match="sees the state alone"):
        case.module.Event(field=case.field)


def test_no_program() -> None:
    case = Case()
    with pytest.raises(TypeError):
        case.module.Field(**case.field_arguments | {"program": None})


OTHERS: dict[str, Callable[[Case], Any]] = {
    "batch": lambda case: {"field": case.module.Field(**case.field_arguments | {"batch": 100})},
    "layout": lambda case: {"field": case.module.Field(**case.field_arguments | {"features_in_lanes": True})},
    "precision": lambda case: {"field": case.module.Field(**case.field_arguments | {"precision": "float32"})},
    "stages": lambda case: {
        "method": _method(case.module, a=[[], [0.5]], b=[0.0, 1.0], c=[0.0, 0.5], order=2)
    },
}


@pytest.mark.parametrize("other", OTHERS)
def test_the_log_of_another_solve(other: str) -> None:
    case = Case()
    with pytest.raises(ValueError, match="log is that of a solve of another field or method"):
        case.module.discrete_vjp(**case.discrete | OTHERS[other](case))


def _asked(storage: Callable[[int], Any]) -> Any:
    case = Case()
    return case.module.forward(**case.forward | {"storage": storage})


@pytest.mark.parametrize("answer", [None, "x", 1.5, []])
def test_storage_that_gives_no_address(answer: Any) -> None:
    with pytest.raises(TypeError, match="storage gave no address"):
        _asked(lambda size: answer)


def test_storage_that_gives_nowhere_or_raises() -> None:
    with pytest.raises(ValueError, match="what storage gave has no address"):
        _asked(lambda size: 0)

    def full(size: int) -> int:
        raise MemoryError(size)

    with pytest.raises(MemoryError):
        _asked(full)
