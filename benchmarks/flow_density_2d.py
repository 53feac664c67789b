"""Every flow on three known densities of two numbers: nats above the truth on held-out points, seconds of training.

    python benchmarks/flow_density_2d.py [--steps 2000 --seeds 0 1] [--flows MAF RealNVP] [--peer-python path/to/python]

Data are 20,000 points to train on and 10,000 held out of each density; the truth is the mean of its own log density
over the same held-out points, so that the difference is a divergence with little noise. Training is the house's: Adam
at a learning rate of 0.002 that falls as a cosine, batches of 256, five layers of two hidden layers of 64. Seconds
include compilation. Affine flows have rectified linear units, as the peer's have: with the house's smooth ones a MAF is
some 0.025 nats worse on two moons (two seeds each). Glow is left out: it is made of convolutions and squeezes images.
With an interpreter that has torch and zuko, flows of zuko of the same sizes are trained in the same
run by `flow_density_2d_peer.py`; not its continuous one, whose first training had not ended after 14 processor minutes.
"""

import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np

from modelwright.configuration import ModelConfiguration
from modelwright.data.examples.points import Checkerboard, eight_gaussians, moons
from modelwright.factory import create_model
from modelwright.generative.training.settings import TrainingSettings
from modelwright.generative.training.trainer import Trainer

FLOWS = {
    "RealNVP": ("RealNVP", {}),
    "MAF": ("MAF", {}),
    "splines, coupling": ("NeuralSplineFlow", {}),
    "splines, autoregressive": ("NeuralSplineFlow", {"transform": "autoregressive"}),
    "IAF": ("IAF", {}),
    "continuous": ("ContinuousFlow", {"rtol": 1e-4, "atol": 1e-4}),
}

DENSITIES = {"two moons": moons(), "8 Gaussians": eight_gaussians(), "checkerboard": Checkerboard()}


def trained(name: str, train: np.ndarray, held_out: np.ndarray, steps: int, seed: int) -> tuple[np.ndarray, float]:
    """Log density of each held-out point, and seconds of training."""
    model_class, parameters = FLOWS[name]
    config = ModelConfiguration(
        name=name,
        model_class=f"modelwright.generative.flow.{model_class}",
        input_dim=2,
        hidden_dims=[64, 64],
        activation="relu" if name in ("RealNVP", "MAF", "IAF") else None,
        parameters=parameters,
    )
    settings = TrainingSettings(batch_size=256, learning_rate=2e-3, schedule="cosine", seed=seed)
    began = time.perf_counter()
    fit = Trainer(create_model(config, rngs=seed), settings).fit(train, steps=steps)
    seconds = time.perf_counter() - began
    return np.asarray(fit.model.log_prob(held_out).value, np.float64), seconds


def peer(python: str, folder: Path, name: str, steps: int, seed: int) -> dict | None:
    """What the peer's flow of that name gives, None where it has none."""
    script = Path(__file__).with_name("flow_density_2d_peer.py")
    command = [python, str(script), "--points", str(folder / "points.npz"), "--flow", name]
    done = subprocess.run(
        [*command, "--steps", str(steps), "--seed", str(seed)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Train everything, print one row of Markdown after the other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--flows", nargs="+", choices=list(FLOWS), default=list(FLOWS))
    parser.add_argument("--densities", nargs="+", choices=list(DENSITIES), default=list(DENSITIES))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--peer-python", help="an interpreter that has torch and zuko")
    options = parser.parse_args()
    print("| density | truth | flow | above it, each seed | seconds | peer | above it, each seed | seconds |")
    print("|---|---|---|---|---|---|---|---|")
    for density in options.densities:
        plane, generator = DENSITIES[density], np.random.default_rng(0)
        exact = [plane.draw(n, generator) for n in (20_000, 10_000)]
        train, held_out = (points.astype(np.float32) for points in exact)
        truth = plane.log_density(exact[1])  # before rounding, which may push a point over the edge of a square
        with tempfile.TemporaryDirectory() as folder:
            np.savez(Path(folder) / "points.npz", train=train, held_out=held_out)
            for name in options.flows:
                ours, theirs = [], []
                for seed in options.seeds:
                    found, seconds = trained(name, train, held_out, options.steps, seed)
                    ours.append((float((truth - found).mean()), seconds))
                    python = options.peer_python
                    other = python and peer(python, Path(folder), name, options.steps, seed)
                    if other:
                        theirs.append((other["nats"] + float(truth.mean()), other["seconds"]))
                row = [density, f"{-truth.mean():.3f}", name, *_cells(ours), other["flow"] if other else ""]
                print("| " + " | ".join([*row, *_cells(theirs)]) + " |", flush=True)


def _cells(rows: list[tuple[float, float]]) -> list[str]:
    """Nats above the truth of every seed, and the median of the seconds."""
    if not rows:
        return ["", ""]
    return [", ".join(f"{nats:.3f}" for nats, _ in rows), f"{np.median([seconds for _, seconds in rows]):.0f}"]


if __name__ == "__main__":
    main()
