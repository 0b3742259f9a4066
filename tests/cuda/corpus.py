"""Sources whose kernels have limits: functions of vector fields, and the controller of their steps."""

from __future__ import annotations

FUNCTIONS = (
    "tanh",
    "sigmoid",
    "silu",
    "mish",
    "gelu",
    "gelu_tanh",
    "logsigmoid",
    "erf",
    "exp",
    "log",
    "log1p",
)

ELEMENTWISE = """
extern "C" __global__ void {name}_values(const {real}* x, {real}* y) {{
    const int i = static_cast<int>(threadIdx.x);
    y[i] = flashode::numerics::unary_value<flashode::numerics::UnaryFn::{name}>(x[i], x);
}}
"""
CONTROLLER = """#include "numerics/controller.hpp"

extern "C" __global__ void next_step(flashode::numerics::Controller controller, int order, double* steps,
                                     const double* norms) {
    const int i = static_cast<int>(threadIdx.x);
    steps[i] = flashode::numerics::next_step(controller, norms[i], steps[i], order);
}
"""


def corpus() -> dict[str, str]:
    """Each source text by its name."""
    return {
        "functions_float32": _elementwise("float"),
        "functions_float64": _elementwise("double"),
        "controller": CONTROLLER,
    }


def _elementwise(real: str) -> str:
    kernels = (ELEMENTWISE.format(name=name, real=real) for name in FUNCTIONS)
    return '#include "numerics/functions.hpp"\n' + "".join(kernels)
