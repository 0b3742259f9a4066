"""Sources whose kernels have limits: functions of vector fields, the controller of their steps, and whole
solves."""

from __future__ import annotations

from cuda.generated import Source, kernels

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
# Whole solves that have every header and every operation between them, for where there is no time for all.
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


def corpus() -> dict[str, Source]:
    """Each source by its name."""
    return {
        "functions_float32": Source(_elementwise("float")),
        "functions_float64": Source(_elementwise("double")),
        "controller": Source(CONTROLLER),
        **kernels(),
    }


def _elementwise(real: str) -> str:
    kernels = (ELEMENTWISE.format(name=name, real=real) for name in FUNCTIONS)
    return '#include "numerics/functions.hpp"\n' + "".join(kernels)
