"""``torch.func`` and ``torch.autograd.functional`` inside the field."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, hessian, jacfwd, jacrev, jvp, vjp, vmap
from torch.utils.checkpoint import checkpoint

from fields.catalogue import Catalogue, normal

CATALOGUE = Catalogue()


class _WithNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 3))
        self.energy = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 1))

    def potential(self, y: Tensor) -> Tensor:
        return self.energy(y).squeeze(-1)


@CATALOGUE.add(normal(4, 3))
class GradOfAPotential(_WithNet):
    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return -grad(lambda z: self.potential(z).sum())(y)


@CATALOGUE.add(normal(4, 3))
class GradUnderVmap(_WithNet):
    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return -vmap(grad(self.potential))(y) * torch.cos(t)


@CATALOGUE.add(normal(3))
class GradOfOneVector(_WithNet):
    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return -grad(self.potential)(y) - 0.1 * y


@CATALOGUE.add(normal(4, 3))
class VectorJacobianProduct(_WithNet):
    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        value, pull = vjp(self.net, y)
        return value + pull(torch.sin(y))[0]


@CATALOGUE.add(normal(4, 3))
class JacobianVectorProduct(_WithNet):
    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        value, tangent = jvp(self.net, (y,), (torch.cos(y),))
        return value - tangent


@CATALOGUE.add(normal(4, 3))
class JacobianVectorProductOfConstants(_WithNet):
    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return jvp(self.net, (y,), (torch.ones_like(y),))[1]


@CATALOGUE.add(normal(4, 3))
class GaussNewton(_WithNet):
    """J^T J y, forward then backward."""

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        _, tangent = jvp(self.net, (y,), (y,))
        _, pull = vjp(self.net, y)
        return -pull(tangent)[0]


@CATALOGUE.add(normal(3))
class JacobianReverse(_WithNet):
    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return jacrev(self.net)(y) @ y


@CATALOGUE.add(normal(3))
class JacobianForward(_WithNet):
    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return jacfwd(self.net)(y) @ y


@CATALOGUE.add((normal(4, 3), normal(4, seed=2)))
class TraceUnderVmap(_WithNet):
    """A flow's divergence, the trace of the Jacobian of each row."""

    def forward(self, t: Tensor, states: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        y = states[0]
        jacobian = vmap(jacrev(self.net))(y)
        return self.net(y), -torch.diagonal(jacobian, dim1=-2, dim2=-1).sum(-1)


@CATALOGUE.add((normal(4, 3), normal(4, seed=2)))
class TraceUnderVmapForward(_WithNet):
    def forward(self, t: Tensor, states: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        y = states[0]
        jacobian = vmap(jacfwd(self.net))(y)
        return self.net(y), -torch.einsum("bii->b", jacobian)


@CATALOGUE.add((normal(4, 3), normal(4, seed=2)))
class HutchinsonByJvp(_WithNet):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("probe", torch.randn(3))

    def forward(self, t: Tensor, states: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        y, _ = states
        probe = self.probe.expand(y.shape)
        dy, tangent = jvp(self.net, (y,), (probe,))
        return dy, -(tangent * probe).sum(-1)


@CATALOGUE.add((normal(4, 3), normal(4, 1, seed=2)))
class DivergenceByVjpOverAnIdentity(_WithNet):
    """The pullback of every unit vector at once."""

    def forward(self, t: Tensor, states: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        y = states[0]

        def row(x: Tensor) -> tuple[Tensor, Tensor]:
            value, pull = vjp(self.net, x)
            (jacobian,) = vmap(pull)(torch.eye(3, dtype=x.dtype))
            return value, jacobian.trace().unsqueeze(-1)

        dy, divergence = vmap(row)(y)
        return dy, -divergence


@CATALOGUE.add(normal(3))
class HessianOfAPotential(_WithNet):
    """Newton's flow without the inverse."""

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return -hessian(self.potential)(y) @ y


@CATALOGUE.add(normal(4, 3))
class HessianVectorProduct(_WithNet):
    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return jvp(grad(lambda z: self.potential(z).sum()), (y,), (y,))[1]


@CATALOGUE.add(normal(4, 3))
class HessianUnderVmap(_WithNet):
    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return -torch.bmm(vmap(hessian(self.potential))(y), y.unsqueeze(-1)).squeeze(-1)


@CATALOGUE.add(normal(4, 3))
class VmapOverRows(_WithNet):
    """A field of one vector, mapped over the batch."""

    def one(self, t: Tensor, y: Tensor) -> Tensor:
        return self.net(y) - t * y / (1 + y @ y)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return vmap(self.one, in_dims=(None, 0))(t, y)


@CATALOGUE.add(normal(4, 3))
def vmap_of_a_function(t: Tensor, y: Tensor) -> Tensor:
    return vmap(lambda z: torch.stack([z[1], -z[0], z[2] * z[0]]))(y)


@CATALOGUE.add(normal(4, 2, 3))
class Ensemble(nn.Module):
    """A model for each of two members, their parameters stacked."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(2, 3, 3))
        self.bias = nn.Parameter(torch.randn(2, 3))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        layer = vmap(nn.functional.linear, in_dims=(1, 0, 0), out_dims=1)
        return torch.tanh(layer(y, self.weight, self.bias))


@CATALOGUE.add(normal(4, 3))
def functional_call_of_a_net() -> tuple[Any, Any]:
    net = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 3))
    parameters = {name: p.detach().clone().requires_grad_() for name, p in net.named_parameters()}

    def field(t: Tensor, y: Tensor) -> Tensor:
        return functional_call(net, parameters, (y,))

    return field, list(parameters.values())


@CATALOGUE.add(normal(4, 3))
class ScoreOfADensity(nn.Module):
    """Langevin drift: the gradient of a log-density written for one point."""

    def __init__(self) -> None:
        super().__init__()
        self.centres = nn.Parameter(torch.randn(4, 3))

    def log_density(self, x: Tensor) -> Tensor:
        return torch.logsumexp(-0.5 * (x - self.centres).square().sum(-1), dim=0)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return vmap(grad(self.log_density))(y)


@CATALOGUE.add(normal(4, 3))
class GradAndValue(_WithNet):
    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        gradient, value = vmap(torch.func.grad_and_value(self.potential))(y)
        return gradient / (1 + value.square()).unsqueeze(-1)


@CATALOGUE.add(normal(4, 3))
class GradInTime(_WithNet):
    """The derivative of a moving target in time."""

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        velocity = jacfwd(lambda s: torch.stack([s.sin(), s.cos(), s**3]))(t)
        return velocity - y


@CATALOGUE.add(normal(3))
class OldJacobian(_WithNet):
    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return torch.autograd.functional.jacobian(self.net, y, create_graph=True) @ y


@CATALOGUE.add(normal(4, 3))
class OldVjp(_WithNet):
    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return torch.autograd.functional.vjp(self.net, y, v=torch.ones_like(y), create_graph=True)[1]


@CATALOGUE.add(normal(4, 3))
class OldJvp(_WithNet):
    """The double-backward trick."""

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return torch.autograd.functional.jvp(self.net, y, torch.ones_like(y), create_graph=True)[1]


@CATALOGUE.add(normal(3))
class OldHessian(_WithNet):
    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return -torch.autograd.functional.hessian(self.potential, y, create_graph=True) @ y


@CATALOGUE.add(normal(3))
class JacobianByBatchedGradients(_WithNet):
    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        with torch.enable_grad():
            y = y.requires_grad_(True)
            f = self.net(y)
            unit = torch.eye(3, dtype=y.dtype)
            (rows,) = torch.autograd.grad(f, y, unit, is_grads_batched=True, create_graph=True)
        return f - rows @ y


@CATALOGUE.add(normal(4, 3))
class JacobianInChunks(_WithNet):
    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        jacobian = vmap(jacrev(self.net, chunk_size=2))(y)
        return torch.einsum("bij,bj->bi", jacobian, y)


@CATALOGUE.add(normal(4, 2, 3))
def ensemble_by_stacked_states() -> tuple[Any, Any]:
    """The models of an ensemble evaluated at once by ``functional_call`` under ``vmap``."""
    members = [nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3)) for _ in range(2)]
    parameters, buffers = torch.func.stack_module_state(members)

    def one(parameters: Any, buffers: Any, y: Tensor) -> Tensor:
        return functional_call(members[0], (parameters, buffers), (y,))

    def field(t: Tensor, y: Tensor) -> Tensor:
        return vmap(one, in_dims=(0, 0, 1), out_dims=1)(parameters, buffers, y)

    return field, list(parameters.values())


@CATALOGUE.add(normal(4, 3))
class Checkpointed(_WithNet):
    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return checkpoint(self.net, y, use_reentrant=False)


@CATALOGUE.add(normal(4, 3))
class CurvatureAlongTheFlow(_WithNet):
    """The material acceleration of a velocity field that moves."""

    def velocity(self, t: Tensor, y: Tensor) -> Tensor:
        return self.net(y) * torch.sin(t)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        v = self.velocity(t, y)
        _, acceleration = jvp(self.velocity, (t, y), (torch.ones_like(t), v))
        return v + 0.1 * acceleration
