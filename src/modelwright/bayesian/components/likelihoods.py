"""Likelihoods: how counts follow from parameters. They only observe; priors and plates belong to specifications.

A likelihood names the parameters it needs, makes the distribution of a cell's genes from their laid-out values (cells
first, genes last), and says whether the whole table of counts has a compressed form.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpyro.distributions as dist


class AbstractLikelihood(ABC):
    """How what was observed follows from parameters."""

    @property
    @abstractmethod
    def parameters(self) -> tuple[str, ...]:
        """Names of the parameters it needs."""

    @abstractmethod
    def distribution(self, values: Mapping[str, Any]) -> dist.Distribution:
        """Distribution of single counts.

        Args:
            values: Laid-out values of `parameters`, by name.

        Returns:
            Batch shape that broadcasts to (n_cells, n_genes); of a mixture, whose genes belong together, an event of as
            many genes as the parameters know of.
        """

    def of_cells(self, values: Mapping[str, Any], n_genes: int) -> dist.Distribution:
        """Distribution of all genes of a cell together.

        Args:
            values: Laid-out values of `parameters`, by name.
            n_genes: Genes, of which no parameter needs to know.

        Returns:
            Event shape (n_genes,), batch shape that broadcasts to (n_cells,).
        """
        single = self.distribution(values)
        return single.expand((*single.batch_shape[:-1], n_genes)).to_event(1)

    @property
    def n_components(self) -> int:
        """Components of a mixture; 0 for what is none."""
        return 0

    @property
    def observes_counts(self) -> bool:
        """Whether what it observes are counts, so that anything but whole numbers from 0 is refused."""
        return True

    def compressed_form(self, dims: Mapping[str, tuple[str, ...]]) -> str | None:
        """Name of the compressed form for parameters over these axes, None where every entry has to be looked at."""
        return None

    def of_single_cells(self, form: str) -> tuple[str, ...]:
        """Parameters of which a compressed form takes a value for every cell, even where only batches differ."""
        return ()

    def compressed_log_prob(self, form: str, values: Mapping[str, Any], compressed: Any) -> Any:
        """Log probability of the whole table in nats, a scalar.

        Args:
            form: What `compressed_form` said.
            values: Laid-out values of `parameters`: those `of_single_cells` of all cells, and what differs between
                batches otherwise with a row for each of these.
            compressed: The table, compressed.
        """
        raise TypeError(f"{type(self).__name__} has no compressed form")  # not reached: compressed_form says None
