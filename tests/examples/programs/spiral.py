"""A network learns the field of a cubic spiral from short pieces of one trajectory."""

import argparse

import torch
from torch import nn
from torchdiffeq import odeint, odeint_adjoint

parser = argparse.ArgumentParser()
parser.add_argument("--adjoint", action="store_true")
parser.add_argument("--method", default="dopri5")
parser.add_argument("--updates", type=int, default=6)
args = parser.parse_args()

torch.manual_seed(0)
torch.set_default_dtype(torch.float64)
solve = odeint_adjoint if args.adjoint else odeint

LENGTH, PIECE, PIECES = 200, 10, 20
times = torch.linspace(0.0, 5.0, LENGTH)
start = torch.tensor([[2.0, 0.0]])
matrix = torch.tensor([[-0.1, 2.0], [-2.0, -0.1]])


class Truth(nn.Module):
    def forward(self, t, y):
        return (y**3) @ matrix


class Learned(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2, 50), nn.Tanh(), nn.Linear(50, 2))
        self.evaluations = 0
        for layer in (self.net[0], self.net[2]):
            nn.init.normal_(layer.weight, std=0.1)
            nn.init.zeros_(layer.bias)

    def forward(self, t, y):
        self.evaluations += 1
        return self.net(y**3)


with torch.no_grad():
    observed = odeint(Truth(), start, times, method="dopri5")

field = Learned()
optimizer = torch.optim.RMSprop(field.parameters(), lr=1e-3)
for update in range(args.updates):
    first = torch.randperm(LENGTH - PIECE)[:PIECES]
    wanted = torch.stack([observed[first + i] for i in range(PIECE)])
    optimizer.zero_grad()
    predicted = solve(field, observed[first], times[:PIECE], method=args.method)
    forward = field.evaluations
    loss = (predicted - wanted).abs().mean()
    loss.backward()
    optimizer.step()
    print("loss", update, loss.item())
    print("forward evaluations", update, forward)
    field.evaluations = 0

with torch.no_grad():
    print("final", (solve(field, start, times, method=args.method) - observed).abs().mean().item())
