"""The peer of `flow_density_2d.py`: a flow of zuko on the same points, run by an interpreter that has torch and zuko.

    path/to/python benchmarks/flow_density_2d_peer.py --points points.npz --flow MAF --steps 2000

`points.npz` holds `train` and `held_out`. Printed is one line of JSON, null where zuko has no such flow. Sizes,
batches, optimiser and schedule are those of `flow_density_2d.py`; data are standardised by hand, which its flows do not
do, and the density is that of the data as they were.
"""

import argparse
import json
import time

import numpy as np
import torch
import zuko

SIZES = {"transforms": 5, "hidden_features": (64, 64)}
FLOWS = {
    "RealNVP": ("RealNVP", lambda: zuko.flows.RealNVP(2, **SIZES)),
    "MAF": ("MAF", lambda: zuko.flows.MAF(2, **SIZES)),
    "splines, coupling": ("NSF(passes=2)", lambda: zuko.flows.NSF(2, bins=8, passes=2, **SIZES)),
    "splines, autoregressive": ("NSF", lambda: zuko.flows.NSF(2, bins=8, **SIZES)),
}


def main() -> None:
    """Train once and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", required=True)
    parser.add_argument("--flow", required=True)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.flow not in FLOWS:
        print("null")
        return
    torch.manual_seed(options.seed)
    name, make = FLOWS[options.flow]
    points = np.load(options.points)
    began = time.perf_counter()
    mean, deviation = points["train"].mean(0), points["train"].std(0)
    train = torch.as_tensor((points["train"] - mean) / deviation)
    flow = make()
    optimizer = torch.optim.Adam(flow.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, options.steps)
    for _ in range(options.steps):
        loss = -flow().log_prob(train[torch.randint(len(train), (256,))]).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    seconds = time.perf_counter() - began
    with torch.no_grad():
        held_out = torch.as_tensor((points["held_out"] - mean) / deviation)
        nats = -float(flow().log_prob(held_out).mean()) + float(np.log(deviation).sum())
    print(json.dumps({"flow": f"zuko {zuko.__version__} {name}", "nats": nats, "seconds": seconds}))


if __name__ == "__main__":
    main()
