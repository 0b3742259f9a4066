"""Sources whose kernels have limits: functions of vector fields, the controller of their steps, and whole
solves."""

from __future__ import annotations

from cuda.generated import kernels

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

SHORT = ("functions_float32", "functions_float64", "controller")
# Whole solves, one each way, that stand for others where there is no time for all on every architecture; and
# those that have every header and every operation between them.
TYPICAL = ("wide_forward", "flow_discrete")
VARIED = (
    "lorenz_forward_every_step",
    "large_forward",
    "everything_discrete_times",
    "everything_continuous_rk4",
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
        **kernels(),
    }


def _elementwise(real: str) -> str:
    kernels = (ELEMENTWISE.format(name=name, real=real) for name in FUNCTIONS)
    return '#include "numerics/functions.hpp"\n' + "".join(kernels)
