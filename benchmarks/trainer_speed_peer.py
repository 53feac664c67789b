"""The autoencoder of `trainer_speed.py` in PyTorch; run by it with an interpreter that has torch.

    python trainer_speed_peer.py BATCH STEPS IMAGES

Prints the seconds of STEPS steps, after as many that are not counted.
"""

import sys
import time

import torch

torch.manual_seed(0)
batch, steps, n = map(int, sys.argv[1:])
x = (torch.rand(n, 784) < 0.2).float()
linear, relu = torch.nn.Linear, torch.nn.ReLU
encoder = torch.nn.Sequential(linear(784, 512), relu(), linear(512, 256), relu(), linear(256, 128))
decoder = torch.nn.Sequential(linear(64, 256), relu(), linear(256, 512), relu(), linear(512, 784))
optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], 1e-3)


def step(k):
    """One step."""
    start = (k * batch) % (n - batch + 1)
    part = x[start : start + batch]
    mean, log_variance = encoder(part).chunk(2, -1)
    logits = decoder(mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean))
    distortion = torch.nn.functional.binary_cross_entropy_with_logits(logits, part, reduction="sum") / batch
    rate = 0.5 * (mean**2 + log_variance.exp() - log_variance - 1.0).sum(-1).mean()
    optimizer.zero_grad()
    (distortion + rate).backward()
    optimizer.step()


for k in range(steps):
    step(k)
began = time.perf_counter()
for k in range(steps):
    step(steps + k)
print(time.perf_counter() - began)
