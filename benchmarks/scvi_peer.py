"""The peer of `count_vae.py`: scvi-tools' SCVI on the same cells, run by an interpreter that has scvi-tools.

    path/to/python benchmarks/scvi_peer.py --cells cells.npz --latent 10 --hidden 128 --likelihood nb --particles 100

`cells.npz` holds `train` and `held_out`, counts of cells x genes. Printed is one line of JSON. The bound is
`get_elbo` (in 1.4 not negated: higher is better; mean over cells of the log likelihood, log y! among it, minus the
Kullback-Leibler divergence of z; with the observed library size there is none of the library), averaged over passes of
one draw of z each. The importance-weighted bound is `get_marginal_ll`.
"""

import argparse
import json
import logging
import time
import warnings

import anndata
import numpy as np
import scipy.sparse as sp
import scvi
import torch


def main() -> None:
    """Train once and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", required=True)
    parser.add_argument("--latent", type=int, default=10)
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--likelihood", choices=("nb", "zinb"), default="nb")
    parser.add_argument("--particles", type=int, default=100)
    parser.add_argument("--passes", type=int, default=20, help="draws of z that the bound is averaged over")
    parser.add_argument("--epochs", type=int, default=None, help="at most; scvi-tools' own number when left out")
    parser.add_argument("--early-stopping", action="store_true", help="on a tenth of the training cells")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    for name in ("lightning.pytorch", "scvi"):
        logging.getLogger(name).setLevel(logging.ERROR)
    scvi.settings.seed = options.seed
    scvi.settings.verbosity = logging.ERROR
    stored = np.load(options.cells)
    cells = {name: anndata.AnnData(sp.csr_matrix(stored[name].astype(np.float32))) for name in ("train", "held_out")}
    scvi.model.SCVI.setup_anndata(cells["train"])
    model = scvi.model.SCVI(
        cells["train"],
        n_latent=options.latent,
        n_hidden=options.hidden,
        n_layers=1,
        gene_likelihood=options.likelihood,
    )
    began = time.perf_counter()
    model.train(
        max_epochs=options.epochs,
        accelerator="cpu",
        early_stopping=options.early_stopping,
        train_size=0.9 if options.early_stopping else 1.0,
        enable_progress_bar=False,
        logger=False,
    )
    seconds = time.perf_counter() - began
    epochs = int(model.trainer.current_epoch)
    bounds = np.stack([_per_cell(model.get_elbo(cells["held_out"], return_mean=False)) for _ in range(options.passes)])
    trained = float(np.mean([float(model.get_elbo(cells["train"])) for _ in range(3)]))
    began = time.perf_counter()
    weighted = _per_cell(model.get_marginal_ll(cells["held_out"], n_mc_samples=options.particles, return_mean=False))
    print(
        json.dumps(
            {
                "scvi": scvi.__version__,
                "torch": torch.__version__,
                "observed_library": bool(model.module.use_observed_lib_size),
                "epochs": epochs,
                "seconds": seconds,
                "elbo_of_training_cells": trained,
                "elbo": bounds.mean(axis=0).tolist(),
                "weighted": weighted.tolist(),
                "seconds_of_weighting": time.perf_counter() - began,
            }
        )
    )


def _per_cell(values: object) -> np.ndarray:
    return np.asarray(values.detach().cpu() if hasattr(values, "detach") else values, np.float64).reshape(-1)


if __name__ == "__main__":
    main()
