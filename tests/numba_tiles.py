"""Fields and their vjps as machine code: called for one tile of trajectories, and compared."""

from __future__ import annotations

import ctypes
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from flashode.engines.numba.fields.field_code import FieldCode, Function, field_code, vjp_code
from flashode.program import C, Program, T, Y

_POINTER = ctypes.c_void_p
_REALS = {torch.float32: ctypes.c_float, torch.float64: ctypes.c_double}
_BEYOND = 64  # numbers behind those that a function may write


@dataclass(frozen=True)
class Inputs:
    """What a field is evaluated at: rows of trajectories."""

    t: float
    y: Tensor
    c: Tensor
    parameters: Sequence[Tensor]


@dataclass(frozen=True)
class Gradients:
    """What a vjp gives; None where no gradient is asked for."""

    t: float
    y: Tensor
    c: Tensor | None
    parameters: list[Tensor | None]


class _Memory:
    """Numbers that are nothing yet, and more behind them that stay so."""

    def __init__(self, size: int, dtype: torch.dtype) -> None:
        self.numbers = torch.full((size + _BEYOND,), torch.nan, dtype=dtype)

    def first(self, *shape: int) -> Tensor:
        """What has been written; nothing is behind it."""
        size = self.numbers.numel() - _BEYOND
        assert self.numbers[size:].isnan().all()
        return self.numbers[:size].reshape(shape)


def evaluate(program: Program, code: FieldCode, inputs: Inputs) -> Tensor:
    """The rates of all trajectories, as one tile."""
    y, lanes = inputs.y, len(inputs.y)
    work, out = _Memory(code.field.work(lanes), y.dtype), _Memory(y.numel(), y.dtype)
    uniform = _uniform(code, inputs)
    rows, rows_of_c, parameters = y.T.contiguous(), inputs.c.T.contiguous(), _parameters(code, inputs)
    kind = ctypes.CFUNCTYPE(None, _REALS[y.dtype], *[_POINTER] * 6, ctypes.c_ssize_t)
    pointers = [rows, rows_of_c, parameters, uniform.numbers, work.numbers, out.numbers]
    kind(code.field.address)(inputs.t, *[tensor.data_ptr() for tensor in pointers], lanes)
    work.first(-1)
    return out.first(program.widths[Y], lanes).T


def gradients(
    program: Program,
    code: FieldCode,
    vjp: Function,
    inputs: Inputs,
    cotangent: Tensor,
    sources: Collection[int],
    wanted: Collection[int],
) -> Gradients:
    """The vjp of all trajectories, as one tile."""
    y, lanes = inputs.y, len(inputs.y)
    work, grad_y = _Memory(vjp.work(lanes), y.dtype), _Memory(y.numel(), y.dtype)
    uniform = _uniform(code, inputs)
    rows, rows_of_c, parameters = y.T.contiguous(), inputs.c.T.contiguous(), _parameters(code, inputs)
    given = cotangent.T.contiguous()
    # What is there is added to.
    grad_c = torch.full_like(rows_of_c, 0.5)
    grads = [
        torch.full(p.shape, 0.25, dtype=torch.float64) if i in wanted else None
        for i, p in enumerate(inputs.parameters)
    ]
    accumulators = _addresses(grads)
    kind = ctypes.CFUNCTYPE(ctypes.c_double, _REALS[y.dtype], *[_POINTER] * 9, ctypes.c_ssize_t)
    pointers = [rows, rows_of_c, parameters, uniform.numbers, work.numbers, given, grad_y.numbers]
    grad_t = kind(vjp.address)(
        inputs.t,
        *[tensor.data_ptr() for tensor in pointers],
        grad_c.data_ptr() if C in sources else None,
        accumulators.data_ptr(),
        lanes,
    )
    work.first(-1)
    torch.testing.assert_close(given, cotangent.T, rtol=0, atol=0, equal_nan=True)
    return Gradients(
        grad_t,
        grad_y.first(program.widths[Y], lanes).T,
        (grad_c - 0.5).T if C in sources else None,
        [None if grad is None else grad - 0.25 for grad in grads],
    )


def _uniform(code: FieldCode, inputs: Inputs) -> _Memory:
    memory = _Memory(code.uniform_size, inputs.y.dtype)
    kind = ctypes.CFUNCTYPE(None, _REALS[inputs.y.dtype], _POINTER, _POINTER)
    parameters = _parameters(code, inputs)
    kind(code.shared.address)(inputs.t, parameters.data_ptr(), memory.numbers.data_ptr())
    memory.first(-1)
    return memory


def _parameters(code: FieldCode, inputs: Inputs) -> Tensor:
    return torch.tensor(code.addresses(parameter.data_ptr() for parameter in inputs.parameters))


def _addresses(tensors: Sequence[Tensor | None]) -> Tensor:
    """Null where there is none."""
    return torch.tensor([0 if tensor is None else tensor.data_ptr() for tensor in tensors], dtype=torch.int64)


# Relative to the largest number of a result.
CLOSE = {torch.float32: 2e-5, torch.float64: 1e-12}
CLOSE_GRADIENTS = {torch.float32: 5e-4, torch.float64: 1e-10}
LANES = (1, 3, 8, 20, 64)
_TIME = 0.3


def compare(
    program: Program, dtype: torch.dtype, sources: Collection[int], wanted: Collection[int], seed: int = 0
) -> None:
    """Compares rates and gradients of tiles of several sizes with those of the interpreter."""
    code = field_code(program, dtype)
    vjp = vjp_code(program, dtype, sources, wanted)
    for lanes in LANES:
        generator = torch.Generator().manual_seed(seed)

        def draw(*shape: int, generator: torch.Generator = generator) -> Tensor:
            return torch.randn(shape, dtype=torch.float64, generator=generator).to(dtype)

        parameters = [draw(*shape) for shape in program.parameter_shapes]
        y, c, cotangent = (draw(lanes, program.widths[value]) for value in (Y, C, Y))
        t = torch.tensor(_TIME, dtype=dtype)
        for tensor in (t, y, c, *parameters):
            tensor.requires_grad_()
        rates = program.interpret(t, y, parameters, c)
        given = [rates] if rates.requires_grad else []
        grads = torch.autograd.grad(
            given, [t, y, c, *parameters], [cotangent] * len(given), allow_unused=True, materialize_grads=True
        )
        inputs = Inputs(_TIME, y.detach(), c.detach(), [parameter.detach() for parameter in parameters])
        said = f"{program}\n# {lanes} trajectories, {dtype}, {sources}, {wanted}\n"
        close(evaluate(program, code, inputs), rates.detach(), CLOSE[dtype], said)
        own = gradients(program, code, vjp, inputs, cotangent, sources, wanted)
        tolerance = CLOSE_GRADIENTS[dtype]
        close(
            torch.tensor(own.t, dtype=torch.float64),
            grads[0] if T in sources else torch.tensor(0.0),
            tolerance * lanes,
            said,
        )
        close(own.y, grads[1], tolerance, said)
        if own.c is not None:
            close(own.c, grads[2], tolerance, said)
        for mine, other in zip(own.parameters, grads[3:], strict=True):
            if mine is not None:
                close(mine, other, tolerance, said)


def close(own: Tensor, wanted: Tensor, tolerance: float, said: str) -> None:
    """Compares numbers with the largest of them."""
    largest = float(wanted.abs().max()) if wanted.numel() else 0.0
    torch.testing.assert_close(
        own.double(), wanted.double(), rtol=0.0, atol=tolerance * max(1e-2, largest), msg=lambda m: said + m
    )
