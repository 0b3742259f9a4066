"""The CUDA engine on a GPU, beside the native engine on the CPU."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import flashode
from cuda.solving import cuda_on, everything
from fields.test_fields import CASES
from flashode import NonFiniteError, SolverError, explain, odeint, odeint_adjoint, odeint_dense, use_engine
from flashode.engines import consider
from flashode.problem import DISCRETE, make_problem

pytestmark = pytest.mark.usefixtures("gpu", "compiled")

CPU = torch.device("cpu")
T = torch.tensor([0.0, 0.11, 0.4, 0.7], dtype=torch.float64)
# Relative to the largest number; rounding grows with the field's states and their gradients.
CLOSE = {torch.float32: 5e-3, torch.float64: 1e-8}


def at_event(func: nn.Module, y0: Tensor, t: Tensor, **arguments: Any) -> Tensor:
    time, states = odeint(func, y0, t[:2], event_fn=lambda t, y: t - 0.3, **arguments)
    return torch.cat([states.reshape(-1), time.reshape(1).to(states)])


def interpolated(func: nn.Module, y0: Tensor, t: Tensor, **arguments: Any) -> Tensor:
    return odeint_dense(func, y0, t[0], t[-1], **arguments)(t[1:-1])  # type: ignore[no-any-return]


SOLVES: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    **{method: (odeint, {"method": method}) for method in ("dopri5", "tsit5", "bosh3", "dopri8", "euler")},
    "jumps": (odeint, {"options": {"jump_t": [0.2, 0.5], "step_t": [0.3]}}),
    "rk4": (odeint, {"method": "rk4", "options": {"step_size": 0.06}}),
    "cubic": (odeint, {"method": "rk4", "options": {"step_size": 0.06, "interp": "cubic"}}),
    "perturb": (odeint, {"method": "midpoint", "options": {"step_size": 0.06, "perturb": True}}),
    "backwards": (lambda func, y0, t, **more: odeint(func, y0, t.flip(0), **more), {}),
    "event": (at_event, {}),
    "dense": (interpolated, {}),
    "adjoint": (odeint_adjoint, {}),
    "seminorm": (odeint_adjoint, {"adjoint_options": {"norm": "seminorm"}}),
    "adjoint of rk4": (odeint_adjoint, {"method": "rk4", "options": {"step_size": 0.06}}),
}


def solved(
    name: str, device: torch.device, dtype: torch.dtype = torch.float64, batch: int = 20
) -> list[Tensor]:
    """States, and the gradients of their squares in the state, the times and all parameters."""
    solve, arguments = SOLVES[name]
    field, y0 = everything(dtype, batch)
    field = field.to(device)
    y0, t = y0.to(device).requires_grad_(), T.to(device).requires_grad_()
    with use_engine("native" if device == CPU else "cuda"):
        states = solve(field, y0, t, rtol=1e-4, atol=1e-5, **arguments)
        inputs = [y0, t, *field.parameters()]
        gradients = torch.autograd.grad(states.square().sum(), inputs, materialize_grads=True)
    assert {x.device.type for x in (states, *gradients)} == {device.type}
    return [states.detach(), *gradients]


@pytest.mark.parametrize("batch", [1, 20, 1000])
@pytest.mark.parametrize("dtype", CLOSE)
@pytest.mark.parametrize("name", SOLVES)
def test_values_and_gradients(gpu: torch.device, name: str, dtype: torch.dtype, batch: int) -> None:
    pairs = zip(solved(name, gpu, dtype, batch), solved(name, CPU, dtype, batch), strict=True)
    for ours, theirs in pairs:
        close = CLOSE[dtype] * float(theirs.abs().max())
        torch.testing.assert_close(ours.cpu(), theirs, rtol=0, atol=close)


def statistics(device: torch.device, engine: str) -> Any:
    field, y0 = everything(batch=300)
    problem = make_problem(
        field.to(device), y0.to(device), T.to(device), rtol=1e-4, atol=1e-5, method=None, options=None
    )
    with use_engine(engine), torch.no_grad():
        plan = consider(problem, DISCRETE).plan
        assert plan is not None
        return plan.forward(record=False).statistics


def test_the_same_steps(gpu: torch.device) -> None:
    assert statistics(gpu, "cuda") == statistics(CPU, "native")


@pytest.mark.parametrize("name", ["dopri5", "adjoint"])
def test_the_same_bits_each_time(gpu: torch.device, name: str) -> None:
    first = solved(name, gpu, torch.float32, batch=3000)
    for _ in range(19):
        assert all(map(torch.equal, solved(name, gpu, torch.float32, batch=3000), first))


@pytest.mark.parametrize("name", ["dopri5", "rk4", "adjoint"])
def test_a_pause_changes_nothing(gpu: torch.device, name: str) -> None:
    from flashode.engines.cuda.driver import Driver, driver

    whole, machine = solved(name, gpu), driver()
    assert isinstance(machine, Driver)
    with cuda_on(machine, budget=3):
        assert all(map(torch.equal, solved(name, gpu), whole))


@pytest.fixture
def faults() -> dict[str, Callable[[torch.device], Any]]:
    def not_finite(device: torch.device) -> Any:
        y0 = torch.tensor([[0.1, 0.2], [0.3, -4.0], [0.5, 0.6]], dtype=torch.float64, device=device)
        return odeint(lambda t, y: torch.log(y + 3.0 - t), y0, T)

    def too_many_steps(device: torch.device) -> Any:
        field, y0 = everything(batch=5)
        return odeint(field.to(device), y0.to(device), T, options={"max_num_steps": 2})

    def underflow(device: torch.device) -> Any:
        y0 = torch.ones(3, 2, dtype=torch.float64, device=device)
        return odeint(lambda t, y: y * y, y0, torch.tensor([0.0, 2.0], dtype=torch.float64))

    return {"not finite": not_finite, "too many steps": too_many_steps, "underflow": underflow}


@pytest.mark.filterwarnings("ignore:t is on cpu and y0 on cuda")
@pytest.mark.parametrize("name", ["not finite", "too many steps", "underflow"])
def test_failures_say_the_same(gpu: torch.device, name: str, faults: Any) -> None:
    def said(device: torch.device, engine: str) -> tuple[type, str]:
        with use_engine(engine), pytest.raises(SolverError) as caught:
            faults[name](device)
        # Steps are chosen in single precision there.
        return caught.type, re.sub(r"\d+\.\d+", lambda found: f"{float(found[0]):.5g}", str(caught.value))

    assert said(gpu, "cuda") == said(CPU, "native")
    if name == "not finite":
        assert said(gpu, "cuda")[0] is NonFiniteError
    # And the next solve is none the worse.
    assert solved("dopri5", gpu)[0].isfinite().all()


def test_streams(gpu: torch.device) -> None:
    """Each solve runs behind what its own stream has been given, whatever others do."""
    field, y0 = everything(torch.float32, batch=2000)
    field = field.to(gpu)

    def solve(scale: float) -> list[Tensor]:
        with torch.cuda.stream(torch.cuda.Stream(gpu)), use_engine("cuda"):
            state = torch.zeros_like(y0, device=gpu)
            for _ in range(200):  # late, on this stream alone
                state += scale / 200 * y0.to(gpu)
            state.requires_grad_()
            states = odeint(field, state, T.to(gpu), rtol=1e-4, atol=1e-5)
            answers = [states.detach(), *torch.autograd.grad(states.sum(), state)]
            torch.cuda.current_stream(gpu).synchronize()
        return answers

    scales = [0.1 * k for k in range(1, 9)]
    alone = [solve(scale) for scale in scales]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(solve, scales))
    for ours, theirs in zip(together, alone, strict=True):
        assert all(map(torch.equal, ours, theirs))


def test_threads_on_one_stream(gpu: torch.device) -> None:
    alone = solved("dopri5", gpu, batch=2000)
    with ThreadPoolExecutor(4) as pool:
        for ours in pool.map(lambda _: solved("dopri5", gpu, batch=2000), range(12)):
            assert all(map(torch.equal, ours, alone))


def test_another_device_than_the_current_one(gpu: torch.device) -> None:
    if torch.cuda.device_count() < 2:
        pytest.skip("one GPU alone")
    other = torch.device("cuda", (gpu.index + 1) % torch.cuda.device_count())
    ours, theirs = solved("dopri5", other), solved("dopri5", CPU)
    for x, y in zip(ours, theirs, strict=True):
        torch.testing.assert_close(x.cpu(), y, rtol=1e-8, atol=1e-8 * float(y.abs().max()))
    assert torch.cuda.current_device() == gpu.index


def test_memory_is_given_back(gpu: torch.device) -> None:
    solved("dopri5", gpu, batch=5000)
    before = torch.cuda.memory_allocated(gpu)
    solved("dopri5", gpu, batch=5000)
    assert torch.cuda.memory_allocated(gpu) == before


def test_none_while_a_graph_is_captured(gpu: torch.device) -> None:
    field, y0 = everything()
    problem = make_problem(
        field.to(gpu), y0.to(gpu), T.to(gpu), rtol=1e-4, atol=1e-5, method="rk4", options=None
    )
    with torch.cuda.graph(torch.cuda.CUDAGraph()):
        choice = consider(problem, DISCRETE)
    assert "a CUDA graph is being captured" in choice.declined["cuda"].reason


@pytest.mark.parametrize("default", [False, True], ids=["", "default device"])
def test_numbers_and_tensors_of_the_cpu(gpu: torch.device, default: bool) -> None:
    """Torch takes a 0-d tensor of the CPU anywhere."""
    rate = torch.tensor(0.7, dtype=torch.float64, device="cpu", requires_grad=True)
    y0 = torch.ones(3, 2, dtype=torch.float64, device=gpu)
    with use_engine("cuda"), gpu if default else nullcontext():
        states = odeint(lambda t, y: -rate * y + torch.tensor(0.0), y0, T.to(gpu), rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(states[:, 0, 0].cpu(), torch.exp(-0.7 * T))
    (gradient,) = torch.autograd.grad(states[-1].sum(), rate)
    expected = -6 * T[-1] * torch.exp(-0.7 * T[-1])
    torch.testing.assert_close(gradient, expected, rtol=1e-7, atol=0)


@pytest.fixture
def on_gpu(gpu: torch.device) -> Iterator[None]:
    """Torch makes tensors there."""
    with gpu:
        yield


@pytest.mark.parametrize("name", CASES)
def test_what_is_captured_on_the_cpu_is_on_a_gpu(gpu: torch.device, name: str, on_gpu: None) -> None:
    """Some of torch's operations are others there."""
    case = CASES[name]
    func, _ = case.build()
    y0 = tuple(x.to(gpu) for x in case.y0) if isinstance(case.y0, tuple) else case.y0.to(gpu)
    explanation = explain(copy.deepcopy(func), y0)
    if explanation.error is not None and "device" in str(explanation.error):
        pytest.skip(f"the field has tensors of the CPU: {explanation.error}")
    assert explanation.program is not None, flashode.Explanation.__str__(explanation)


def test_what_is_said_of_a_kernel(gpu: torch.device) -> None:
    field, y0 = everything(torch.float32)
    field = field.to(gpu)
    with use_engine("cuda"):
        done = flashode.precompile(field, y0.to(gpu))
    assert (done.engine, list(done.kernels)) == ("cuda", ["forward", "discrete_vjp"])
    assert flashode.precompile(field, y0.to(gpu)).kernels == dict.fromkeys(done.kernels)
    for kernel in explain(field, y0.to(gpu)).kernels:
        assert kernel.facts[-1].partition(" ")[2].startswith("registers a thread, "), kernel.facts
