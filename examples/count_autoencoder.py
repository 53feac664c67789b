"""A variational autoencoder of cells x genes: a few lines, trained on mini-batches, judged on cells it has not seen."""

import numpy as np

from modelwright.bayesian.inference import svi
from modelwright.bayesian.single_cell.autoencoder import count_autoencoder
from modelwright.bayesian.single_cell.count_models import default_guide
from modelwright.data.counts import CellCounts, simulate_counts


def example(n_cells: int = 600, n_genes: int = 60, steps: int = 1500) -> None:
    """Train on cells of three kinds, then look at held-out cells and at the latent vectors."""
    kinds = [simulate_counts("nbdm", n_cells=n_cells // 3, n_genes=n_genes, seed=seed).counts for seed in range(3)]
    table = np.concatenate([kind.matrix.toarray() for kind in kinds])
    cells = CellCounts(table, cells=[f"cell {place}" for place in range(len(table))], genes=kinds[0].genes)
    train, held_out = cells.split(seed=0, share=0.2)

    model = count_autoencoder(latent_dim=5, hidden_dims=(64,))
    fit = svi(model, default_guide(model), train, steps=steps, batch_size=128)

    print(*fit.settings["notes"], fit.ended, sep="\n")
    print(fit.held_out_bound(held_out, particles=20).sentence)
    print(fit.sample(20, sites=("z",))["z"].mean(axis=0).shape, "latent vectors of the cells trained on")


if __name__ == "__main__":
    example()
