"""Where blocks of launches meet."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from cuda.host import Host

pytestmark = pytest.mark.usefixtures("compiled")

CPU = torch.device("cpu")


def test_no_two_launches_have_the_same_rounds() -> None:
    from flashode.engines.cuda.launch import _ROUNDS, Launcher

    launcher = Launcher(Host())
    with ThreadPoolExecutor(8) as pool:
        rounds = list(pool.map(lambda _: launcher.slots(3, CPU).round, range(1000)))
    assert sorted(rounds) == [1 + launch * _ROUNDS for launch in range(1000)]


def test_slots_are_new_where_they_are_too_few_and_where_rounds_run_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from flashode.engines.cuda import launch

    launcher = launch.Launcher(Host())
    first, second, more = (launcher.slots(blocks, CPU) for blocks in (3, 2, 4))
    assert second.memory is first.memory
    assert more.memory is not first.memory and more.round == 1 and not more.memory.any()
    assert launch._LAST_ROUND + launch._ROUNDS < 2**64
    monkeypatch.setattr(launch, "_LAST_ROUND", launch._ROUNDS)
    again = launcher.slots(4, CPU)
    assert again.memory is not more.memory and again.round == 1
