"""Classes with a metaclass: captured where it only makes classes."""

from typing import Any, ClassVar

from torch import Tensor, nn

from capture.agreement import declined, true


class Registering(type):
    """Keeps a list of its classes, as frameworks do, and changes no call."""

    classes: ClassVar[list[str]] = []

    def __new__(cls, name: str, bases: Any, space: Any) -> Any:
        made = super().__new__(cls, name, bases, space)
        cls.classes.append(name)
        return made


class Calling(type):
    def __call__(cls, *args: Any) -> Any:
        return super().__call__(*args)


class Reading(type):
    rate = 2.0


def with_metaclass(meta: Any) -> nn.Module:
    class Net(nn.Module, metaclass=meta):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(3, 3)

        def forward(self, t: Tensor, y: Tensor) -> Tensor:
            out: Tensor = self.layer(y)
            return out * getattr(type(self), "rate", 1.0) if meta is Reading else out

    return Net()


def test_metaclasses() -> None:
    true(with_metaclass(Registering))
    for meta in (Calling, Reading):
        assert "metaclass" in declined(with_metaclass(meta))


def test_a_metaclass_that_comes_to_do_more() -> None:
    class Meta(type):
        pass

    net = with_metaclass(Meta)
    true(net)
    Meta.__call__ = lambda cls, *args: None  # type: ignore[assignment]
    declined(net)
