"""When the CUDA engine asks for a GPU, and what it says where there is none."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import flashode
from cuda.host import Host
from cuda.solving import cuda_on
from flashode import use_engine
from flashode.declined import Declined
from flashode.engines import REGISTRY, EngineDeclined, choose, consider
from flashode.engines.compiled.engine import CompiledEngine
from flashode.engines.cuda.machine import CompilationError
from flashode.problem import DISCRETE, Problem, make_problem
from problems import layer

pytestmark = pytest.mark.usefixtures("compiled")

T = torch.linspace(0, 1, 3)


class Asked(Exception):
    """Somebody asked for the driver."""


def field(t: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return -y


def on_gpu() -> Problem:
    """A problem whose settings say that its state is on a GPU."""
    problem = make_problem(field, torch.ones(2), T, rtol=1e-3, atol=1e-3, method=None, options=None)
    problem.settings = replace(problem.settings, device=torch.device("cuda", 0))
    return problem


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Puts something in the driver's place; gives what sets it."""
    from flashode.engines.cuda import cuda_engine

    def put(answer: Declined | Exception) -> None:
        def driver() -> Declined:
            if isinstance(answer, Exception):
                raise answer
            return answer

        cuda_engine._on_driver.cache_clear()
        monkeypatch.setattr(cuda_engine, "driver", driver)

    monkeypatch.setattr(torch.cuda, "device", lambda device: nullcontext())
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    put(Asked())
    yield put
    cuda_engine._on_driver.cache_clear()


def test_a_solve_on_the_cpu_asks_for_no_driver(driver: Any) -> None:
    flashode.odeint(field, torch.ones(2), T)
    assert "cuda" not in flashode.explain(field, torch.ones(2)).declined
    with use_engine("cuda"):
        reason = "its state is on cpu, not on a CUDA device: give y0.cuda()"
        assert flashode.explain(field, torch.ones(2)).declined == {"cuda": reason}
        with pytest.raises(
            EngineDeclined, match=r"the cuda engine cannot run this solve because its state is on cpu"
        ):
            flashode.odeint(field, torch.ones(2), T)


def test_one_on_a_gpu_asks_for_it(driver: Any) -> None:
    with pytest.raises(Asked):
        consider(on_gpu(), DISCRETE)
    with use_engine("eager"):
        assert consider(on_gpu(), DISCRETE).declined == {}


def test_without_one_it_runs_in_plain_torch_and_says_why_when_asked(driver: Any) -> None:
    driver(Declined("there is no NVRTC: pip install it", absent=True))
    choice = consider(on_gpu(), DISCRETE)
    assert choice.plan is not None and choice.plan.engine == "eager"
    assert {name: declined.reason for name, declined in choice.declined.items()} == {
        "cuda": "there is no NVRTC: pip install it"
    }
    with use_engine("cuda"), pytest.raises(EngineDeclined, match="because there is no NVRTC: pip install it"):
        choose(on_gpu(), DISCRETE)


def test_a_gpu_that_nothing_compiles_for(monkeypatch: pytest.MonkeyPatch) -> None:
    from flashode.engines.cuda.backend import CudaBackend

    def properties(self: Host, device: torch.device) -> None:
        raise CompilationError("NVRTC 13.0 compiles nothing for it")

    monkeypatch.setattr(Host, "properties", properties)
    monkeypatch.setitem(REGISTRY, "cuda", lambda: CompiledEngine(CudaBackend(Host())))
    with (
        use_engine("cuda"),
        pytest.raises(EngineDeclined, match=r"because NVRTC 13\.0 compiles nothing for it"),
    ):
        flashode.odeint(field, torch.ones(2), T)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = layer(2, 2)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return self.layer(y)  # type: ignore[no-any-return]


def test_other_settings_generate_no_text_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    from flashode.engines.cuda.field_text import FieldText

    placed: list[FieldText] = []
    place = FieldText.__init__

    def noted(self: FieldText, *arguments: Any, **named: Any) -> None:
        place(self, *arguments, **named)
        placed.append(self)

    monkeypatch.setattr(FieldText, "__init__", noted)
    net, y0 = Net(), torch.ones(40, 2, dtype=torch.float64)
    with cuda_on(Host()):
        for solve in (flashode.odeint, flashode.odeint_adjoint):
            for tolerance, jump in ((1e-3, 0.2), (1e-4, 0.2), (1e-4, 0.3)):
                before, options = len(placed), {"jump_t": torch.tensor([jump])}
                solve(net, y0, T, rtol=tolerance, options=options).sum().backward()
                assert (len(placed) > before) is (tolerance == 1e-3)


def test_without_a_compiled_module(monkeypatch: pytest.MonkeyPatch) -> None:
    from flashode.engines import cuda

    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    answer = cuda.engine()
    assert isinstance(answer, Declined) and answer.absent
    assert answer.reason == "this installation has no compiled module"


def test_none_runs_while_a_cuda_graph_is_captured(driver: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    choice = consider(on_gpu(), DISCRETE)
    assert choice.plan is not None and choice.plan.engine == "eager"
    assert "a CUDA graph is being captured" in choice.declined["cuda"].reason
    assert not choice.declined["cuda"].absent
