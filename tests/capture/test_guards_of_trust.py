"""Code that says it is torch's, contexts, operators and functions of C with Python inside."""

import abc
import collections.abc
import contextlib
import dataclasses
import types
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from capture.agreement import Y, declined, must_capture
from capture.following import Case, Field, agrees_now, follows, held
from flashode import FallbackWarning, odeint

RATE = 1.0


def unchanged(y: Tensor) -> Tensor:
    return y * 1.0


class Calling(nn.Module):
    """A field that calls a function which it keeps."""

    def __init__(self, act: Any) -> None:
        super().__init__()
        self.act = act

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return self.act(y)  # type: ignore[no-any-return]


def gradient(func: Field) -> Tensor:
    y0 = Y.clone().requires_grad_()
    end = odeint(func, y0, torch.linspace(0, 1, 3), method="rk4")[-1]
    return torch.autograd.grad(end.sum(), y0)[0]


CONTEXTS: list[Callable[[], Any]] = [
    lambda: torch.set_grad_enabled(True),
    lambda: torch.set_grad_enabled(False),
    torch.no_grad,
    torch.enable_grad,
    lambda: torch.inference_mode(False),
]


def decorated(context: Callable[[], Any], act: Field = unchanged) -> Any:
    with torch.enable_grad():
        # Some switch the mode when they are made.
        return context()(act)


@pytest.mark.parametrize("first", range(len(CONTEXTS)))
@pytest.mark.parametrize("second", range(len(CONTEXTS)))
def test_contexts_around_a_function_are_told_apart(first: int, second: int) -> None:
    net = Calling(decorated(CONTEXTS[first]))
    for context in (CONTEXTS[first], CONTEXTS[second]):
        net.act = decorated(context)
        differentiated = net.act(Y.clone().requires_grad_()).requires_grad
        must_capture(net)
        expected = torch.full_like(Y, np.e if differentiated else 1.0)
        torch.testing.assert_close(gradient(net), expected, rtol=1e-3, atol=1e-3)


def test_a_context_that_changes() -> None:
    act = decorated(lambda: torch.set_grad_enabled(True))
    net = Calling(act)
    assert gradient(net)[0, 0] > 2.7
    (context,) = (
        cell.cell_contents.__self__ for cell in act.__closure__ if hasattr(cell.cell_contents, "__self__")
    )
    context.mode = False
    assert gradient(net)[0, 0] < 1.01


class Scaling(torch.no_grad):
    """A context of the user's, of torch's kind."""

    rate = 1.0
    entered: list[float]

    def clone(self) -> Any:
        return self

    def __enter__(self) -> None:
        globals()["RATE"] = self.rate

    def __exit__(self, *error: Any) -> None:
        pass


def test_a_context_of_the_users() -> None:
    context = Scaling()
    act = context(lambda y: y * RATE)
    follows(Case(Calling(act), lambda: setattr(context, "rate", 3.0)))


@contextlib.contextmanager
def scaled(rates: list[float]) -> Any:
    yield rates[0]


def test_a_context_made_of_a_generator() -> None:
    rates = [1.0]

    def func(t: Tensor, y: Tensor) -> Tensor:
        with scaled(rates) as rate:
            return y * rate  # type: ignore[no-any-return]

    follows(Case(func, lambda: rates.__setitem__(0, 3.0)))


def test_attributes_of_wrappers_and_partials() -> None:
    wrapper = torch.no_grad()(unchanged)
    wrapper.rate = 1.0  # type: ignore[attr-defined]
    assert follows(Case(lambda t, y: y * wrapper.rate, lambda: setattr(wrapper, "rate", 3.0)))  # type: ignore[attr-defined]
    part = partial(torch.mul, other=1.0)
    part.rate = 1.0  # type: ignore[attr-defined]
    assert follows(Case(lambda t, y: part(y) * part.rate, lambda: setattr(part, "rate", 3.0)))  # type: ignore[attr-defined]


def of_new_class() -> Any:
    return types.new_class("Kind", (), {}, lambda space: space.update(rate=1.0))


def of_a_dataclass() -> Any:
    return dataclasses.make_dataclass("Kind", [("rate", float, 1.0)])


def of_type() -> Any:
    return type("Kind", (), {"rate": 1.0})


def of_a_module() -> Any:
    return type("Linear", (nn.Module,), {"rate": 1.0, "forward": lambda self, y: y * self.rate})


def with_a_function_of_torchs() -> Any:
    return types.new_class("Kind", (), {}, lambda space: space.update(rate=1.0, act=torch.nn.functional.relu))


@pytest.mark.parametrize(
    "make", [of_new_class, of_a_dataclass, of_type, of_a_module, with_a_function_of_torchs]
)
@pytest.mark.parametrize(
    "home", [None, "torch.nn", "torch.nn.modules.linear", "types", "builtins", "math", "numpy"]
)
def test_a_class_that_says_it_is_anothers(make: Callable[[], Any], home: str | None) -> None:
    kind = make()
    if home is not None:
        kind.__module__ = home
    user = kind()
    assert follows(Case(lambda t, y: y * kind.rate, lambda: setattr(kind, "rate", 3.0)))
    follows(Case(lambda t, y: y * user.rate, lambda: setattr(kind, "rate", 1.0)))


@pytest.mark.parametrize("home", ["torch.nn.functional", "torch", "math", "builtins", "__main__"])
def test_a_function_and_a_module_that_say_they_are_anothers(home: str) -> None:
    space: dict[str, Any] = {"__name__": home, "RATE": 1.0}
    exec("def act(y): return y * RATE", space)
    follows(Case(lambda t, y: space["act"](y), lambda: space.update(RATE=3.0)))
    act = space["act"]
    assert follows(Case(lambda t, y: act(y), lambda: space.update(RATE=5.0)))
    module = types.ModuleType(f"{home}.more")
    module.rate = 1.0  # type: ignore[attr-defined]
    follows(Case(lambda t, y: y * module.rate, lambda: setattr(module, "rate", 3.0)))


def test_a_field_that_says_it_is_torchs() -> None:
    class Net(nn.Module):
        rate = 1.0

        def forward(self, t: Tensor, y: Tensor) -> Tensor:
            return y * self.rate

    Net.__module__ = "torch.nn"
    net = Net()
    assert follows(Case(net, lambda: setattr(Net, "rate", 3.0)))
    assert follows(Case(net, lambda: setattr(net, "rate", 5.0)))


class Base:
    rate = 1.0


class Other:
    rate = 3.0


def test_bases_that_are_changed() -> None:
    class Middle(Base):
        pass

    class User(Middle):
        pass

    user = User()
    assert follows(Case(lambda t, y: y * user.rate, lambda: setattr(Middle, "__bases__", (Other,))))
    assert follows(Case(lambda t, y: y * user.rate, lambda: setattr(User, "__bases__", (Base,))))


def test_attributes_of_a_class_that_are_as_many_as_before() -> None:
    class User(Base):
        spare = 0

    def change() -> None:
        del User.spare
        User.rate = 3.0

    user = User()
    assert follows(Case(lambda t, y: y * user.rate, change))


def test_special_attributes_that_are_no_functions() -> None:
    class User:
        __rate__ = 1.0
        __match_args__ = ("slow", "fast")
        slow, fast = 1.0, 3.0

    user = User()

    def matching(t: Tensor, y: Tensor) -> Tensor:
        match user:
            case User(rate):
                return y * rate
        return y

    assert follows(Case(lambda t, y: y * user.__rate__, lambda: setattr(User, "__rate__", 3.0)))
    assert follows(Case(matching, lambda: setattr(User, "__match_args__", ("fast", "slow"))))


DESCRIPTIONS: list[tuple[str, Any, Any]] = [
    ("__name__", "slow", "faster"),
    ("__qualname__", "slow", "faster"),
    ("__module__", "slow", "faster"),
    ("__doc__", "slow", "faster"),
    ("__annotations__", {"rate": "slow"}, {"rate": "faster"}),
]


@pytest.mark.parametrize(("name", "first", "second"), DESCRIPTIONS)
@pytest.mark.parametrize("of", ["function", "class", "object", "wrapper"])
def test_what_code_asks_about_itself(name: str, first: Any, second: Any, of: str) -> None:
    class Kind:
        pass

    def function() -> None:
        pass

    if of == "class" and name == "__qualname__":
        first, second = "Kind", "Faster"
    holder: Any = {"function": function, "wrapper": torch.no_grad()(lambda y: y)}.get(of, Kind)
    setattr(holder, name, first)
    if of == "object":
        user = Kind()
        read = f"lambda t, y: y * len(str(user.__class__.{name}))"
        spaces = {"user": user}
    else:
        read = f"lambda t, y: y * len(str(holder.{name}))"
        spaces = {"holder": holder}
    func: Field = eval(read, {"len": len, **spaces})
    follows(Case(func, lambda: setattr(holder, name, second)))


def test_the_globals_of_a_function() -> None:
    def function() -> None:
        pass

    assert "__globals__" in declined(lambda t, y: y * function.__globals__["RATE"])
    assert "__subclasses__" in declined(lambda t, y: y * len(Base.__subclasses__()))


@pytest.mark.parametrize("kind", [abc.ABC, collections.abc.Sequence, collections.abc.Callable])
def test_classes_that_are_registered(kind: Any) -> None:
    class Asked(kind):  # type: ignore[misc]
        pass

    class User:
        pass

    user = User()
    case = Case(lambda t, y: y * (3.0 if isinstance(user, Asked) else 1.0), lambda: Asked.register(User))
    assert follows(case)

    class Another:
        pass

    other = Another()
    follows(
        Case(lambda t, y: y * (3.0 if issubclass(Another, Asked) else 1.0), lambda: Asked.register(Another))
    )
    assert other is not None


def test_functions_of_numpys_with_python_inside() -> None:
    rates = [1.0]
    opaque = np.frompyfunc(lambda x: x * rates[0], 1, 1)
    vectorized = np.vectorize(lambda x: x * rates[0])
    assert not follows(Case(lambda t, y: y * float(opaque(1.0)), lambda: rates.__setitem__(0, 3.0)))
    assert not follows(Case(lambda t, y: y * float(vectorized(1.0)), lambda: rates.__setitem__(0, 5.0)))
    must_capture(lambda t, y: y * float(np.exp(1.0)))


def test_operators_with_python_inside() -> None:
    library = torch.library.Library("flashode_tests", "DEF")
    rates = [1.0]
    try:
        library.define("scaled(Tensor y) -> Tensor")
        library.impl("scaled", lambda y: y * rates[0], "CompositeImplicitAutograd")
        packet = torch.ops.flashode_tests.scaled
        overload = packet.default
        for func in (
            lambda t, y: torch.ops.flashode_tests.scaled(y),
            lambda t, y: packet(y),
            lambda t, y: overload(y),
            lambda t, y: torch.ops.flashode_tests.scaled.default(y),
        ):
            follows(Case(func, lambda: rates.__setitem__(0, rates[0] + 2)))
    finally:
        library._destroy()
    must_capture(lambda t, y: torch.ops.aten.mul(y, 2.0))
    must_capture(lambda t, y: torch.ops.aten.mul.Tensor(y, y))


def test_operators_of_torchs_implemented_anew() -> None:
    func: Field = lambda t, y: torch.celu(y)  # noqa: E731
    must_capture(func)
    library = torch.library.Library("aten", "IMPL")
    try:
        library.impl("celu", lambda y, alpha=1.0: y * 3.0, "AutogradCPU", allow_override=True)
        assert not agrees_now(func)
        with pytest.warns(FallbackWarning, match="operators"):
            end = odeint(func, Y, torch.tensor([0.0, 1.0]))[-1]
        torch.testing.assert_close(end, Y * np.exp(3.0), rtol=1e-4, atol=1e-4)
    finally:
        library._destroy()
    must_capture(func)


@pytest.mark.parametrize("key", ["CUDA", "AutogradCUDA"])
def test_operators_of_torchs_implemented_anew_for_a_gpu(key: str) -> None:
    func: Field = lambda t, y: torch.celu(y)  # noqa: E731
    must_capture(func)
    library = torch.library.Library("aten", "IMPL")
    try:
        library.impl("celu", lambda y, alpha=1.0: y * 3.0, key, allow_override=True)
        assert "operators of torch's were implemented anew" in declined(func)
    finally:
        library._destroy()
    must_capture(func)


@pytest.mark.parametrize("call", ["__call__", "_call_impl"])
def test_what_every_module_goes_through(call: str) -> None:
    net = Calling(nn.Identity())
    before = getattr(nn.Module, call)

    def calling(self: nn.Module, *arguments: Any, **named: Any) -> Any:
        return before(self, *arguments, **named) * (3.0 if type(self) is nn.Identity else 1.0)

    must_capture(net)
    with held(nn.Module, call, calling):
        agrees_now(net)
    must_capture(net)


@pytest.mark.parametrize("name", ["mul", "__mul__", "__rsub__", "sin", "__pow__"])
def test_methods_of_tensors_that_are_replaced(name: str) -> None:
    func: Field = {  # type: ignore[assignment]
        "mul": lambda t, y: y.mul(2.0),
        "__mul__": lambda t, y: y * 2.0,
        "__rsub__": lambda t, y: 1.0 - y,
        "sin": lambda t, y: y.sin(),
        "__pow__": lambda t, y: y**2,
    }[name]
    must_capture(func)
    before = getattr(Tensor, name)
    own = name in Tensor.__dict__
    calls = []

    def replaced(self: Tensor, *arguments: Any) -> Any:
        calls.append(name)
        return before(self, *arguments)

    setattr(Tensor, name, replaced)
    try:
        captured = agrees_now(func)
        assert calls or not captured
    finally:
        setattr(Tensor, name, before) if own else delattr(Tensor, name)
    must_capture(func)
