"""Laws of autoregressive models: who sees whom, probabilities that sum to one, samplers that draw from them.

What a tiny alphabet allows is checked against every example there is: all levels^d of them.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from scipy import special, stats

from modelwright.generative.autoregressive.choice import Choice
from modelwright.generative.autoregressive.model import (
    AbstractAutoregressiveModel,
    Caching,
    Continuing,
    compiled_logits,
)
from modelwright.generative.laws.chance import FEWEST, at_once, beyond_chance
from modelwright.generative.laws.law import FEW, Law, Measured, Subject, drawn_anew, largest, loose, one_condition
from modelwright.generative.protocol import AbstractGenerativeModel

MOST_EXAMPLES = 1024
"""Alphabets and shapes with no more examples than this are enumerated."""

DRAWS = 4096
"""Examples drawn where frequencies are compared."""

CHOSEN = 1024
"""Continuations drawn for each choice; a cache of all of them is kept."""

CHOICES = (Choice(0.7, 2), Choice(1.3, None, 0.6), Choice(0.0))
"""Each is compiled by itself."""

LONG, MOST_PLACES = 64, 32
"""Of examples of more symbols than the first, as many places as the second are tried."""

BASES, MOST_BASES = 3, 32
"""Examples in which every place is changed, and the most where a connection has not shown yet."""


def seen(model: AbstractAutoregressiveModel, subject: Subject) -> tuple[np.ndarray, np.ndarray]:
    """Which symbols change which logits at all, found by putting other symbols in each place.

    Same shapes and the same compiled code each time, so that what does not depend stays equal bit by bit. Of long
    examples `MOST_PLACES` places are tried, the first and the last among them: the passes would grow with the square of
    the length.

    Where a connection does not show in half of the examples, the others are put to a copy with other parameters.

    Returns:
        The places tried, shape (p,), and whether the symbol there changes each logit, shape (d, p).
    """
    shape, levels = model.example_shape, model.alphabet.levels
    d = int(np.prod(shape))
    vectors = _vectors(subject, 1)

    def logits(symbols: np.ndarray, of: AbstractAutoregressiveModel) -> np.ndarray:
        return np.asarray(compiled_logits(of, jnp.asarray(symbols.reshape(1, *shape)), vectors)).reshape(d, levels)

    generator = np.random.default_rng(subject.seed)
    places = np.arange(d)
    if d > LONG:
        between = generator.choice(np.arange(1, d - 1), MOST_PLACES - 2, replace=False)
        places = np.sort(np.append(between, [0, d - 1]))
    dependence = model.dependence()[:, places]
    changed = np.zeros((d, len(places)), bool)
    asked = model
    for tried, base in enumerate(generator.integers(0, levels, (MOST_BASES, d))):
        # units that are off for one example (relu) may hide a connection, so more are tried where one is missing; those
        # that training has switched off for all hide it whatever is put in
        wanted = np.arange(len(places)) if tried < BASES else np.flatnonzero((~changed & dependence).any(0))
        if not len(wanted):
            break
        if tried == MOST_BASES // 2:
            asked = drawn_anew(model, subject.seed)
        before = logits(base, asked)
        for k in wanted:
            j = places[k]
            for other in generator.permutation(np.delete(np.arange(levels), base[j]))[:3]:
                beside = base.copy()
                beside[j] = other
                changed[:, k] |= (logits(beside, asked) != before).any(-1)
    return places, changed


def sees_no_more(subject: Subject) -> Measured:
    """No logit changes with a symbol that is its own or comes later."""
    model = _of(subject)
    places, changed = seen(model, subject)
    excess = changed & ~model.dependence()[:, places]
    return Measured(float(excess.sum()), 0.0, f"symbols seen that must not be{_tried(model, places)}:")


def sees_all(subject: Subject) -> Measured:
    """Every logit changes with every symbol before it that the network reaches."""
    model = _of(subject)
    places, changed = seen(model, subject)
    missing = ~changed & model.dependence()[:, places]
    return Measured(float(missing.sum()), 0.0, f"symbols not seen that should be{_tried(model, places)}:")


def _tried(model: AbstractAutoregressiveModel, places: np.ndarray) -> str:
    d = int(np.prod(model.example_shape))
    return f" ({len(places)} of {d} places tried)" if len(places) < d else ""


def has_an_order(subject: Subject) -> Measured:
    """Some order of the symbols puts each after all that it sees, in the network and as the model says."""
    model = _of(subject)
    places, changed = seen(model, subject)
    left = (changed | model.dependence()[:, places])[places]
    alive = np.ones(len(left), bool)
    while alive.any():
        free = alive & ~(left & alive).any(axis=1)
        if not free.any():
            break
        alive &= ~free
    return Measured(float(alive.sum()), 0.0, f"symbols in a circle{_tried(model, places)}:")


def sums_to_one(subject: Subject) -> Measured:
    """The probabilities of all examples sum to one."""
    _, log_p = _enumerated(subject)
    return Measured(abs(float(np.exp(log_p).sum()) - 1.0), loose(subject, 1e-10, 1e-4), "difference of the sum from 1")


def draws_what_it_says(subject: Subject) -> Measured:
    """The frequencies of drawn examples are their probabilities: chi-square, the rare ones pooled."""
    examples, log_p = _enumerated(subject)
    statistic, most, cells = chi_square(_frequencies(subject, len(examples)), DRAWS * np.exp(log_p))
    return Measured(statistic, most, f"chi-square of {cells} cells")


def chi_square(found: np.ndarray, expected: np.ndarray) -> tuple[float, float, int]:
    """The statistic of counts, what it exceeds in one of 100,000 cases, and the number of cells, the rare ones pooled.

    Infinite where more than one came that is not expected at all.
    """
    rare = expected < 5.0
    expected = np.append(expected[~rare], expected[rare].sum())
    found = np.append(found[~rare], found[rare].sum())
    kept = expected > 1e-3  # an empty pool is no cell
    if found[~kept].sum() > 1.0:
        return float("inf"), 0.0, int(kept.sum())
    statistic = float((np.square(found - expected)[kept] / expected[kept]).sum())
    return statistic, float(stats.chi2.ppf(1.0 - 1e-5, max(int(kept.sum()) - 1, 1))), int(kept.sum())


def says_what_it_draws(subject: Subject) -> Measured:
    """The mean log probability of drawn examples is minus the entropy."""
    model, (_, log_p) = _of(subject), _enumerated(subject)
    entropy = -float((np.exp(log_p) * log_p).sum())
    found = np.asarray(model.log_prob(_drawn(subject), cond=one_condition(subject, DRAWS)).value, float)
    error = found.std(ddof=1) / np.sqrt(DRAWS)
    return Measured(abs(found.mean() + entropy), 5.0 * error + 1e-5, f"nats from minus the entropy {entropy:.3f}:")


def log_prob_is_of_logits(subject: Subject) -> Measured:
    """The log probability is the sum over all symbols, the first included, of the log softmax of their logits.

    Of random symbols, none of which a trained model takes for granted. Each example's logits are found by themselves,
    so that the two differ by the rounding of single precision.
    """
    model, levels = _of(subject), _of(subject).alphabet.levels
    generator = np.random.default_rng(subject.seed)
    symbols = jnp.asarray(generator.integers(0, levels, (FEW, *model.example_shape)))
    found = np.asarray(model.log_prob(model.alphabet.values(symbols), cond=one_condition(subject, FEW)).value)
    wanted = []
    for k in range(FEW):
        logits = np.asarray(compiled_logits(model, symbols[k : k + 1], _vectors(subject, 1)), np.float64)
        of_symbols = np.asarray(symbols[k]).reshape(-1, 1)
        log_p = special.log_softmax(logits.reshape(-1, levels), axis=-1)
        wanted.append(np.take_along_axis(log_p, of_symbols, axis=-1).sum())
    scale = 1.0 + float(np.abs(wanted).max())
    return Measured(float(np.abs(found - wanted).max()) / scale, loose(subject, 1e-10, 1e-4), "relative difference")


def draws_from_its_logits(subject: Subject) -> Measured:
    """What is drawn is, symbol for symbol, a draw from the logits given those before it (see `chance.beyond_chance`).

    Asked of examples of any size: nothing is enumerated.
    """
    model = _of(subject)
    d, levels = int(np.prod(model.example_shape)), model.alphabet.levels
    rows = at_once(d, levels)
    n, vectors = rows * -(-FEWEST // rows), _vectors(subject, rows)
    if _tiny(model):
        drawn = _drawn(subject)[:n]  # compiled for the frequencies
    else:
        drawn = model.sample(n, key=subject.key("drawn"), cond=one_condition(subject, n))
    symbols = model.alphabet.symbols(drawn)
    batches = (
        (np.asarray(own).reshape(rows, d), np.asarray(compiled_logits(model, own, vectors)).reshape(rows, d, levels))
        for own in jnp.split(symbols, n // rows)
    )
    return beyond_chance(batches, subject.seed)


def cache_changes_nothing(subject: Subject) -> Measured:
    """Logits one symbol at a time, from what is kept of those before, are those of whole examples."""
    model, n = subject.model, FEW
    symbols = model.alphabet.symbols(subject.batch.x[:n])  # type: ignore[attr-defined]
    vectors = _vectors(subject, n)
    whole = compiled_logits(_of(subject), symbols, vectors)
    graph, state = nnx.split(model)
    apart = [
        largest(_cached_logits(graph, state, symbols, vectors, prompt) - whole) for prompt in (0, symbols.shape[1] // 2)
    ]
    scale = 1.0 + largest(whole)
    return Measured(max(apart) / scale, loose(subject, 1e-10, 1e-4), "relative difference of logits")


def choices_by_definition(subject: Subject) -> Measured:
    """What follows a prompt has the frequencies that a loop over the sorted symbols leaves of the probabilities.

    Two symbols, so that both are looked at: those drawn in the loop, and the last. What the choice excludes must not
    come at all.
    """
    model, levels = _of(subject), _of(subject).alphabet.levels
    (length,) = model.example_shape
    n_tokens = min(2, length)
    given = (length - n_tokens) // 2
    # the prompt, and all that can come next
    symbols = np.repeat(np.asarray(model.alphabet.symbols(subject.batch.x[:1])), levels, axis=0)
    symbols[:, given] = np.arange(levels)
    logits = np.asarray(compiled_logits(model, jnp.asarray(symbols), _vectors(subject, levels)), np.float64)
    worst = Measured(0.0, 1.0, "no choice was tried:")
    for choice in CHOICES:
        expected = by_loop(logits[0, given], choice)
        if n_tokens > 1:
            expected = expected[:, None] * np.stack([by_loop(row, choice) for row in logits[:, given + 1]])
        drawn = model.continue_from(
            jnp.broadcast_to(jnp.asarray(symbols[0, :given]), (CHOSEN, given)),
            n_tokens,
            key=subject.key("choices"),
            temperature=choice.temperature,
            top_k=choice.top_k,
            top_p=choice.top_p,
            cond=one_condition(subject, CHOSEN),
        )
        which = np.ravel_multi_index(tuple(np.asarray(drawn)[:, given:].T), (levels,) * n_tokens)
        found = np.bincount(which, minlength=levels**n_tokens)
        excluded = int(found[expected.reshape(-1) == 0.0].sum())
        statistic, most, cells = chi_square(found, CHOSEN * expected.reshape(-1))
        each = Measured(
            float("inf") if excluded else statistic,
            most,
            f"{excluded} of {CHOSEN} draws excluded by {choice}, chi-square of {cells} cells",
        )
        worst = max(worst, each, key=lambda measured: measured.figure / max(measured.tolerance, 1e-9))
    return worst


def by_loop(logits: np.ndarray, choice: Choice) -> np.ndarray:
    """What `Choice` keeps of one distribution, from its definition, in double precision and without sorting tricks."""
    levels = len(logits)
    likeliest_first = sorted(range(levels), key=lambda symbol: (-logits[symbol], symbol))
    if choice.temperature == 0.0:
        return np.eye(levels)[likeliest_first[0]]
    p = np.exp((logits - logits.max()) / choice.temperature)
    kept = likeliest_first if choice.top_k is None else likeliest_first[: choice.top_k]
    total = p[kept].sum()
    if choice.top_p is not None:
        nucleus, mass = [], 0.0
        for symbol in kept:
            nucleus.append(symbol)
            mass += p[symbol] / total
            if mass >= choice.top_p:
                break
        kept = nucleus
    found = np.zeros(levels)
    found[kept] = p[kept] / p[kept].sum()
    return found


@partial(jax.jit, static_argnames=("graph", "prompt"))
def _cached_logits(graph: Any, state: Any, symbols: jax.Array, vectors: "jax.Array | None", prompt: int) -> jax.Array:
    return nnx.merge(graph, state).cached_logits(symbols, vectors, prompt=prompt)


def _of(subject: Subject) -> AbstractAutoregressiveModel:
    assert isinstance(subject.model, AbstractAutoregressiveModel)
    return subject.model


def _vectors(subject: Subject, n: int) -> "jax.Array | None":
    return _of(subject).condition.vectors(one_condition(subject, n), n)


def _enumerated(subject: Subject) -> tuple[np.ndarray, np.ndarray]:
    """All examples, as data, and the log probability of each, nats."""
    model = _of(subject)
    d, levels = int(np.prod(model.example_shape)), model.alphabet.levels
    symbols = np.stack(np.unravel_index(np.arange(levels**d), (levels,) * d), axis=-1)
    examples = model.alphabet.values(jnp.asarray(symbols.reshape(-1, *model.example_shape)))
    return np.asarray(examples), np.asarray(
        model.log_prob(examples, cond=one_condition(subject, len(examples))).value, float
    )


def _drawn(subject: Subject) -> jax.Array:
    return _of(subject).sample(DRAWS, key=subject.key("frequencies"), cond=one_condition(subject, DRAWS))


def _frequencies(subject: Subject, examples: int) -> np.ndarray:
    """How often each example was drawn, in the order of `_enumerated`."""
    model = _of(subject)
    d, levels = int(np.prod(model.example_shape)), model.alphabet.levels
    symbols = np.asarray(model.alphabet.symbols(_drawn(subject))).reshape(DRAWS, d)
    return np.bincount(np.ravel_multi_index(tuple(symbols.T), (levels,) * d), minlength=examples).astype(float)


def _sequential(model: AbstractGenerativeModel) -> bool:
    return isinstance(model, AbstractAutoregressiveModel)


def _tiny(model: AbstractGenerativeModel) -> bool:
    if not isinstance(model, AbstractAutoregressiveModel):
        return False
    return float(model.alphabet.levels) ** int(np.prod(model.example_shape)) <= MOST_EXAMPLES


def _caches(model: AbstractGenerativeModel) -> bool:
    return _sequential(model) and isinstance(model, Caching)


def _continues(model: AbstractGenerativeModel) -> bool:
    return _sequential(model) and isinstance(model, Continuing)


AUTOREGRESSIVE_LAWS = (
    Law("no symbol sees itself or a later one", _sequential, sees_no_more),
    Law("every symbol sees all before it within reach", _sequential, sees_all),
    Law("the symbols have an order", _sequential, has_an_order),
    Law("the log probability is that of the logits", _sequential, log_prob_is_of_logits),
    Law("every symbol is drawn from its logits", _sequential, draws_from_its_logits),
    Law("the probabilities of all examples sum to one", _tiny, sums_to_one),
    Law("the frequencies of samples are their probabilities", _tiny, draws_what_it_says),
    Law("the mean log probability of samples is minus the entropy", _tiny, says_what_it_draws),
    Law("a cache changes no logits", _caches, cache_changes_nothing),
    Law("what follows a prompt is drawn as temperature, top_k and top_p say", _continues, choices_by_definition),
)
