"""Classes made where there is no ``__name__`` say that they are of builtins."""

from typing import Any

import torch
from torch import nn

from capture.agreement import true
from flashode.capture import Capture

SOURCE = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))
        self.rate = 2.0

    def forward(self, t, y):
        return -y * self.weight * self.rate


class Callable:
    def __init__(self):
        self.rate = 2.0

    def __call__(self, t, y):
        return -y * self.rate


class Several(list):
    def __call__(self, t, y):
        return y * self[0]
"""


def _made(name: str) -> Any:
    space: dict[str, Any] = {"torch": torch, "nn": nn}
    exec(SOURCE, space)
    assert space[name].__module__ == "builtins"
    return space[name]


def test_they_are_the_user_s() -> None:
    for name in ("Net", "Callable"):
        field = _made(name)()
        before = true(field)
        assert isinstance(before, Capture)
        field.rate = 3.0
        assert true(field).program != before.program
        type(field).rate = property(lambda self: 4.0, lambda self, value: None)
        assert true(field).program != before.program


def test_a_method_replaced_is_noticed() -> None:
    for name, method in (("Net", "forward"), ("Callable", "__call__")):
        field = _made(name)()
        before = true(field).program
        setattr(type(field), method, lambda self, t, y: y + 1)
        assert true(field).program != before
