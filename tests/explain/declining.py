"""Functions that programs are really written as and that are not captured, each with what is to be said."""

from __future__ import annotations

import fractions
import logging
import math
import random
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

BATCH, WIDTH = 8, 3


class Said(NamedTuple):
    """What is to be said of a function.

    Attributes:
        make: Makes the function.
        what: In what stands in the way.
        remedy: In what to write instead.
        line: In the line that is shown; empty where there is none to show.
        module: The module, as its user knows it.
    """

    make: Callable[[], Callable[..., Any]]
    what: str
    remedy: str
    line: str
    module: str = ""


class Net(nn.Module):
    """A field that applies a network."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.net = nn.Sequential(*layers)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return self.net(y)


class Remembering(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.history: list[Tensor] = []
        self.cache: dict[str, Tensor] = {}
        self.last: Tensor | None = None
        self.nfe = 0
        self.register_buffer("mean", torch.zeros(WIDTH))

    mean: Tensor


class Appending(Remembering):
    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        self.history.append(y)
        return -y


class Caching(Remembering):
    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        if "rate" not in self.cache:
            self.cache["rate"] = torch.ones(WIDTH)
        return -y * self.cache["rate"]


class Keeping(Remembering):
    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        self.last = y
        return -y


class Averaging(Remembering):
    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        self.mean.mul_(0.8).add_(0.2)
        return -y + self.mean


class Annealing(Remembering):
    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        self.nfe += 1
        return -y / self.nfe


class Straight(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.sign()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient


LOG = logging.getLogger("flashode.declining")
LOCK = threading.Lock()
RATE = torch.ones(WIDTH)
SPARSE = torch.eye(WIDTH).to_sparse().requires_grad_()
DEEP = [[[[[[1.0]]]]]]
LONG = [float(i) for i in range(1000)]
TOTAL = 0.0


def item(t: Tensor, y: Tensor) -> Tensor:
    return -y * t.item()


def number(t: Tensor, y: Tensor) -> Tensor:
    return -y * math.sin(t)


def branch_on_time(t: Tensor, y: Tensor) -> Tensor:
    if t > 0.5:
        return y
    return -y


def branch_on_state(t: Tensor, y: Tensor) -> Tensor:
    return y if y.norm() > 1 else -y


def index_of_time(t: Tensor, y: Tensor) -> Tensor:
    return -y * RATE[int(t)]


def through_numpy(t: Tensor, y: Tensor) -> Tensor:
    return torch.from_numpy(np.tanh(y.detach().numpy()))


def through_list(t: Tensor, y: Tensor) -> Tensor:
    return torch.tensor(y.tolist())


def from_numbers(t: Tensor, y: Tensor) -> Tensor:
    return y * torch.tensor([t.expand(1), t, t])


def printing(t: Tensor, y: Tensor) -> Tensor:
    print("called")
    return -y


def formatting(t: Tensor, y: Tensor) -> Tensor:
    len(f"{y}")
    return -y


def logging_it(t: Tensor, y: Tensor) -> Tensor:
    LOG.debug("called")
    return -y


def noise(t: Tensor, y: Tensor) -> Tensor:
    return -y + torch.randn_like(y)


def python_noise(t: Tensor, y: Tensor) -> Tensor:
    return -y * random.random()


def numpy_noise(t: Tensor, y: Tensor) -> Tensor:
    return -y * float(np.random.rand())  # noqa: NPY002


def seeded(t: Tensor, y: Tensor) -> Tensor:
    torch.manual_seed(0)
    return -y + torch.randn_like(y)


def functional_dropout(t: Tensor, y: Tensor) -> Tensor:
    return functional.dropout(-y, 0.5)


def functional_norm(t: Tensor, y: Tensor) -> Tensor:
    return functional.batch_norm(y, torch.zeros(WIDTH), torch.ones(WIDTH), training=True)


def clock(t: Tensor, y: Tensor) -> Tensor:
    return -y * time.time()


def locking(t: Tensor, y: Tensor) -> Tensor:
    with LOCK:
        return -y


def of_a_library(t: Tensor, y: Tensor) -> Tensor:
    return -y * float(fractions.Fraction(1, 3))


def deep(t: Tensor, y: Tensor) -> Tensor:
    return -y * DEEP[0][0][0][0][0][0]


def long(t: Tensor, y: Tensor) -> Tensor:
    return -y * LONG[3]


def counting_up(t: Tensor, y: Tensor) -> Tensor:
    global TOTAL
    TOTAL += 0.5
    return -y


def grad_mode(t: Tensor, y: Tensor) -> Tensor:
    return -y if torch.is_grad_enabled() else y


def masked(t: Tensor, y: Tensor) -> Tensor:
    return -y * y[y > 0].sum()


def special(t: Tensor, y: Tensor) -> Tensor:
    return y.digamma()


def sparse(t: Tensor, y: Tensor) -> Tensor:
    return (SPARSE @ y.T).T


def spectral(t: Tensor, y: Tensor) -> Tensor:
    return torch.fft.fft(y).real


def doubled(t: Tensor, y: Tensor) -> Tensor:
    return -y.double()


def in_place(t: Tensor, y: Tensor) -> Tensor:
    y.mul_(2)
    return -y


def in_place_global(t: Tensor, y: Tensor) -> Tensor:
    RATE.add_(1)
    return -y * RATE


def custom(t: Tensor, y: Tensor) -> Tensor:
    return Straight.apply(y) * y


def with_data(t: Tensor, y: Tensor) -> Tensor:
    return -y * y.data


def with_hook(t: Tensor, y: Tensor) -> Tensor:
    z = -y
    z.register_hook(lambda gradient: gradient * 2)
    return z


def of_a_fixed_batch(t: Tensor, y: Tensor) -> Tensor:
    return y.digamma().view(8, 3)


def picking_by_state(t: Tensor, y: Tensor) -> Tensor:
    return RATE[y.argmax(-1)][:, None] * y


def _hooked() -> nn.Module:
    layer = nn.Linear(WIDTH, WIDTH)
    layer.register_forward_hook(lambda module, arguments, output: output * 0.5)
    return layer


def _scripted() -> nn.Module:
    return Net(nn.Linear(WIDTH, WIDTH), torch.jit.trace(nn.Tanh(), torch.ones(BATCH, WIDTH)))


APPLIES = "return self.net(y)"
INFERENCE = "call eval()"
WHERE = "torch.where(condition, a, b)"

DECLINING: dict[str, Said] = {
    "item": Said(lambda: item, "Python number", WHERE, "t.item()"),
    "number": Said(lambda: number, "Python number", WHERE, "math.sin(t)"),
    "branch on t": Said(lambda: branch_on_time, "Python number", WHERE, "if t > 0.5:"),
    "branch on y": Said(lambda: branch_on_state, "Python number", WHERE, "if y.norm() > 1"),
    "index of t": Said(lambda: index_of_time, "Python number", WHERE, "RATE[int(t)]"),
    "numpy": Said(lambda: through_numpy, ".numpy", "torch's functions", "np.tanh"),
    "tolist": Said(lambda: through_list, ".tolist", "torch's functions", "y.tolist()"),
    "from numbers": Said(
        lambda: from_numbers, "arguments of tensor", "torch.stack", "torch.tensor([t.expand(1), t, t])"
    ),
    "print": Said(lambda: printing, "it calls print()", "print after the solve", 'print("called")'),
    "format": Said(lambda: formatting, "formats", "print after the solve", 'f"{y}"'),
    "logger": Said(lambda: logging_it, "'LOG' is a logging.Logger", "log after the solve", "LOG.debug"),
    "noise": Said(lambda: noise, "random numbers", "before the solve", "torch.randn_like(y)"),
    "python's noise": Said(lambda: python_noise, "'random'", "before the solve", "random.random()"),
    "numpy's noise": Said(lambda: numpy_noise, "numpy.random", "before the solve", "np.random.rand()"),
    "seed": Said(lambda: seeded, "manual_seed", "before the solve", "torch.manual_seed(0)"),
    "functional dropout": Said(lambda: functional_dropout, "random numbers", INFERENCE, "functional.dropout"),
    "functional norm": Said(lambda: functional_norm, "statistics", INFERENCE, "functional.batch_norm"),
    "clock": Said(lambda: clock, "'time'", "use t", "time.time()"),
    "lock": Said(lambda: locking, "'LOCK' is a _thread.lock", "numbers, tensors", "with LOCK:"),
    "library": Said(lambda: of_a_library, "leads into fractions, where", "", "fractions.Fraction"),
    "deep list": Said(lambda: deep, "deep or large", "one tensor", "DEEP[0]"),
    "long list": Said(lambda: long, "deep or large", "one tensor", "LONG[3]"),
    "global": Said(lambda: counting_up, "'TOTAL'", "assign nothing", "TOTAL += 0.5"),
    "grad mode": Said(lambda: grad_mode, "is_grad_enabled", "every grad mode", "is_grad_enabled()"),
    "mask": Said(lambda: masked, "tensor's values", "multiply by a mask", "y[y > 0]"),
    "special": Said(lambda: special, "aten.digamma is not supported", "arithmetic", "y.digamma()"),
    "sparse": Said(lambda: sparse, "sparse", ".to_dense()", "SPARSE @ y.T"),
    "complex": Said(lambda: spectral, "not supported", "arithmetic", "torch.fft.fft(y)"),
    "double": Said(lambda: doubled, "torch.float64", ".to(y.dtype)", "y.double()"),
    "y in place": Said(lambda: in_place, "changes y in place", "clone()", "y.mul_(2)"),
    "global in place": Said(lambda: in_place_global, "in place", "new tensor", "RATE.add_(1)"),
    "custom function": Said(lambda: custom, "(StraightBackward)", "torch's own operations", "Straight.apply"),
    "data": Said(lambda: with_data, "cuts a gradient off", "detach()", "y.data"),
    "hook of a tensor": Said(lambda: with_hook, "register_hook", "after backward()", "z.register_hook"),
    "fixed batch": Said(
        lambda: of_a_fixed_batch, "it works for a batch of 8 alone", "y.shape[0] or -1", ".view(8, 3)"
    ),
    "index of y": Said(lambda: picking_by_state, "argmax", "arithmetic", "y.argmax(-1)"),
    "list": Said(Appending, "it changes the function.history", "after the solve", "self.history.append(y)"),
    "cache": Said(Caching, "it computes cache.rate in its first call", "before the solve", "self.cache"),
    "attribute": Said(Keeping, "it changes the function.last", "afresh", "self.last = y"),
    "buffer": Said(Averaging, "in place", "new tensor", "self.mean.mul_(0.8)"),
    "counter": Said(Annealing, "more than counting", "self.nfe += 1", "self.nfe += 1"),
    "dropout": Said(
        lambda: Net(nn.Linear(WIDTH, WIDTH), nn.Dropout()), "random", INFERENCE, APPLIES, "net.1 Dropout"
    ),
    "batch norm": Said(
        lambda: Net(nn.Linear(WIDTH, WIDTH), nn.BatchNorm1d(WIDTH)),
        "",
        INFERENCE,
        APPLIES,
        "net.1 BatchNorm1d",
    ),
    "inner": Said(
        lambda: Net(nn.Sequential(nn.Tanh(), nn.RReLU())), "random", INFERENCE, APPLIES, "net.0.1 RReLU"
    ),
    "spectral norm": Said(
        lambda: Net(nn.utils.parametrizations.spectral_norm(nn.Linear(WIDTH, WIDTH))),
        "",
        "call eval() for the solve: in training each call of spectral_norm iterates",
        APPLIES,
        "net.0.parametrizations.weight.0 _SpectralNorm",
    ),
    "old spectral norm": Said(
        lambda: Net(nn.utils.spectral_norm(nn.Linear(WIDTH, WIDTH))),
        "hooks",
        "torch.nn.utils.parametrizations.spectral_norm, and call eval() for the solve",
        APPLIES,
        "net.0 Linear",
    ),
    "hook": Said(lambda: Net(_hooked()), "forward hooks", "handle.remove()", APPLIES, "net.0 Linear"),
    "lazy": Said(
        lambda: Net(nn.LazyLinear(WIDTH)), "no shape yet", "call it once", APPLIES, "net.0 LazyLinear"
    ),
    "script": Said(
        _scripted, "compiled", "module that it was made from", APPLIES, "net.1 TopLevelTracedModule"
    ),
}
