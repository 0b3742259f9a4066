"""What is said of the kernels that are compiled for a function. The host stands for a GPU."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import flashode
from cuda.host import PROPERTIES, Host, HostKernel
from flashode import explain, odeint


class Field(nn.Module):
    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2, width), nn.Tanh(), nn.Linear(width, 2))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return self.net(y)  # type: ignore[no-any-return]


Y0 = torch.zeros(20, 2)


def test_what_would_run_and_where_things_are() -> None:
    from cuda.solving import cuda_on

    field, host = Field(), Host()
    with cuda_on(host):
        explanation = explain(field, Y0)
        forward, reverse = explanation.kernels
        assert (forward.name, reverse.name) == ("forward", "discrete_vjp")
        found = re.fullmatch(
            r"(\d+) tiles? of (\d+) trajector(?:y|ies), (\d+) threads a block", forward.facts[0]
        )
        assert found is not None
        tiles, lanes, threads = map(int, found.groups())
        assert tiles == -(-20 // lanes)
        assert f"lanes = {lanes};" in forward.source and f"FLASHODE_KERNEL({threads}, " in forward.source
        assert re.fullmatch(
            r"[\d,]+ bytes of shared memory a block: values, parameters, stages", forward.facts[1]
        )
        assert reverse.facts[2:] == ("in global memory: stages", "not compiled yet")
        assert not host._kernels
        odeint(field, Y0, torch.tensor([0.0, 1.0])).sum().backward()
        facts = explain(field, Y0, torch.tensor([0.0, 1.0])).kernels[0].facts
        assert re.fullmatch(r"\d+ registers a thread, \d+ blocks? at a time", facts[-1])
    assert f"kernel      forward: {forward.facts[0]}\n            {forward.facts[1]}\n" in str(explanation)


@pytest.mark.parametrize("to_event", [False, True])
def test_all_blocks_are_told_of(to_event: bool) -> None:
    from cuda.solving import cuda_on

    blocks: list[int] = []

    class Noted(HostKernel):
        def launch(self, blocks_: int, *arguments: Any, **meeting: bool) -> bool:
            blocks.append(blocks_)
            return super().launch(blocks_, *arguments, **meeting)

    class Noting(Host):
        def kernel(self, source: str, name: str, device: torch.device) -> HostKernel:
            return Noted(super().kernel(source, name, device).function, self)

    field, y0, t = Field(), torch.zeros(200, 2), torch.tensor([0.0, 1.0])
    event_fn = (lambda t, y: 0.5 - t + 0.0 * y.sum()) if to_event else None
    with cuda_on(Noting()):
        odeint(field, y0, t, event_fn=event_fn)
        kernel = explain(field, y0, t, event_fn=event_fn).kernels[0]
    (count,) = blocks
    assert count == 1 if to_event else count > 1
    assert kernel.facts[-1].endswith(f"{count} block{'' if to_event else 's'} at a time")


def test_what_shared_memory_has_no_room_for() -> None:
    from dataclasses import replace

    from cuda.solving import cuda_on

    with cuda_on(Host(given=replace(PROPERTIES, shared_bytes=6000))):
        facts = explain(Field(200), Y0).kernels[1].facts
    assert facts[2] == "in global memory: parameters, stages, gradients in parameters"


def test_the_adjoint_has_its_own() -> None:
    from cuda.solving import cuda_on

    with cuda_on(Host()):
        kernels = explain(Field(), Y0, adjoint=True).kernels
    assert [kernel.name for kernel in kernels] == ["forward", "continuous_vjp"]


def test_its_source_is_shown_when_asked_for() -> None:
    from cuda.solving import cuda_on

    with cuda_on(Host()):
        explanation = explain(Field(), Y0, source=True)
        assert "Source of" not in str(explain(Field(), Y0))
    text = str(explanation)
    for kernel in explanation.kernels:
        assert f"\nSource of {kernel.name}:\n\n{kernel.source.strip()}" in text
        # The function at its top, as the explanation has it.
        for line in flashode.program.printing.format_body(explanation.program):
            assert f"//   {line}" in kernel.source


def test_lines_of_a_text_can_be_read() -> None:
    from cuda.solving import cuda_on

    permutation = torch.randperm(2000, generator=torch.Generator().manual_seed(0))
    with cuda_on(Host()):
        kernels = explain(lambda t, y: y[:, permutation], torch.zeros(2, 2000)).kernels
    assert max(len(line) for kernel in kernels for line in kernel.source.splitlines()) <= 120


def test_an_engine_that_compiles_nothing() -> None:
    explanation = explain(Field(), Y0, source=True)
    assert explanation.kernels == ()
    assert str(explanation).endswith("source      none: the native engine compiles nothing for a function")


def test_wrong_source() -> None:
    with pytest.raises(TypeError, match="source must be True or False, got str"):
        explain(Field(), Y0, source="yes")  # type: ignore[arg-type]
