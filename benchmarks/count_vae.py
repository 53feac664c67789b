"""A variational autoencoder of cells x genes and its held-out bound per cell, beside scvi-tools on the same split.

    python benchmarks/count_vae.py --data-dir path/to/data [--peer-python path/to/python/with/scvi-tools]

A fifth of the cells is held out. On both sides z has 10 numbers with a standard normal prior, encoder and decoder have
one hidden layer of 128, a gene's counts are negative binomial with a concentration per gene, and the mean is the share
of the gene (softmax of the decoder) times the cell's own total count. That total is read off the cell, held out or not:
both bounds are of the likelihood with the observed total put in, log y! among it, and of nothing else.

What differs: here a concentration has a prior and a posterior (the bound is of the predictive density under it), there
it is a number; hidden layers are normalised per cell here, over the mini-batch there, with dropout in the encoder. The
number of epochs here is chosen among those of --epochs by the bound of a tenth of the training cells, trained without
these, and then all training cells are trained on; the peer stops early on a tenth of the training cells, or makes all
its epochs on all of them. Held-out cells are looked at once, at the end.

Without --peer-python the peer is not run, and the output says so. Exit status: 0 when every bound is a number.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from modelwright.bayesian.builders import LogNormalSpec, ModelBuilder
from modelwright.bayesian.components import TOTAL_COUNT, NegativeBinomialLikelihood
from modelwright.bayesian.components.guide_sites import Start
from modelwright.bayesian.inference import svi
from modelwright.bayesian.inference.svi_settings import SviSettings
from modelwright.bayesian.single_cell.autoencoder import count_autoencoder
from modelwright.bayesian.single_cell.count_models import default_guide
from modelwright.data.counts import load_counts

BATCH = 128
PEER_RUNS = {"early": ("--early-stopping",), "full": ()}
WORDS = {
    "early": "stops early on a tenth of the training cells",
    "full": "all its epochs on all training cells",
}


def main() -> int:
    """Train, hold against the held-out cells, ask the peer; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path, required=True, help="folder with sc/")
    parser.add_argument("--peer-python", type=Path, help="an interpreter that has scvi-tools")
    parser.add_argument("--peer-runs", nargs="+", choices=tuple(PEER_RUNS), default=list(PEER_RUNS))
    parser.add_argument("--peer-results", type=Path, nargs="+", help="what scvi_peer.py printed before, of this split")
    parser.add_argument("--peer-epochs", type=int, help="at most; the peer's own number when left out")
    parser.add_argument("--latent", type=int, default=10)
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--epochs", type=int, nargs="+", default=[25, 50, 100, 200], help="one, or some to choose from")
    parser.add_argument("--learning-rate", type=float, help="of Adam; svi's own when left out")
    parser.add_argument("--particles", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    train, held_out = load_counts(options.data_dir / "sc" / "pbmc4k_top2000.h5ad").split(options.seed, 0.2)
    print(f"{train.n_cells:,} cells to train on, {held_out.n_cells:,} held out, {train.n_genes:,} genes")
    settings = SviSettings(learning_rate=options.learning_rate, stopping=None)
    autoencoder, per_epoch = count_autoencoder(options.latent, (options.hidden,)), train.n_cells / BATCH
    models = {
        "without z": (*without_latent(train), SviSettings(stopping=None), 2000),
        "autoencoder": (
            *(autoencoder, default_guide(autoencoder), settings),
            round(chosen(autoencoder, train, options, settings) * per_epoch),
        ),
    }
    found = {}
    for name, (model, guide, how, n) in models.items():
        fit = svi(model, guide, train, steps=n, batch_size=BATCH, settings=how)
        began = time.perf_counter()
        bound = fit.held_out_bound(held_out, particles=options.particles, seed=options.seed)
        epochs = n * BATCH / train.n_cells
        found[name] = {"elbo": bound.elbo, "weighted": bound.weighted, "seconds": fit.seconds, "epochs": epochs}
        last = fit.elbo[-max(n // 20, 1) :] / train.n_cells
        print(f"\nmodelwright, {name}: {bound.sentence}")
        print(
            f"  learning rate {fit.settings['learning_rate']:g}; bound of training cells in the last steps "
            f"{np.nanmean(last):,.2f}; steps left out {int(np.isnan(fit.elbo).sum())} of {n:,}; the held-out bound "
            f"took {time.perf_counter() - began:.1f} s"
        )
    for path in options.peer_results or ():
        known = peer_result(path.read_text())
        found[f"scvi-tools, from a run before ({path.stem})"] = known
    if options.peer_python is None:
        print("\nscvi-tools was not run: no --peer-python")
    else:
        with tempfile.TemporaryDirectory() as folder:
            cells = Path(folder) / "cells.npz"
            np.savez(cells, train=_dense(train), held_out=_dense(held_out))
            for run in options.peer_runs:
                found[f"scvi-tools, {WORDS[run]}"] = peer(options, cells, PEER_RUNS[run])
    return report(found, options.particles)


def chosen(model: Any, train: Any, options: argparse.Namespace, settings: SviSettings) -> int:
    """The number of epochs with the best bound of a tenth of the training cells."""
    if len(options.epochs) == 1:
        return int(options.epochs[0])
    rest, looked_at = train.split(options.seed + 1, 0.1)
    bounds = {}
    for epochs in options.epochs:
        steps = round(epochs * rest.n_cells / BATCH)
        fit = svi(model, default_guide(model), rest, steps=steps, batch_size=BATCH, settings=settings)
        bounds[epochs] = fit.held_out_bound(looked_at, particles=10).mean
        print(
            f"{epochs} epochs on {rest.n_cells:,} cells: bound of {looked_at.n_cells} others {bounds[epochs]:,.2f} "
            f"({fit.seconds:.0f} s)",
            flush=True,
        )
    return max(bounds, key=lambda epochs: bounds[epochs])


def without_latent(train: Any) -> tuple[Any, Any]:
    """The same likelihood with one share per gene for all cells, and its guide: what an autoencoder has to beat."""
    model = (
        ModelBuilder()
        .add_param(LogNormalSpec("r", ("n_genes",), (0.0, 1.5)))
        .add_param(LogNormalSpec("level", ("n_genes",), (-8.0, 3.0)))
        .add_statistic("total", TOTAL_COUNT)
        .add_derived("mean", lambda level, total: level * total, ["level", "total"])
        .with_likelihood(NegativeBinomialLikelihood(mean="mean"))
        .build()
    )
    totals = _dense(train).sum(axis=0) + 0.5  # no climb to the mode, which looks at every entry of the table
    return model, default_guide(model).starting_at({"r": Start(), "level": Start(np.log(totals / totals.sum()))})


def peer(options: argparse.Namespace, cells: Path, extra: tuple[str, ...]) -> dict[str, Any]:
    """What scvi-tools makes of the same cells."""
    command = [
        *(str(options.peer_python), str(Path(__file__).with_name("scvi_peer.py")), "--cells", str(cells)),
        *("--latent", str(options.latent), "--hidden", str(options.hidden), "--particles", str(options.particles)),
        *("--seed", str(options.seed), *extra),
        *(() if options.peer_epochs is None else ("--epochs", str(options.peer_epochs))),
    ]
    return peer_result(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def peer_result(said: str) -> dict[str, Any]:
    """What the last line of the peer's output says."""
    found = json.loads(said.strip().splitlines()[-1])
    print(
        f"\nscvi-tools {found['scvi']} (torch {found['torch']}; observed library size: {found['observed_library']}; "
        f"{found['epochs']} epochs): bound of training cells {found['elbo_of_training_cells']:,.2f}"
    )
    return {**found, "elbo": np.array(found["elbo"]), "weighted": np.array(found["weighted"])}


def report(found: dict[str, dict[str, Any]], particles: int) -> int:
    """The table; differences are between the same cells."""
    ours = found["autoencoder"]
    print(
        f"\n| model | bound per held-out cell | importance-weighted ({particles}) | autoencoder here minus this, bound "
        "(standard error) | the same, weighted | seconds | epochs | seconds per epoch |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for name, each in found.items():
        apart = []
        for kind in ("elbo", "weighted"):
            difference = ours[kind] - each[kind]
            error = difference.std(ddof=1) / np.sqrt(len(difference))
            apart.append("" if each is ours else f"{difference.mean():+.2f} ({error:.2f})")
        print(
            f"| {name} | {each['elbo'].mean():,.2f} | {each['weighted'].mean():,.2f} | {apart[0]} | {apart[1]} | "
            f"{each['seconds']:.0f} | {each['epochs']:.0f} | {each['seconds'] / each['epochs']:.2f} |"
        )
    finite = all(np.isfinite(each[kind]).all() for each in found.values() for kind in ("elbo", "weighted"))
    print("\nas it should be" if finite else "\nNOT as it should be: a bound is no number")
    return 0 if finite else 1


def _dense(cells: Any) -> np.ndarray:
    return np.asarray(cells.matrix.toarray(), np.int32)


if __name__ == "__main__":
    sys.exit(main())
