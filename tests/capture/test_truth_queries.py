"""What a function asks of its tensors, and of torch, has the answer that it has in a solve."""

from __future__ import annotations

import abc
import collections.abc
import operator
import types
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import has_torch_function
from torch.overrides import has_torch_function_unary as same_as_before
from torch.utils import _python_dispatch
from torch.utils._python_dispatch import is_traceable_wrapper_subclass
from torch.utils.dlpack import to_dlpack

import flashode
from capture.agreement import agrees, must_capture
from flashode.capture.guards.execution import Execution, Unseen
from flashode.capture.guards.watch import reached, watch
from flashode.capture.refusal import Refusal
from flashode.capture.tracing.trace import trace

T = torch.tensor([0.0, 1.0], dtype=torch.float64)
Y = torch.ones(3, 2, dtype=torch.float64)
WEIGHT = nn.Parameter(torch.ones(2, dtype=torch.float64))
OPTIONS = {"step_size": 0.5}


class Registered(abc.ABC):  # noqa: B024
    pass


Registered.register(Tensor)

# Each is of one tensor, which is t, y or computed from them.
CAPTURED: dict[str, Callable[[Tensor], object]] = {
    "type": lambda x: type(x) is Tensor,
    "equal types": lambda x: type(x) == Tensor,  # noqa: E721
    "class": lambda x: x.__class__ is Tensor,
    "type of a type": lambda x: type(type(x)) is type(Tensor),
    "name": lambda x: type(x).__name__ == type(x).__qualname__ == "Tensor",
    "module": lambda x: type(x).__module__ == "torch",
    "bases": lambda x: len(type(x).__mro__) == len(Tensor.__mro__),
    "among types": lambda x: type(x) in (Tensor, nn.Parameter),
    "table of types": lambda x: {Tensor: 1, nn.Parameter: 0}.get(type(x), 0),
    "operator": lambda x: operator.is_(type(x), Tensor),
    "subclass": lambda x: issubclass(type(x), Tensor),
    "instance": lambda x: isinstance(x, Tensor),
    "other instance": lambda x: not isinstance(x, (int, float, nn.Parameter, nn.Buffer)),
    "abstract": lambda x: isinstance(x, Registered) and isinstance(x, collections.abc.Hashable),
    "is_tensor": torch.is_tensor,
    "vars": lambda x: not vars(x),
    "dictionary": lambda x: x.__dict__ == {},
    "dir": lambda x: dir(x) == dir(Y),
    "hasattr": lambda x: not (hasattr(x, "place") or hasattr(x, "value") or hasattr(x, "elem")),
    "getattr": lambda x: getattr(x, "value", None) is None,
    "dispatch of its class": lambda x: type(x).__torch_dispatch__ is Tensor.__torch_dispatch__,
    "function of its class": lambda x: type(x).__torch_function__ == Tensor.__torch_function__,
    "made by its class": lambda x: len(type(x)(3)) == 3,
    "type of an owned one": lambda x: type(WEIGHT) is nn.Parameter,
    "type with an owned one": lambda x: type(x + WEIGHT.sum()) is Tensor,
    "type of a view": lambda x: type(x.reshape(-1)) is type(x.detach()) is Tensor,
    "identity": lambda x: x is not WEIGHT and x in [x],
    "wrapped": lambda x: not is_traceable_wrapper_subclass(x),
    "transformed": lambda x: not torch._C._functorch.is_functorch_wrapped_tensor(x),
    "compiled": lambda x: not torch.compiler.is_compiling(),
    "layout": lambda x: x.layout is torch.strided and x.is_cpu and not x.is_sparse and not x.is_meta,
    "conjugate": lambda x: not (x.is_conj() or x.is_neg() or x._is_zerotensor()),
}
DECLINED: dict[str, Callable[[Tensor], object]] = {
    "overridden": lambda x: has_torch_function((x,)),
    "overridden, in torch": lambda x: torch.overrides.has_torch_function((x,)),
    "overridden, in functional": lambda x: F.has_torch_function_variadic(x),  # type: ignore[attr-defined]
    "overridden, by another name": lambda x: same_as_before(x),
    "modes": lambda x: torch._C._len_torch_function_stack(),
    "dispatch modes": lambda x: torch._C._len_torch_dispatch_stack(),
    "the mode": lambda x: torch.overrides._get_current_function_mode() is not None,
    "the dispatch mode": lambda x: _python_dispatch._get_current_dispatch_mode() is not None,
    "in a mode": lambda x: _python_dispatch.is_in_torch_dispatch_mode(),
    "modes at work": lambda x: not torch._C._is_torch_function_enabled(),
    "keys": lambda x: "Python" in str(torch._C._dispatch_keys(x)),
    "keys included": lambda x: "Python" in str(torch._C._dispatch_tls_local_include_set()),
    "python": lambda x: x._python_dispatch,  # type: ignore[attr-defined]
    "contiguous": lambda x: not x.is_contiguous(),
    "strides": lambda x: x.stride() == (),
    "offset": lambda x: x.storage_offset(),
    "view": lambda x: x._is_view(),
    "order": lambda x: x.dim_order() != (0, 1),
    "shared": lambda x: x.is_shared(),
    "address": lambda x: x._cdata == 0,
    "memory": lambda x: x.const_data_ptr() == 0,  # type: ignore[attr-defined]
    "capsule": lambda x: to_dlpack(x) is None,
    "requires_grad": lambda x: getattr(x, "requires_" + "grad"),
    "grad_fn": lambda x: operator.attrgetter("grad" + "_fn")(x) is not None,
    "inference": lambda x: getattr(x, "is_" + "inference")(),
    "output": lambda x: x.output_nr,
    "hooks": lambda x: x._backward_hooks is not None,
}
KINDS: dict[str, Callable[[Any, Any], Tensor]] = {
    "t": lambda t, y: t,
    "y": lambda t, y: y,
    "y times two": lambda t, y: y * 2,
    "a function of t": lambda t, y: torch.sin(t),
}


def hidden(asks: Callable[[Tensor], object], kind: Callable[[Tensor, Tensor], Tensor]) -> Any:
    """A field that hangs on the answer only where no comparison looks."""

    def field(t: Tensor, y: Tensor) -> Tensor:
        return torch.relu(t - 0.9975) * (400.0 if asks(kind(t, y)) else 800.0) * y - y

    return field


def solved(field: Any, engine: str) -> Tensor:
    with warnings.catch_warnings(), flashode.use_engine(engine):
        warnings.simplefilter("ignore", flashode.FallbackWarning)
        return flashode.odeint(field, Y, T, method="rk4", options=OPTIONS)[-1]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", CAPTURED)
def test_answers_are_those_of_a_solve(name: str, kind: str) -> None:
    field = hidden(CAPTURED[name], KINDS[kind])
    torch.testing.assert_close(solved(field, "native"), solved(field, "eager"), rtol=1e-12, atol=0.0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", DECLINED)
def test_questions_that_only_a_solve_answers(name: str, kind: str) -> None:
    field = hidden(DECLINED[name], KINDS[kind])
    reasons = flashode.explain(field, Y, T, method="rk4", options=OPTIONS).reasons["native"]
    what = ("names", "asks for", "uses .", "reads ")
    assert reasons and all(any(part in reason.what for part in what) for reason in reasons)
    torch.testing.assert_close(solved(field, "auto"), solved(field, "eager"), rtol=0.0, atol=0.0)


def test_a_class_that_matters_late() -> None:
    def field(t: Tensor, y: Tensor) -> Tensor:
        return -y + torch.relu(t - 0.5) * (1.0 if type(y) is Tensor else 2.0) * y

    with flashode.use_engine("native"):
        solution = flashode.odeint(field, torch.ones(3, 2), torch.linspace(0, 1, 3))
    torch.testing.assert_close(solution[-1], torch.full((3, 2), 0.4169), rtol=0.0, atol=1e-4)


def test_in_a_tuple() -> None:
    def field(t: Tensor, y: tuple[Tensor, Tensor]) -> tuple[Tensor, ...]:
        plain = type(y) is tuple and all(type(part) is Tensor and not vars(part) for part in y)
        return tuple(hidden(lambda x: plain, KINDS["y"])(t, part) for part in y)

    with flashode.use_engine("native"):
        solution = flashode.odeint(field, (Y, Y), T, method="rk4", options=OPTIONS)
    torch.testing.assert_close(solution[0][-1], solved(hidden(lambda x: True, KINDS["y"]), "eager"))


def test_parameters_made_of_the_state() -> None:
    def field(t: Tensor, y: Tensor) -> Tensor:
        parameter = nn.Parameter(torch.relu(y - 0.5))
        same = (
            type(parameter) is nn.Parameter
            and isinstance(parameter, nn.Parameter)
            and parameter in nn.ParameterList([parameter])
        )
        return y * parameter if same else y

    new = nn.Parameter.__dict__["__new__"]
    y = torch.linspace(-1, 1, 6, dtype=torch.float64).reshape(3, 2)
    agrees(field, must_capture(field, y), y, [])
    assert nn.Parameter.__dict__["__new__"] is new
    assert type(nn.Parameter(torch.ones(2))) is nn.Parameter


@pytest.mark.parametrize("place", ["t", "y"])
def test_attributes_that_are_set(place: str) -> None:
    def field(t: Tensor, y: Tensor) -> Tensor:
        setattr(t if place == "t" else y, "seen", True)  # noqa: B010
        return -y

    assert "sets an attribute" in flashode.explain(field, Y).declined["native"]


def test_exceptions_that_only_a_trace_raises() -> None:
    def field(t: Tensor, y: Tensor) -> Tensor:
        factor = 400.0
        with suppress(RuntimeError):
            y.to_sparse_csr()
            factor = 800.0
        return torch.relu(t - 0.9975) * factor * y - y

    assert "catches an exception" in flashode.explain(field, Y).declined["native"]
    torch.testing.assert_close(solved(field, "auto"), solved(field, "eager"), rtol=0.0, atol=0.0)


def test_functions_that_torch_is_to_call() -> None:
    @torch.overrides.wrap_torch_function(lambda x: (x,))
    def cut(x: Tensor) -> Tensor:
        return x.detach()

    def field(t: Tensor, y: Tensor) -> Tensor:
        return -y + torch.relu(t - 0.9975) * cut(y)

    assert "by __torch_function__" in flashode.explain(field, Y).declined["native"]


def execution_of(field: Any) -> Execution:
    return Execution(reached(field, frozenset()).codes, ())


def test_what_is_kept_is_of_no_use_later() -> None:
    seen: list[Any] = []

    def field(t: Tensor, y: Tensor) -> Tensor:
        seen.extend([t, y * 2])
        return -y

    trace(field, torch.tensor(0.3), torch.ones(3, 2), watch(lambda t, y: -y), execution_of(field))
    for tensor in seen:
        with pytest.raises(Refusal, match="beyond the call"):
            tensor + 1
        with pytest.raises(Refusal, match="prints"):
            repr(tensor)


# Their answers are ids, or they are refused by name; or a field is traced for both answers.
_APART = {"__hash__", "_python_dispatch", "requires_grad"}


def test_all_attributes() -> None:
    """Every attribute of a tensor, and what its methods return, in a trace and outside."""
    watched = watch(lambda t, y: -y)
    for name in set(dir(Tensor)) - _APART:
        answers: list[Any] = []

        def field(t: Tensor, y: Tensor, name: str = name, answers: list[Any] = answers) -> Tensor:
            answers.extend(answer(x, name) for x in (y, t, y * 2))
            return -y

        with suppress(Refusal, Unseen), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            followed = trace(field, torch.tensor(0.3), torch.ones(3, 2), watched, execution_of(field))
            if followed.outputs and not followed.reasons:
                in_trace = answers[:]
                answers.clear()
                field(torch.tensor(0.3), torch.ones(3, 2))
                assert answers == in_trace, name


def answer(x: Tensor, name: str) -> Any:
    """What Python sees of an attribute, or of what a method returns."""
    try:
        value = getattr(x, name)
        return seen(value() if isinstance(value, (types.MethodType, types.BuiltinMethodType)) else value)
    except Refusal:
        raise
    except Exception as error:
        return type(error)


def seen(value: Any) -> Any:
    if isinstance(value, (tuple, list)):
        return [type(value), *map(seen, value)]
    if isinstance(value, Tensor):
        return type(value), value.shape, value.dtype, vars(value)
    return value if isinstance(value, (bool, int, str, dict, type)) else type(value)
