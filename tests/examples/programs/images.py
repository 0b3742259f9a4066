"""A classifier of images with a block of convolutions whose depth is continuous, on random images."""

import torch
from torch import nn
from torchdiffeq import odeint_adjoint

torch.manual_seed(3)
torch.set_default_dtype(torch.float64)

CHANNELS, BATCH, CLASSES, TOLERANCE = 6, 5, 10, 1e-3


def norm(channels):
    return nn.GroupNorm(min(3, channels), channels)


class TimeConvolution(nn.Module):
    """A convolution that sees the time as one more channel."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(CHANNELS + 1, CHANNELS, 3, padding=1)

    def forward(self, t, x):
        time = torch.ones_like(x[:, :1]) * t
        return self.layer(torch.cat([time, x], dim=1))


class Field(nn.Module):
    def __init__(self):
        super().__init__()
        self.norms = nn.ModuleList([norm(CHANNELS) for _ in range(3)])
        self.convolutions = nn.ModuleList([TimeConvolution() for _ in range(2)])
        self.evaluations = 0

    def forward(self, t, x):
        self.evaluations += 1
        for before, convolution in zip(self.norms, self.convolutions, strict=False):
            x = convolution(t, torch.relu(before(x)))
        return self.norms[-1](x)


class ContinuousBlock(nn.Module):
    def __init__(self):
        super().__init__()
        self.field = Field()
        self.register_buffer("times", torch.tensor([0.0, 1.0]))

    def forward(self, x):
        return odeint_adjoint(self.field, x, self.times, rtol=TOLERANCE, atol=TOLERANCE)[1]


block = ContinuousBlock()
model = nn.Sequential(
    nn.Conv2d(1, CHANNELS, 3, stride=2),
    norm(CHANNELS),
    nn.ReLU(),
    nn.Conv2d(CHANNELS, CHANNELS, 4, stride=2, padding=1),
    block,
    norm(CHANNELS),
    nn.ReLU(),
    nn.AdaptiveAvgPool2d(1),
    nn.Flatten(),
    nn.Linear(CHANNELS, CLASSES),
)
images, labels = torch.rand(BATCH, 1, 20, 20), torch.randint(0, CLASSES, (BATCH,))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
for update in range(4):
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(model(images), labels)
    forward, block.field.evaluations = block.field.evaluations, 0
    loss.backward()
    backward, block.field.evaluations = block.field.evaluations, 0
    optimizer.step()
    print("loss", update, loss.item())
    print("evaluations", update, forward, backward)
