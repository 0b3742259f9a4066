"""What ``test_sanitized`` runs in a process that has the sanitizers' libraries loaded before all else."""

from __future__ import annotations

import sys

import torch

import flashode
from cuda.host import Host
from cuda.host_compiler import HostCompiler
from cuda.kernels import kernel_text, run
from cuda.solving import cuda_on, everything

OPTIONS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g1")


def solve(host: Host) -> None:
    """Solves, whose states are the native engine's."""
    field, y0 = everything(batch=5)
    t = torch.tensor([0.0, 0.2, 0.4], dtype=torch.float64)
    for method in ("dopri5", "rk4"):
        states = []
        for block in (cuda_on(host), flashode.use_engine("native")):
            with torch.no_grad(), block:
                states.append(flashode.odeint(field, y0, t, rtol=1e-4, atol=1e-5, method=method))
        torch.testing.assert_close(*states)


def read_beside_shared_memory(host: Host) -> None:
    """A fault."""
    text = kernel_text("q.memory[0][thread()] = shared_memory<double>()[thread() + 1];", threads=32, memory=1)
    run(host, text, (torch.zeros(32, dtype=torch.float64),), blocks=1, threads=32, shared_bytes=32 * 8)


if __name__ == "__main__":
    globals()[sys.argv[1]](Host(compiler=HostCompiler(options=OPTIONS)))
