"""What a random field reads, and how that is changed: a part of a program for each way to keep a number."""

import builtins
import copy
import dataclasses
import enum
import functools
import operator
import types
from collections import OrderedDict, namedtuple
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

Space = dict[str, Any]
Change = Callable[[Space, float], object]


@dataclasses.dataclass(frozen=True)
class Source:
    """One way to keep a number.

    Attributes:
        read: an expression for it, over ``t``, ``y`` and the globals of the field.
        make: fills the globals.
        changes: each takes the globals and a number, which need not be what is read then.
        undo: takes away what is not in the globals.
    """

    read: str
    make: Callable[[Space], object]
    changes: tuple[Change, ...]
    undo: Callable[[], object] = lambda: None


def _set(target: str) -> Change:
    """Assigns to an expression."""
    return _run(f"{target} = value")


def _run(source: str) -> Change:
    """Runs statements that see the field's globals and the number as ``value``."""
    code = compile(source, "<change>", "exec")

    def change(space: Space, value: float) -> None:
        exec(code, {**space, "value": value, "torch": torch, "types": types, "copy": copy, "nn": nn})

    return change


def _put(name: str, make: Callable[[float], Any]) -> Change:
    """Puts something else under a global name."""
    return lambda space, value: space.__setitem__(name, make(value))


class Base:
    inherited = 0.3


class OtherBase:
    inherited = 0.7


class Descriptor:
    def __init__(self, value: float) -> None:
        self.value = value

    def __get__(self, owner: Any, kind: Any = None) -> float:
        return self.value


class Level(enum.Enum):
    LOW = 0.2
    HIGH = 0.6


Pair = namedtuple("Pair", ["first", "second"])


def _kind(**attributes: Any) -> type:
    return type("Kind", (types.new_class("Middle", (Base,)),), attributes)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.act: Any = nn.Tanh()
        self.register_buffer("shift", torch.tensor(0.1))
        self.gain = 0.4

    def forward(self, y: Tensor) -> Tensor:
        return self.act(self.layer(y) + self.shift) * self.gain  # type: ignore[no-any-return,operator]


def _function(value: float) -> Callable[..., float]:
    return lambda *arguments: value


def _sources() -> dict[str, Source]:
    def with_object(make: Callable[[], Any]) -> Callable[[Space], object]:
        return lambda space: space.update(user=make())

    def removed(holder: Any, name: str) -> Callable[[], object]:
        return lambda: delattr(holder, name) if name in holder.__dict__ else None

    on_object = (
        _set("user.rate"),
        _put("user", lambda value: _kind(rate=value)()),
        _run("type(user).rate = value"),
        _run("type(user).rate = property(lambda self: value)"),
        _run("vars(user).pop('rate', None)\nif not hasattr(user, 'rate'): user.rate = value"),
        _run("user.other = value"),
        _run("user.__class__ = type('Another', (type(user),), {'rate': value, 'other': 1})"),
        _run("object.__setattr__(user, 'rate', torch.tensor(value)) if hasattr(user, '__dict__') else None"),
    )
    return {
        "global": Source(
            "RATE",
            lambda s: s.update(RATE=0.3),
            (_put("RATE", float), _put("RATE", int), _put("RATE", torch.tensor), _put("RATE", np.float32)),
        ),
        "list": Source(
            "table[0]",
            lambda s: s.update(table=[0.3, 0.4]),
            (
                _set("table[0]"),
                _put("table", lambda v: (v, v)),
                _run("table.append(value)"),
                _put("table", lambda v: {0: v}),
            ),
        ),
        "dict": Source(
            "table_['rate']",
            lambda s: s.update(table_={"rate": 0.3}),
            (
                _set("table_['rate']"),
                _run("table_['other'] = value"),
                _run("table_.pop('rate')\ntable_['rate'] = value"),
                _put("table_", lambda v: OrderedDict(rate=v)),
            ),
        ),
        "object": Source("user.rate", with_object(lambda: _kind(rate=0.3)()), on_object),
        "string": Source("getattr(user, 'rate')", with_object(lambda: _kind(rate=0.2)()), on_object),
        "absent": Source("getattr(user, 'rate', 0.5)", with_object(lambda: _kind()()), on_object),
        "caught": Source(
            "asked(user)",
            lambda s: (
                with_object(lambda: _kind()())(s),
                exec("def asked(user):\n try:\n  return user.rate\n except AttributeError:\n  return 0.5", s),
            ),
            on_object,
        ),
        "inherited": Source(
            "heir.inherited",
            lambda s: s.update(heir=_kind()()),
            (
                _run("type(heir).__mro__[1].inherited = value"),
                _run("type(heir).inherited = value"),
                _set("heir.inherited"),
                _run("type(heir).__mro__[1].__bases__ = (other,)"),
                _run("type(heir).__mro__[1].__bases__ = (base,)"),
                _run("[delattr(k, 'inherited') for k in type(heir).__mro__[:2] if 'inherited' in vars(k)]"),
            ),
        ),
        "descriptor": Source(
            "described.rate",
            lambda s: s.update(
                described=type("Kind", (), {"rate": Descriptor(0.3)})(), Descriptor=Descriptor
            ),
            (
                _run("vars(type(described))['rate'].value = value"),
                _run("type(described).rate = Descriptor(value)"),
                _run("type(described).rate = value"),
                _run("described.rate = value"),
            ),
        ),
        "method": Source(
            "has_method.act()",
            lambda s: s.update(has_method=_kind(act=_function(0.3))()),
            (
                _run("type(has_method).act = lambda self: value"),
                _run("type(has_method).act = staticmethod(lambda: value)"),
                _run("type(has_method).act = classmethod(lambda cls: value)"),
                _run("has_method.act = lambda: value"),
                _run("type(has_method).act = types.MethodType(lambda a: value, has_method)"),
            ),
        ),
        "function": Source(
            "act()",
            lambda s: s.update(act=_function(0.3)),
            (
                _put("act", _function),
                _put("act", lambda v: functools.partial(float, v)),
                _put("act", lambda v: torch.no_grad()(_function(v))),
                _put("act", lambda v: types.MethodType(_function(v), object())),
                _run(
                    "for cell in getattr(act, '__closure__', None) or ():\n"
                    " if isinstance(cell.cell_contents, float): cell.cell_contents = value"
                ),
            ),
        ),
        "default": Source(
            "defaulted()",
            lambda s: exec("def defaulted(rate=0.3, *, more=0.1): return rate + more", s),
            (
                _run("defaulted.__defaults__ = (value,)"),
                _run("defaulted.__kwdefaults__ = {'more': value}"),
                _run("defaulted.__code__ = (lambda rate=0, *, more=0: rate - more).__code__"),
            ),
        ),
        "attribute of a function": Source(
            "marked.rate",
            lambda s: (exec("def marked(): pass", s), setattr(s["marked"], "rate", 0.3)),
            (_set("marked.rate"), _run("marked.other = value")),
        ),
        "attribute of a wrapper": Source(
            "wrapped.rate",
            lambda s: (s.update(wrapped=torch.no_grad()(_function(0.3))), setattr(s["wrapped"], "rate", 0.3)),
            (_set("wrapped.rate"),),
        ),
        "partial": Source(
            "part()",
            lambda s: s.update(part=functools.partial(lambda rate: rate, rate=0.3)),
            (
                _run("part.keywords['rate'] = value"),
                _put("part", lambda v: functools.partial(lambda rate, more=0.0: rate + more, v)),
            ),
        ),
        "slots": Source(
            "slotted.rate",
            lambda s: s.update(slotted=_slotted(0.3)),
            (_set("slotted.rate"), _put("slotted", lambda v: _slotted(v))),
        ),
        "named tuple": Source(
            "pair.first",
            lambda s: s.update(pair=Pair(0.3, 0.4)),
            (_put("pair", lambda v: Pair(v, 0.4)), _put("pair", lambda v: Pair(0.3, v))),
        ),
        "enum": Source(
            "level.value",
            lambda s: s.update(level=Level.LOW, Level=Level),
            (_put("level", lambda v: Level.HIGH if v > 0 else Level.LOW),),
        ),
        "data": Source(
            "data.rate",
            lambda s: s.update(data=_data(0.3)),
            (_set("data.rate"), _put("data", _data), _run("type(data).rate = value"), _run("del data.rate")),
        ),
        "namespace": Source(
            "spare.rate",
            lambda s: s.update(spare=types.SimpleNamespace(rate=0.3)),
            (_set("spare.rate"), _set("spare.other")),
        ),
        "array": Source(
            "float(numbers[1])",
            lambda s: s.update(numbers=np.array([0.1, 0.3])),
            (_set("numbers[1]"), _set("numbers[0]"), _put("numbers", lambda v: np.array([v, v], np.float32))),
        ),
        "constant": Source(
            "span.stop * 0.1",
            lambda s: s.update(span=range(0, 3, 2)),
            (
                _put("span", lambda v: range(0, 4, 2)),
                _put("span", lambda v: range(0, 3, 2)),
                _put("span", lambda v: slice(v)),
                _put("span", lambda v: slice(int(v))),
            ),
        ),
        "tensor": Source(
            "weight",
            lambda s: s.update(weight=torch.tensor(0.3)),
            (
                _run("weight.fill_(value)"),
                _put("weight", torch.tensor),
                _put("weight", lambda v: nn.Parameter(torch.tensor(v))),
                _run("weight.data = torch.tensor(value)"),
                _put("weight", lambda v: torch.tensor([v])),
                _run("weight.note = value"),
            ),
        ),
        "module": Source(
            "net(y).mean(-1, keepdim=True)",
            lambda s: s.update(net=Net()),
            (
                _set("net.gain"),
                _run("net.shift.fill_(value)"),
                _run("net.act = nn.Sigmoid()"),
                _run("net.layer = nn.Linear(2, 2, bias=value > 0)"),
                _run("with torch.no_grad(): net.layer.weight.add_(0.1 * value)"),
                _run("net.layer.requires_grad_(value > 0)"),
                _run("net.train(value > 0)"),
                _run("net.act = nn.Dropout(0.5)"),
                _run("net.act.register_forward_hook(lambda m, i, o: o * value)"),
                _run("net.layer._forward_hooks.clear(); net.act._forward_hooks.clear()"),
                _run("net.forward = lambda y: y * value"),
                _run("vars(net).pop('forward', None)"),
                _run("net.load_state_dict({k: v * value for k, v in net.state_dict().items()})"),
                _run(
                    "del net.gain\nnet.register_buffer('gain', torch.tensor(value))\n"
                    "del net._buffers['gain']\nnet.gain = value"
                ),
                _run(
                    "if not hasattr(net.layer, 'parametrizations'):\n"
                    " nn.utils.parametrizations.weight_norm(net.layer)"
                ),
            ),
        ),
        "on tensors": Source(
            "(y.flashode_rate * y.sigmoid())",
            lambda s: setattr(Tensor, "flashode_rate", 0.3),
            (
                lambda s, v: setattr(Tensor, "flashode_spare", v),
                lambda s, v: delattr(Tensor, "flashode_spare"),
                lambda s, v: setattr(Tensor, "sigmoid", lambda y: torch.sigmoid(y) * v),
                lambda s, v: delattr(Tensor, "sigmoid"),
                lambda s, v: setattr(Tensor, "flashode_rate", v),
                lambda s, v: setattr(Tensor, "flashode_rate", property(lambda self: v)),
            ),
            lambda: [removed(Tensor, name)() for name in ("flashode_rate", "flashode_spare", "sigmoid")],
        ),
        "on modules": Source(
            "plain.flashode_rate",
            lambda s: (s.update(plain=nn.Identity()), setattr(nn.Module, "flashode_rate", 0.3)),
            (
                lambda s, v: setattr(nn.Module, "flashode_rate", v),
                lambda s, v: setattr(nn.Identity, "flashode_rate", v),
                _set("plain.flashode_rate"),
            ),
            lambda: (removed(nn.Module, "flashode_rate")(), removed(nn.Identity, "flashode_rate")()),
        ),
        "in torch": Source(
            "F.flashode_rate",
            lambda s: (s.update(F=F), setattr(F, "flashode_rate", 0.3)),
            (lambda s, v: setattr(F, "flashode_rate", v),),
            removed(F, "flashode_rate"),
        ),
        "in torch, held": Source(
            "held[0].flashode_act()",
            lambda s: (s.update(held=[F]), setattr(F, "flashode_act", _function(0.3))),
            (
                lambda s, v: setattr(F, "flashode_act", _function(v)),
                lambda s, v: setattr(F, "flashode_act", torch.no_grad()(_function(v))),
            ),
            removed(F, "flashode_act"),
        ),
        "builtin": Source(
            "flashode_rate",
            lambda s: setattr(builtins, "flashode_rate", 0.3),
            (
                lambda s, v: setattr(builtins, "flashode_rate", v),
                _put("flashode_rate", float),
                lambda s, v: s.pop("flashode_rate", None),
            ),
            removed(builtins, "flashode_rate"),
        ),
        "documented": Source(
            "float(spoken.__doc__)",
            lambda s: exec("def spoken(): '0.3'", s),
            (_run("spoken.__doc__ = str(value)"),),
        ),
        "formatted": Source(
            "float('{u.rate}'.format(u=told))",
            lambda s: s.update(told=_kind(rate=0.3)()),
            (_set("told.rate"), _run("type(told).rate = value")),
        ),
        "attrgetter": Source(
            "getter(nested)",
            lambda s: s.update(
                getter=operator.attrgetter("inner.rate"),
                nested=types.SimpleNamespace(inner=_kind(rate=0.3)()),
            ),
            (_set("nested.inner.rate"),),
        ),
        "mode": Source(
            "guarded(y).mean(-1, keepdim=True)",
            lambda s: s.update(guarded=torch.set_grad_enabled(True)(lambda y: y * 0.1)),
            (lambda s, v: s.update(guarded=_decorated(v > 0)), _put("guarded", lambda v: lambda y: y * v)),
        ),
    }


def _decorated(on: bool) -> Any:
    with torch.enable_grad():
        return torch.set_grad_enabled(on)(lambda y: y * 0.1)


def _slotted(value: float) -> Any:
    instance = type("Slotted", (), {"__slots__": ("rate",)})()
    instance.rate = value
    return instance


def _data(value: float) -> Any:
    return dataclasses.make_dataclass("Data", [("rate", float, 0.1)])(value)


SOURCES = _sources()
