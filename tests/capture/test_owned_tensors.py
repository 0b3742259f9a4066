"""What a call does to a function's tensors, and reads from them, beside what the dispatcher sees."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from capture.agreement import T, Y, declined, must_capture, true
from flashode.capture.calling.effects import Effects
from flashode.capture.guards.watch import watch
from flashode.capture.refusal import Refusal


class Owner(nn.Module):
    """A field with a parameter, a buffer, an index and a number kept with a tensor."""

    def __init__(self, act: Callable[[Any, Tensor], Any]) -> None:
        super().__init__()
        self.act = act
        self.w = nn.Parameter(torch.ones(3))
        self.c = nn.Parameter(torch.tensor(2.0))
        self.n: Any
        self.register_buffer("n", torch.zeros(3))
        self.i: Tensor
        self.register_buffer("i", torch.tensor(1))
        self.n.calls = 0

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        act = self.act(self, y)
        return y * self.n + self.w + (act if isinstance(act, Tensor) else 0.0)


def state(owner: Owner) -> list[Any]:
    return [
        (type(x), x.tolist(), x.dtype, x.requires_grad, x.grad, dict(x.__dict__), x._backward_hooks)
        for x in (owner.w, owner.c, owner.n, owner.i)
    ]


def assigned(owner: Any, y: Tensor) -> None:
    owner.n.data = owner.n + 1


def assigned_to_a_parameter(owner: Any, y: Tensor) -> None:
    owner.w.data = torch.ones(3)


def borrowed(owner: Any, y: Tensor) -> None:
    x = torch.zeros(3)
    x.data = owner.n
    x.add_(1)


def filled(index: Callable[[Any], Any]) -> Callable[[Any, Tensor], Tensor]:
    def act(owner: Any, y: Tensor) -> Tensor:
        z = torch.zeros_like(y)
        z[:, index(owner)] = 1.0
        return z

    return act


def hooked(owner: Any, y: Tensor) -> Tensor:
    x = y * owner.w
    x.register_hook(lambda gradient: gradient.clamp(-1e3, 1e3))
    return x


CHANGES: dict[str, tuple[Callable[[Any, Tensor], Any], str]] = {
    "data": (assigned, "assigns to a tensor's .data"),
    "data of a parameter": (assigned_to_a_parameter, "assigns to a tensor's .data"),
    "data of a temporary": (borrowed, "assigns to a tensor's .data"),
    "setattr": (lambda o, y: setattr(o.n, "data", o.n + 1), "assigns to a tensor's .data"),
    "swap": (lambda o, y: torch.utils.swap_tensors(o.n, torch.ones(3)), "names swap_tensors"),
    "set_": (lambda o, y: o.n.set_(torch.ones(3)), "changes a tensor that it owns in place"),
    "write to data": (lambda o, y: o.n.data.add_(1), "changes a tensor that it owns in place"),
    "out": (lambda o, y: torch.add(o.n, 1, out=o.n), "writes into its arguments"),
    "foreach": (lambda o, y: torch._foreach_add_([o.n], 1), "writes into its arguments"),
    "numpy": (lambda o, y: o.n.numpy().fill(1), "memory from Python"),
    "numpy's copyto": (lambda o, y: np.copyto(o.n.numpy(), 1), "memory from Python"),
    "dlpack": (lambda o, y: np.from_dlpack(o.n), "memory from Python"),
    "storage": (lambda o, y: o.n.untyped_storage().fill_(1), "memory from Python"),
    "deep copy": (lambda o, y: o.n.__deepcopy__({}), "memory from Python"),
    "grad": (lambda o, y: setattr(o.w, "grad", torch.ones(3)), "uses .grad"),
    "no grad": (lambda o, y: setattr(o.w, "grad", None), "uses .grad"),
    "zero_grad": (lambda o, y: o.zero_grad(), "uses .grad"),
    "backward": (lambda o, y: o.w.sum().backward(), "changes the .grad"),
    "attribute": (lambda o, y: setattr(o.n, "seen", True), "it changes the function.n.seen"),
    "hook": (lambda o, y: o.w.register_hook(lambda g: g), "register_hook"),
    "hook on a temporary": (hooked, "register_hook"),
    "post-accumulation hook": (
        lambda o, y: o.w.register_post_accumulate_grad_hook(lambda p: None), "register_post_accumulate"
    ),
}  # fmt: skip
READS: dict[str, tuple[Callable[[Any, Tensor], Any], str]] = {
    "version": (lambda o, y: y * o.w._version, "uses ._version"),
    "version of the state": (lambda o, y: y * getattr(y, "_version"), "uses ._version"),  # noqa: B009
    "grad": (lambda o, y: y if o.w.grad is None else -y, "uses .grad"),
    "base": (lambda o, y: y if y._base is None else -y, "uses ._base"),
    "offset": (lambda o, y: y * o.w.storage_offset(), "storage_offset"),
    "tensor": (lambda o, y: y * torch.tensor([o.c, 1.0, 2.0]), "among the arguments of tensor"),
    "tensor of tensors": (lambda o, y: y @ torch.tensor([[*o.w]] * 3), "among the arguments of tensor"),
    "as_tensor": (lambda o, y: y * torch.as_tensor([o.c, 1.0, 2.0]), "among the arguments of as_tensor"),
    "asarray": (lambda o, y: y * torch.asarray([o.c, 1.0, 2.0]), "among the arguments of asarray"),
    "new_tensor": (lambda o, y: y * y.new_tensor(data=[o.c, 1.0, 2.0]), "arguments of new_tensor"),
    "new": (lambda o, y: y * o.c.new([o.c, 1.0, 2.0]), "among the arguments of new"),
    "Tensor": (lambda o, y: y * torch.Tensor([o.c, 1.0, 2.0]), "an old constructor"),
    "FloatTensor": (lambda o, y: y * torch.FloatTensor([o.c, 1.0, 2.0]), "an old constructor"),
    "index": (lambda o, y: y[..., [o.i]], "a list that holds a tensor"),
    "index of a table": (lambda o, y: y * torch.eye(3)[[[o.i, 0, 0]]], "a list that holds a tensor"),
    "index by a tuple": (lambda o, y: y[:, (o.i, o.i, 0)], "a list that holds a tensor"),
    "place": (filled(lambda o: [o.i]), "a list that holds a tensor"),
    "split": (lambda o, y: y * torch.tensor_split(y.T, o.i[None])[0].sum(), "arguments of tensor_split"),
    "str": (lambda o, y: y * len(str(o.c)), "prints or formats"),
    "%": (lambda o, y: y * float("%s" % o.c.detach()), "prints or formats"),  # noqa: UP031
    "format": (lambda o, y: y * float(f"{o.c:.3f}"), "prints or formats"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_refused_and_undone(name: str) -> None:
    act, reason = CHANGES[name]
    owner = Owner(act)
    before = state(owner)
    assert reason in declined(owner)
    assert state(owner) == before


@pytest.mark.parametrize("name", READS)
def test_what_is_read_unseen_is_refused(name: str) -> None:
    act, reason = READS[name]
    assert reason in declined(Owner(act))


def test_tensors_made_of_numbers_and_arrays_are_not_refused() -> None:
    numbers = np.array([1.0, 2.0, 3.0], np.float32)
    true(lambda t, y: y * torch.tensor([1.0, 2.0, 3.0]) + torch.as_tensor([[1.0]]) + y.new_tensor([2.0]))
    true(lambda t, y: y * torch.from_numpy(numbers))
    true(lambda t, y: torch.cat(y.tensor_split(3, -1)[::-1], -1)[:, [1, 0, 2]])
    true(Owner(filled(lambda o: [1, 2])))


def test_a_counter_kept_with_a_tensor() -> None:
    owner = Owner(lambda o, y: None)

    class Counting(Owner):
        def forward(self, t: Tensor, y: Tensor) -> Tensor:
            self.n.calls += 1
            return y * self.w

    owner = Counting(lambda o, y: None)
    must_capture(owner).count(3)
    assert owner.n.calls == 3


def test_other_memory_is_taken_away_again() -> None:
    owner = Owner(lambda o, y: o.c)
    effects = Effects(watch(owner))
    before = state(owner)

    def change() -> None:
        torch.utils.swap_tensors(owner.w, nn.Parameter(torch.ones(5)))
        owner.w.grad = torch.ones(5)
        owner.c.requires_grad_(False)
        owner.n.data = torch.full((3,), 7.0)

    with pytest.raises(Refusal, match="other memory"):
        effects.undone(change)
    assert state(owner) == before
    effects.undone(lambda: owner(T, Y))
