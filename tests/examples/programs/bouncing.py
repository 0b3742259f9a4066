"""A ball bounces: each flight ends at an event, and gradients go through all of them."""

import torch
from torch import nn
from torchdiffeq import odeint, odeint_adjoint, odeint_event

torch.set_default_dtype(torch.float64)


class Ball(nn.Module):
    """Height and speed, and the logarithm of the radius, which does not change."""

    def __init__(self, solve):
        super().__init__()
        self.gravity = nn.Parameter(torch.tensor(9.8))
        self.log_radius = nn.Parameter(torch.log(torch.tensor(0.2)))
        self.restitution = nn.Parameter(torch.tensor(0.8))
        self.height = nn.Parameter(torch.tensor([10.0]))
        self.solve = solve

    def forward(self, t, state):
        _, speed, log_radius = state
        return speed, -self.gravity * torch.ones_like(speed), torch.zeros_like(log_radius)

    def touches(self, t, state):
        height, _, log_radius = state
        return height - log_radius.exp()

    def bounce(self, state):
        height, speed, log_radius = state
        # A little above the ground, or the next flight would end where it begins.
        return height + 1e-7, -self.restitution * speed, log_radius

    def flights(self, count):
        """Times of the first collisions, and what the ball does meanwhile."""
        state = (self.height, torch.zeros(1), self.log_radius.expand(1))
        t, times, paths = torch.zeros(1), [], []
        for _ in range(count):
            began = t
            t, solution = odeint_event(
                self, state, t, event_fn=self.touches, atol=1e-9, rtol=1e-9, odeint_interface=self.solve
            )
            samples = torch.linspace(began.item(), t.item(), 5)
            paths.append(self.solve(self, state, samples, atol=1e-9, rtol=1e-9)[0])
            state = self.bounce(tuple(part[-1] for part in solution))
            times.append(t.reshape(()))
            t = t.reshape(1)
        return torch.stack(times), torch.stack(paths)


for name, solve in (("odeint", odeint), ("odeint_adjoint", odeint_adjoint)):
    ball = Ball(solve)
    times, paths = ball.flights(4)
    for number, time in enumerate(times.tolist()):
        print(name, "collision", number, time)
    print(name, "path", paths.norm().item())
    for number, time in enumerate(times):
        named = dict(ball.named_parameters())
        gradients = torch.autograd.grad(time, list(named.values()), retain_graph=True)
        for parameter, gradient in zip(named, gradients, strict=True):
            print(name, "gradient", number, parameter, gradient.item())


def first_collision(height, gravity):
    """In closed form, for a ball without radius dropped at rest."""
    return (2 * height / gravity).sqrt()


height = torch.tensor(10.0, requires_grad=True)
gravity = torch.tensor(9.8, requires_grad=True)


def fall(t, state):
    return torch.stack([state[1], -gravity])


event_time, _ = odeint_event(
    fall,
    torch.stack([height, torch.zeros(())]),
    torch.tensor(0.0),
    event_fn=lambda t, state: state[0],
    atol=1e-10,
    rtol=1e-10,
)
for kind, time in (("closed form", first_collision(height, gravity)), ("solved", event_time)):
    print(kind, time.item(), *(g.item() for g in torch.autograd.grad(time, [height, gravity])))
