"""Nothing that a call of a capture does is noticed, whatever the function makes of being stopped."""

import gc
import itertools
import sys
import time
import types
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from capture.agreement import D, T, Y, captured_at, declined, evaluated, must_capture, true
from flashode.capture import Capture
from flashode.declined import Declined


def test_tracers_and_profilers_are_back_and_nothing_else_is_seen() -> None:
    seen: list[str] = []

    def tracing(frame: types.FrameType, event: str, argument: Any) -> None:
        seen.append("traced")

    def profiling(frame: types.FrameType, event: str, argument: Any) -> None:
        seen.append("profiled")

    def bad(t: Tensor, y: Tensor) -> Tensor:
        print("never")
        return y

    before = sys.gettrace(), sys.getprofile()
    for func in (lambda t, y: -y * 3, bad):
        for enabled in (True, False):
            (gc.enable if enabled else gc.disable)()
            try:
                sys.settrace(tracing)
                sys.setprofile(profiling)
                captured_at(func, T, Y)
                after = sys.gettrace(), sys.getprofile(), gc.isenabled()
            finally:
                sys.settrace(before[0])
                sys.setprofile(before[1])
                gc.enable()
            assert after == (tracing, profiling, enabled)


def test_whatever_a_function_makes_of_being_stopped() -> None:
    """A handler for everything catches what ends the call, and its answer is none of the function's."""
    log: list[float] = []

    def field(t: Tensor, y: Tensor) -> Tensor:
        try:
            log.append(time.time())
        except BaseException:
            return -y
        return y

    declined(field)
    assert log == []


def test_a_queue_is_left_as_it_is() -> None:
    queue, items = deque([1.0, 2.0]), iter([1.0, 2.0, 3.0])

    def field(t: Tensor, y: Tensor, kept: Any = None) -> Tensor:
        (queue if kept is None else kept).rotate()
        return -y

    def consuming(t: Tensor, y: Tensor) -> Tensor:
        return y * next(items)

    own = deque([1.0, 2.0])

    def with_a_default(t: Tensor, y: Tensor, kept: Any = own) -> Tensor:
        kept.rotate()
        return -y

    for func in (field, consuming, with_a_default):
        declined(func)
    assert list(queue) == list(own) == [1.0, 2.0]
    assert next(items) == 1.0


@pytest.mark.parametrize("first", [4, 2])
def test_what_only_another_batch_size_does(first: int) -> None:
    log: list[int] = []
    items = iter(range(100))

    def field(t: Tensor, y: Tensor) -> Tensor:
        if y.shape[0] > 4:
            log.append(next(items))
        return -y

    for size in (first, 9):
        captured_at(field, T, torch.randn(size, 3))
    assert log == [] and next(items) == 0


def finally_(queue: deque[int]) -> None:
    try:
        queue.pop()
    finally:
        queue.pop()


def handled(queue: deque[int]) -> None:
    try:
        queue.pop()
    except BaseException:
        queue.pop()


def again(queue: deque[int]) -> None:
    for _ in range(5):
        try:
            queue.pop()
            break
        except:  # noqa: E722
            continue


class Leaving:
    def __init__(self, queue: deque[int]) -> None:
        self.queue = queue

    def __enter__(self) -> None:
        pass

    def __exit__(self, *args: object) -> None:
        self.queue.pop()


def with_(queue: deque[int]) -> None:
    with Leaving(queue):
        queue.pop()


@pytest.mark.parametrize("act", [finally_, handled, again, with_])
def test_what_follows_where_a_call_is_stopped(act: Callable[[deque[int]], None]) -> None:
    queue = deque(range(20))

    def field(t: Tensor, y: Tensor) -> Tensor:
        act(queue)
        return -y

    declined(field)
    assert len(queue) == 20
    assert sys.exc_info() == (None, None, None)
    with pytest.raises(ValueError, match="later") as caught:
        raise ValueError("later")
    assert caught.value.__context__ is None


def test_a_call_that_begins_anew_for_ever() -> None:
    count, queue = itertools.count(), deque(range(1000))

    def field(t: Tensor, y: Tensor) -> Tensor:
        while queue:
            try:
                next(count)
                queue.pop()
            except BaseException:
                queue.pop()
        return -y

    declined(field)


def test_more_objects_than_are_looked_at() -> None:
    log: list[int] = []
    many = [[float(i)] * 4 for i in range(200)]
    nested = [many[:] for _ in range(60)]

    def field(t: Tensor, y: Tensor) -> Tensor:
        log.append(1)
        return y * len(nested)

    declined(field)
    assert log == []


def test_loads_by_long_arguments() -> None:
    space: dict[str, Any] = {f"g{i}": float(i) for i in range(400)}
    space["items"] = iter(range(10))
    names = " + ".join(f"g{i}" for i in range(400))
    exec(f"def field(t, y):\n    return y * ({names}) * next(items)", space)
    declined(space["field"])
    assert next(space["items"]) == 0


def test_numbers_keep_their_precision() -> None:
    y = Y.to(D)

    def field(t: Tensor, y: Tensor) -> Tensor:
        return 1e8 * y * (torch.tensor([t, 0.1, 0.2], dtype=D) - torch.tensor([0.0, 0.1, 0.2], dtype=D))

    captured, t = must_capture(field, y), torch.tensor(0.7, dtype=D)
    assert torch.equal(evaluated(captured, t, y)[:, 1:], field(t, y)[:, 1:])


def test_parts_of_a_function_that_is_not_called() -> None:
    cell = 2.0

    def helper(x: float = 3.0, *, k: float = 5.0) -> float:
        return x * cell * k

    fields: list[Callable[[Tensor, Tensor], Tensor]] = [
        lambda t, y: y * helper.__defaults__[0],  # type: ignore[index]
        lambda t, y: y * helper.__kwdefaults__["k"],
        lambda t, y: y * helper.__closure__[0].cell_contents,  # type: ignore[index]
    ]
    for field in fields:
        true(field)
    helper.__defaults__, helper.__kwdefaults__, cell = (7.0,), {"k": 11.0}, 13.0
    for field in fields:
        true(field)


def test_an_attribute_that_takes_the_place_of_one_found_elsewhere() -> None:
    class Fallback:
        def __init__(self) -> None:
            self.unused = 1.0

        def __getattr__(self, name: str) -> float:
            return 2.0

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale, self.unused = nn.Parameter(torch.ones(3)), 1.0

        def forward(self, t: Tensor, y: Tensor) -> Tensor:
            return y * self.scale

    thing, net = Fallback(), Net()
    field: Callable[[Tensor, Tensor], Tensor] = lambda t, y: y * thing.rate  # noqa: E731
    true(field)
    true(net)
    del thing.unused, net.unused
    thing.rate = 5.0  # type: ignore[attr-defined]
    net.__dict__["scale"] = torch.full((3,), 4.0)
    true(field)
    true(net)


def test_requires_grad_of_t_and_of_what_is_made_of_parameters() -> None:
    weight = nn.Parameter(torch.ones(3))

    def of_both(t: Tensor, y: Tensor) -> Tensor:
        return 2 * y if y.requires_grad and not t.requires_grad else y

    def of_own(t: Tensor, y: Tensor) -> Tensor:
        return y * weight if (weight * 2).requires_grad else -y

    for field in (of_both, of_own):
        assert "asks for requires_grad" in declined(field)


class Memo(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.noise: Tensor | None = None

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        if self.noise is None:
            self.noise = torch.randn_like(y)
        return y * self.noise


def test_what_has_been_kept_meanwhile() -> None:
    net, other = Memo(), Memo()
    assert isinstance(captured_at(net, T, Y), Declined)
    net(T, Y)
    assert isinstance(captured_at(net, T, Y), Capture)
    assert isinstance(captured_at(other, T, Y), Declined)
    other.noise = torch.ones(4, 3)
    assert isinstance(captured_at(other, T, Y), Capture)
