"""What ``test_sanitized`` runs in a process that has the sanitizers' libraries loaded before all else."""

from __future__ import annotations

import sys
from itertools import product

import torch

import flashode
from cuda.host import Host
from cuda.host_compiler import HostCompiler
from cuda.kernels import kernel_text, run
from cuda.solving import cuda_on, everything

OPTIONS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g1")


def solve(host: Host) -> None:
    """Solves, there and back, whose states and gradients are the native engine's."""
    field, y0 = everything(batch=5)
    y0.requires_grad_()
    t = torch.tensor([0.0, 0.2, 0.4], dtype=torch.float64, requires_grad=True)
    inputs = [y0, t, *field.parameters()]
    for method, face in product(("dopri5", "rk4"), (flashode.odeint, flashode.odeint_adjoint)):
        results = []
        for block in (cuda_on(host, budget=2), flashode.use_engine("native")):
            with block:
                states = face(field, y0, t, rtol=1e-4, atol=1e-5, method=method)
                results.append([states.detach(), *torch.autograd.grad(states.square().sum(), inputs)])
        torch.testing.assert_close(*results, rtol=1e-6, atol=1e-8)


def solve_to_event(host: Host) -> None:
    """The same, to an event."""
    field, y0 = everything(batch=5)
    y0.requires_grad_()
    results = []
    for block in (cuda_on(host, budget=2), flashode.use_engine("native")):
        with block:
            time, states = flashode.odeint_event(
                field, y0, torch.tensor(0.0).double(), event_fn=lambda t, y: t - 0.3 + 1e-3 * y.sum()
            )
            inputs = [y0, *field.parameters()]
            results.append([time.detach(), *torch.autograd.grad(time + states[-1].square().sum(), inputs)])
    torch.testing.assert_close(*results, rtol=1e-6, atol=1e-8)


def read_beside_shared_memory(host: Host) -> None:
    """A fault."""
    text = kernel_text("q.memory[0][thread()] = shared_memory<double>()[thread() + 1];", threads=32, memory=1)
    run(host, text, (torch.zeros(32, dtype=torch.float64),), blocks=1, threads=32, shared_bytes=32 * 8)


if __name__ == "__main__":
    globals()[sys.argv[1]](Host(compiler=HostCompiler(options=OPTIONS)))
