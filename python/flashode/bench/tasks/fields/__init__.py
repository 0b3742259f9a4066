"""The vector fields of the workloads, each as a torch module and, where it can be, as a function of arrays.

One text serves numpy (for SciPy) and jax.numpy (for diffrax): a function of arrays is made for one of the two
and takes the module's parameters in the order of ``nn.Module.parameters()``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

# (parameters, t, y) → the rate of change of y; a tuple where the state is one.
ArrayField = Callable[[Sequence[Any], Any, Any], Any]


@dataclass(frozen=True)
class Field:
    """A vector field in every language that a contender may ask for.

    Attributes:
        module: Makes the torch module; what it draws comes from torch's global stream.
        arrays: Given numpy or jax.numpy, makes the function of arrays; None where there is no such function.
        autodiff: Whether the function of arrays differentiates inside, which numpy cannot.
    """

    module: Callable[[], nn.Module]
    arrays: Callable[[Any], ArrayField] | None = None
    autodiff: bool = False
