"""What a function's calls execute is what its capture depends on; code that might run is not."""

import importlib
import inspect
import logging
import os
import random
import re
import sys
import time
import warnings
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import flashode
from capture.agreement import T, Y, captured_at, declined, must_capture, true
from flashode.capture import cache
from flashode.declined import Declined

logger = logging.getLogger("a field's")
TIMES = torch.linspace(0, 1, 3)
LIBRARY: Any = None


class Model(nn.Module):
    """A model that has a field and solves it, with what such models do beside."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(3, 3)
        self.nfe = 0
        self.losses: list[float] = []
        self.recent: deque[float] = deque()
        self.verbose = False
        self.began = time.time()

    def field(self, t: Tensor, y: Tensor) -> Tensor:
        self.nfe += 1
        if self.verbose:
            self.report(t)
        out: Tensor = self.net(y)
        return torch.tanh(out)

    def report(self, t: Tensor) -> None:
        logger.info("at %s after %s", t, time.time() - self.began)

    def forward(self, y0: Tensor) -> Tensor:
        self.report(TIMES)
        warnings.warn("training", stacklevel=1)
        self.recent.append(random.random())
        self.losses.append(float(np.random.default_rng().normal()))
        return flashode.odeint(self.field, y0, TIMES)[-1]

    def sample(self, count: int) -> Tensor:
        with open(os.environ["HOME"] + re.sub("a", "b", "/x")) as file:
            print(file.read(), inspect.signature(self.forward))
        return self(torch.randn(count, 3))


def of_a_method(model: Model) -> Any:
    return model.field


def of_a_lambda(model: Model) -> Any:
    return lambda t, y: model.field(t, y)


def of_a_closure(model: Model) -> Any:
    def field(t: Tensor, y: Tensor) -> Tensor:
        return model.field(t, y) * (1 if not model.verbose else 2)

    return field


def of_a_module(model: Model) -> Any:
    class Field(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = [model]

        def forward(self, t: Tensor, y: Tensor) -> Tensor:
            return self.model[0].field(t, y)

    return Field()


@pytest.mark.parametrize("make", [of_a_method, of_a_lambda, of_a_closure, of_a_module])
def test_a_field_of_an_object_that_also_solves(make: Callable[[Model], Any]) -> None:
    model = Model()
    true(make(model))
    model.nfe = 0
    captured = true(make(model))
    captured.count(3)
    assert model.nfe == 4  # one of them the comparison's
    losses = model.losses
    model.losses.append(1.0)
    model.recent.append(1.0)
    model.began = 0.0
    true(make(model))
    assert losses == [1.0]


def test_a_model_trains() -> None:
    torch.manual_seed(0)
    results = []
    for engine in ("native", "eager"):
        torch.manual_seed(1)
        model = Model().double()
        optimiser = torch.optim.SGD(model.parameters(), 0.1)
        with warnings.catch_warnings(), flashode.use_engine(engine):
            warnings.simplefilter("ignore", UserWarning)
            for _ in range(3):
                optimiser.zero_grad()
                model(torch.ones(2, 3, dtype=torch.float64)).square().sum().backward()
                optimiser.step()
        results.append((model.nfe, *(p.detach().clone() for p in model.parameters())))
    torch.testing.assert_close(*results)
    assert len(model.losses) == 3


BESIDE: dict[str, Callable[[], object]] = {
    "logger": lambda: logger.warning("never"),
    "warning": lambda: warnings.warn("never", stacklevel=1),
    "random": lambda: random.random(),
    "numpy random": lambda: np.random.rand(),  # noqa: NPY002
    "torch random": lambda: torch.rand(3),
    "seed": lambda: torch.manual_seed(0),
    "clock": lambda: time.time(),
    "environment": lambda: os.environ["HOME"],
    "pattern": lambda: re.compile("x"),
    "file": lambda: open("never"),  # noqa: SIM115
    "print": lambda: print("never"),
    "signature": lambda: inspect.signature(print),
    "grad mode": lambda: torch.is_grad_enabled(),
    "solve": lambda: flashode.odeint(lambda t, y: y, torch.ones(1), TIMES),
    "frames": lambda: sys._getframe(),
}


def generators() -> Any:
    """The states of the generators of random numbers."""
    own = np.random.get_state()  # noqa: NPY002
    return torch.get_rng_state().tolist(), random.getstate(), [np.asarray(part).tolist() for part in own]


@pytest.mark.parametrize("name", BESIDE)
@pytest.mark.parametrize("where", ["branch", "function", "method", "handler"])
def test_what_is_not_run_does_not_matter(name: str, where: str) -> None:
    act = BESIDE[name]

    class Net(nn.Module):
        noisy = False

        def other(self) -> object:
            return act()

        def forward(self, t: Tensor, y: Tensor) -> Tensor:
            if where == "branch" and self.noisy:
                act()
            elif where == "function" and self.noisy:
                for inner in (lambda: act(),):
                    inner()
            elif where == "method" and self.noisy:
                self.other()
            elif where == "handler":
                try:
                    return -y
                except ValueError:
                    act()
            return -y

    net = Net()
    true(net)
    if where in ("branch", "function", "method"):
        net.noisy = True
        # It runs now, and nothing may be noticed of the attempt to capture it.
        before = generators()
        captured_at(net, T, Y)
        assert generators() == before


@pytest.mark.parametrize(
    "name", ["logger", "warning", "random", "numpy random", "clock", "file", "print", "solve"]
)
def test_what_runs_is_not_captured(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    act = BESIDE[name]

    def field(t: Tensor, y: Tensor) -> Tensor:
        act()
        return -y

    declined(field)
    assert capsys.readouterr() == ("", "")


def test_a_branch_that_is_taken_later() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale, self.limit, self.rates = torch.ones(3), 2.0, {"slow": 1.0, "fast": 3.0}
            self.kind = "slow"

        def forward(self, t: Tensor, y: Tensor) -> Tensor:
            if self.limit > 1:
                y = y * self.rates[self.kind]
            else:
                y = y + self.scale
            return y

    net = Net()
    true(net)
    net.kind = "fast"
    true(net)
    net.limit = 0.5
    true(net)
    net.scale += 1
    true(net)
    net.scale = torch.ones(1)
    true(net)
    net.rates["fast"] = 5.0
    true(net)
    net.limit = 2.0
    true(net)


class Loading(nn.Module):
    """A model with its data, as trainers want it."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def train_dataloader(self) -> Any:
        data = torch.utils.data.TensorDataset(torch.rand(3))
        return torch.utils.data.DataLoader(data), np.random.rand(3), torch.jit.script(self.layer)  # noqa: NPY002

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        if not self.layer.weight.numel():
            self.train_dataloader()
        out: Tensor = torch.tanh(self.layer(y)) * float(np.sqrt(2.0))
        return out


def test_modules_are_harmless_that_code_which_never_runs_looks_into() -> None:
    true(Loading())


def test_what_was_not_read_may_change(monkeypatch: pytest.MonkeyPatch) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.on, self.unread = True, 1.0

        def forward(self, t: Tensor, y: Tensor) -> Tensor:
            return -y if self.on else y * self.unread

    net = Net()
    true(net)
    monkeypatch.setattr("flashode.capture.make", lambda *a, **k: pytest.fail("it was captured anew"))
    for value in (2.0, "text", torch.ones(3), object()):
        net.unread = value  # type: ignore[assignment]
        true(net)


def test_an_exception_that_is_caught() -> None:
    class Table(dict[str, float]):
        pass

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rates: dict[str, float] = {}

        def forward(self, t: Tensor, y: Tensor) -> Tensor:
            try:
                return y * self.rates["fast"]
            except KeyError:
                return -y

    net = Net()
    true(net)
    net.rates["fast"] = 2.0
    true(net)
    del net.rates["fast"]
    true(net)


def test_an_attribute_that_is_missing() -> None:
    class Net(nn.Module):
        def forward(self, t: Tensor, y: Tensor) -> Tensor:
            if hasattr(self, "rate"):
                return y * self.rate  # type: ignore[no-any-return]
            return y * getattr(self, "other", 2.0)  # type: ignore[no-any-return]

    net = Net()
    true(net)
    net.other = 3.0
    true(net)
    net.rate = 5.0
    true(net)


def test_loops_whose_length_changes() -> None:
    layers = [nn.Linear(3, 3)]

    def field(t: Tensor, y: Tensor) -> Tensor:
        for layer in layers:
            y = layer(y)
        return y

    true(field)
    layers.append(nn.Linear(3, 3))
    true(field)
    layers.clear()
    true(field)


def test_a_function_that_is_exchanged_and_was_not_called() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.act: Any = torch.tanh
            self.on = False

        def forward(self, t: Tensor, y: Tensor) -> Tensor:
            return self.act(y) if self.on else y  # type: ignore[no-any-return]

    net = Net()
    true(net)
    net.act = lambda y: y * time.time()
    true(net)
    net.on = True
    declined(net)
    net.act = torch.sin
    true(net)


def test_code_of_a_library(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is looked at when a call comes to it: what it changes is undone, and what it reads is watched."""
    folder = tmp_path / "site-packages"
    folder.mkdir()
    (folder / "flashode_test_library.py").write_text(
        "import flashode_test_second\nRATE = 2.0\nCALLS = []\n"
        "def act(y):\n    CALLS.append(1)\n    return flashode_test_second.act(y) * RATE\n"
        "def halved(y):\n    return flashode_test_second.act(y) * RATE / 2\n"
    )
    (folder / "flashode_test_second.py").write_text("SCALE = 3.0\ndef act(y):\n    return y * SCALE\n")
    monkeypatch.syspath_prepend(str(folder))
    library: Any = importlib.import_module("flashode_test_library")
    monkeypatch.setitem(globals(), "LIBRARY", library)
    assert "changes" in declined(lambda t, y: LIBRARY.act(y))
    assert library.CALLS == []

    def field(t: Tensor, y: Tensor) -> Tensor:
        return LIBRARY.halved(y)  # type: ignore[no-any-return]

    true(field)
    sys.modules["flashode_test_second"].SCALE = 5.0  # type: ignore[attr-defined]
    true(field)
    library.RATE = 7.0
    true(field)


def test_a_solve_within_a_field() -> None:
    def field(t: Tensor, y: Tensor) -> Tensor:
        return flashode.odeint(lambda s, z: -z, y, TIMES)[-1]

    assert "solver within func" in declined(field)
    y0 = torch.ones(2, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        solved = flashode.odeint(field, y0, TIMES, method="rk4")
    with flashode.use_engine("eager"):
        torch.testing.assert_close(solved, flashode.odeint(field, y0, TIMES, method="rk4"))


def test_an_overridden_base() -> None:
    class Base(nn.Module):
        def forward(self, t: Tensor, y: Tensor) -> Tensor:
            print("never")
            return self.missing  # type: ignore[return-value]

    class Net(Base):
        def forward(self, t: Tensor, y: Tensor) -> Tensor:
            return -y

    class Above(Net):
        def forward(self, t: Tensor, y: Tensor) -> Tensor:
            return 2 * super().forward(t, y)

    above = Above()
    true(Net())
    true(above)
    true(lambda t, y: Net.forward(above, t, y))


def test_batch_sizes_that_take_other_branches() -> None:
    scale = torch.ones(3)

    def field(t: Tensor, y: Tensor) -> Tensor:
        if y.shape[0] > 8:
            return y * scale
        return -y

    for size in (4, 12, 5, 16, 9, 8):
        true(field, y=torch.randn(size, 3))
    scale += 1.0
    for size in (12, 4, 9):
        true(field, y=torch.randn(size, 3))


def test_code_that_was_made_afresh_is_found() -> None:
    for scale in (1.0, 1.0, 2.0):
        space: dict[str, Any] = {"scale": scale}
        exec("def field(t, y):\n    return y * scale if scale > 0 else -y", space)
        true(space["field"])


def test_declining_again_costs_no_entry_for_each() -> None:
    def field(t: Tensor, y: Tensor) -> Tensor:
        return y * time.time()

    before = sum(1 for _ in flashode.capture._cache.all_entries())
    for _ in range(5):
        assert isinstance(captured_at(field, T, Y), Declined)
    assert sum(1 for _ in flashode.capture._cache.all_entries()) <= before + cache.MAX_ENTRIES
    must_capture(lambda t, y: -y)


def test_code_that_asks_for_compilers() -> None:
    def field(t: Tensor, y: Tensor) -> Tensor:
        if torch.jit.is_scripting() or torch.jit.is_tracing():  # type: ignore[no-untyped-call]
            return y
        return -y

    true(field)
