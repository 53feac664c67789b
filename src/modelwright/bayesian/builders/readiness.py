"""Counts made ready for a model: compressed where that serves, with the statistics that its guide looks at."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import scipy.sparse as sp

from modelwright.bayesian.builders.composition import FromData
from modelwright.bayesian.builders.guide import Guide
from modelwright.bayesian.builders.model import Model
from modelwright.bayesian.builders.starts import starts_from_data, values_from_moments
from modelwright.bayesian.components.compressed_counts import check_counts, compress_matrix
from modelwright.bayesian.components.observed import ObservedCounts, gene_names, observe
from modelwright.bayesian.components.sufficient_statistics import SufficientStatistic
from modelwright.bayesian.inference.data_models import Init, Ready
from modelwright.core.errors import ConfigurationError

STEP_IN_SPREADS, LEARNING_RATES = 0.3, (5e-4, 0.02)
"""A step of the optimiser in standard deviations of the narrowest parameter, and what it is kept within (arbitrary)."""

RATE_OF_NETWORKS = 2e-3
"""Step size where a decoder is trained, usual for networks of this kind (arbitrary)."""

LARGEST_DENSE = 50_000_000
"""Entries up to which the whole table is kept beside its compressed form (400 MB), for checks entry by entry."""


def made_ready(
    model: Model,
    data: Any,
    guide: Any = None,
    *,
    batch_size: int | None = None,
    kwargs: Mapping[str, Any] | None = None,
    init: Init = "mode",
) -> Ready:
    """Counts as a model takes them, and its guide with a place to begin; see `AbstractDataModel.made_ready`.

    Where a guide says itself that a parameter begins, it begins; the others begin near the data.
    """
    observed, note = observed_for(model, guide, data, batch_size=batch_size)
    first = values_from_moments(model, observed)
    if not isinstance(guide, Guide) or {spec.name for spec in guide.specs} <= set(guide.starts):
        if init != "mode":
            raise ConfigurationError(
                "the guide says itself where it begins",
                field="init",
                expected="mode",
                got=init,
                todo="leave init out, or take a guide of the builders without starts of its own",
            )
        return Ready(guide, observed, first, (note,))
    starts, found, narrowest = starts_from_data(model, guide, observed, first, kwargs, init)
    begun, given = guide.starting_at({**starts, **guide.starts}), sorted(guide.starts)
    if given:
        found += f"; as the guide says itself: {', '.join(given)}"
    if narrowest is None or given:  # what begins where somebody said may have a long way to go
        return Ready(begun, observed, first, (note, found), RATE_OF_NETWORKS if model.groups else None)
    # From the mode there is little way to go: steps beyond the narrowest spread would only shake the guide.
    learning_rate = float(np.clip(STEP_IN_SPREADS * narrowest, *LEARNING_RATES))
    return Ready(begun, observed, first, (note, found), learning_rate)


def observed_for(model: Model, guide: Any, data: Any, *, batch_size: int | None = None) -> tuple[ObservedCounts, str]:
    """Counts as a model takes them, and what was decided about them.

    Args:
        model: The model.
        guide: Its guide, whose networks look at statistics; None without one.
        data: Counts of any kind, or `ObservedCounts`.
        batch_size: Cells in a mini-batch; None for all.

    Raises:
        ConfigurationError: a compressed likelihood is asked for and there is none.
        DataError: no table, or values that cannot be counts under a likelihood of counts.
    """
    form, note = _form(model, batch_size)
    statistics = statistics_needed(model, guide)
    if isinstance(data, ObservedCounts):
        if model.likelihood.observes_counts and data.dense is not None:
            check_counts(np.asarray(data.dense))
        return _completed(data, form, statistics, by_batch=model.tells_batches_apart), note
    matrix: Any = getattr(data, "matrix", data)
    if not sp.issparse(matrix):
        matrix = np.asarray(matrix)
    if form is None and model.likelihood.observes_counts:  # what is compressed is looked at then
        check_counts(matrix)
    compressed = None if form is None else compress_matrix(matrix)
    dense = form is None or int(np.prod(matrix.shape)) <= LARGEST_DENSE
    observed = observe(matrix, statistics=statistics, compressed=compressed, dense=dense)
    return replace(observed, genes=gene_names(data)), note


def _completed(
    known: ObservedCounts, form: str | None, statistics: Sequence[SufficientStatistic], *, by_batch: bool
) -> ObservedCounts:
    """Observed counts with what they lack; what they have stays, as numbers of batches and scales of networks do."""
    missing = [each for each in statistics if each.name not in known.statistics]
    batch = known.batch if by_batch else None
    rows = 1 if batch is None else known.n_batches
    compressing = form is not None and (known.compressed is None or known.compressed.n_batches != rows)
    if not missing and not compressing:
        return known
    matrix = _table(known)
    more = observe(matrix, statistics=missing, dense=False).statistics if missing else {}
    compressed = compress_matrix(matrix, batch, n_batches=rows) if compressing else known.compressed
    return replace(known, compressed=compressed, statistics={**known.statistics, **more})


def _table(known: ObservedCounts) -> Any:
    """The counts themselves, from whichever form is kept."""
    if known.dense is not None or known.compressed is None:
        return np.asarray(known.rows())
    packed = known.compressed
    entries = (np.asarray(packed.entry_count), (np.asarray(packed.entry_cell), np.asarray(packed.entry_gene)))
    return sp.csr_array(entries, shape=(known.n_cells, known.n_genes))


def _form(model: Model, batch_size: int | None) -> tuple[str | None, str]:
    form = model.compressed_form
    reason = "parameters of the likelihood differ between cells and genes at once" if form is None else ""
    if batch_size is not None:
        form, reason = None, "mini-batches look at their cells entry by entry"
    if model.entries == "compressed" and form is None:
        raise ConfigurationError(
            f"there is no compressed likelihood: {reason}",
            field="entries",
            expected="auto or dense",
            got="compressed",
        )
    if model.entries == "dense":
        return None, "likelihood: every entry of the table, as asked"
    if form is None:
        return None, f"likelihood: every entry of the table ({reason})"
    cost = "of distinct pairs of gene and count"
    if model.integrated_out is not None:
        cost += (
            f", and of a hundred integrals over {', '.join(model.integrated_out.dims)}, which cells of a total share"
        )
    return form, f"likelihood: compressed, {form} (exact; its cost is that {cost})"


def statistics_needed(model: Model, guide: Any) -> Sequence[SufficientStatistic]:
    """What a model and its guide read off the data."""
    found = [part.statistic for part in model.parts if isinstance(part, FromData)]
    if isinstance(guide, Guide):
        found += [each for family in guide.families.values() for each in family.statistics]
        found += [group.encoder.sufficient_statistic for group in guide.groups.values()]
    return list({each.name: each for each in found}.values())
