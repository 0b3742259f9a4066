"""Physics learned from a film of a ball in a room: a network for the drag, a number for the walls."""

import torch
from torch import nn
from torchdiffeq import odeint, odeint_adjoint, odeint_event

torch.manual_seed(4)
torch.set_default_dtype(torch.float64)

FRAMES, END, TOLERANCE = 12, 2.0, 1e-8


class Room(nn.Module):
    """A ball in a room of width and height 1: gravity, drag, and walls that return a part of the speed."""

    def __init__(self, drag, elasticity):
        super().__init__()
        self.drag = drag
        self.elasticity = nn.Parameter(torch.tensor(elasticity))
        self.register_buffer("gravity", torch.tensor([0.0, -1.0]))

    def forward(self, t, state):
        _, speed = state
        return speed, self.gravity + self.drag(speed)

    def walls(self, t, state):
        place, _ = state
        return torch.cat([place, 1 - place], -1)

    def after_collision(self, state):
        place, speed = state
        hit = torch.minimum(place, 1 - place).detach() < 1e-6
        inside = place.clamp(1e-7, 1 - 1e-7)
        return inside, torch.where(hit, -self.elasticity * speed, speed)

    def film(self, state, frames):
        """The places at the given times, and the times of the collisions between them."""
        t, seen, collisions = frames[:1], [state[0][None]], []
        remaining = frames[1:]
        while len(remaining):
            event, solution = odeint_event(
                self,
                state,
                t,
                event_fn=self.walls,
                rtol=TOLERANCE,
                atol=TOLERANCE,
                odeint_interface=odeint_adjoint,
            )
            before = remaining[remaining < event.item()]
            if len(before):
                path, _ = odeint(self, state, torch.cat([t, before]), rtol=TOLERANCE, atol=TOLERANCE)
                seen.append(path[1:])
            remaining = remaining[len(before) :]
            collisions.append(event.reshape(()))
            state = self.after_collision(tuple(part[-1] for part in solution))
            t = event.reshape(1)
        return torch.cat(seen), torch.stack(collisions)


class TrueDrag(nn.Module):
    def forward(self, speed):
        return -0.3 * speed


class LearnedDrag(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2, 12), nn.Softplus(), nn.Linear(12, 2))
        for parameter in self.net[2].parameters():
            nn.init.zeros_(parameter)

    def forward(self, speed):
        return self.net(speed)


start = (torch.tensor([0.3, 0.6]), torch.tensor([0.9, 0.4]))
frames = torch.linspace(0.0, END, FRAMES)
with torch.no_grad():
    truth, hits = Room(TrueDrag(), 0.9).film(start, frames)
for number, hit in enumerate(hits.tolist()):
    print("true collision", number, hit)

room = Room(LearnedDrag(), 0.7)
optimizer = torch.optim.Adam(room.parameters(), lr=1e-2)
for update in range(4):
    optimizer.zero_grad()
    places, collisions = room.film(start, frames)
    loss = (places - truth).square().mean()
    loss.backward()
    optimizer.step()
    print("loss", update, loss.item())
    print("collisions", update, len(collisions), collisions[0].item())
    print("elasticity", update, room.elasticity.item())
