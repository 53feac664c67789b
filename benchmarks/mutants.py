"""Faults that published generative code had, put into this code one at a time: each has to be caught.

    python benchmarks/mutants.py                # all, some minutes
    python benchmarks/mutants.py --only spline  # those whose name has the word

Each mutant is a copy of src and tests with one text replaced. The tests named with it have to pass on the code as it is
and to fail on the copy; what failed is printed. Numbers are those of the list of faults in docs/faults.md.

A test that ends in an ImportError, a TypeError or the like, or that cannot be set up, has caught nothing.

Exit status: 0 when every mutant is caught, 1 otherwise.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LAWS = "tests/generative/test_laws.py"


@dataclass(frozen=True)
class Mutant:
    """One fault.

    Args:
        number: In the list of faults.
        name: What is wrong.
        file: Below src/modelwright.
        before: The text that is replaced; stands there once.
        after: What replaces it.
        tests: Arguments of pytest: files, and words after -k.
    """

    number: int
    name: str
    file: str
    before: str
    after: str
    tests: tuple[str, ...]


MUTANTS = (
    Mutant(
        1,
        "spline: slope divided once more by the width of its bin",
        "generative/flow/spline.py",
        "above = s**2 * (",
        "above = s**2 / piece.width * (",
        (LAWS, "-k", "splines and autoregressive and perturbed"),
    ),
    Mutant(
        1,
        "spline: slopes at the ends are not those of the tails",
        "generative/flow/spline.py",
        "ends = jnp.ones_like(parameters[..., :1])",
        "ends = 0.5 * jnp.ones_like(parameters[..., :1])",
        ("tests/generative/test_flow_bijections.py", "-k", "spline"),
    ),
    Mutant(
        2,
        "masks: strict in every layer",
        "generative/nets/masked.py",
        "self.hidden = nnx.List(MaskedLinear(a, b, rngs=rngs) for a, b in pairwise([seen, *hidden]))",
        "self.hidden = nnx.List(MaskedLinear(a, b, strict=True, rngs=rngs) for a, b in pairwise([seen, *hidden]))",
        (LAWS, "-k", "MAF and plane and perturbed"),
    ),
    Mutant(
        3,
        "inverse of a stack: walked in the order of the way there",
        "generative/flow/chain.py",
        "return jax.lax.scan(step, (y, nothing(y)), states, reverse=True)[0]",
        "return jax.lax.scan(step, (y, nothing(y)), states)[0]",
        (LAWS, "-k", "RealNVP and plane and perturbed"),
    ),
    Mutant(
        3,
        "inverse of a masked flow: numbers found in one order, whatever their own is",
        "generative/flow/autoregressive.py",
        "places = jnp.asarray(self.order)",
        "places = jnp.arange(len(self.order))",
        ("tests/generative/test_flow_bijections.py", "-k", "round_trips"),
    ),
    Mutant(
        4,
        "sample: a key of its own",
        "generative/vae/autoencoder.py",
        "of_latent, of_example = jax.random.split(key)",
        "of_latent, of_example = jax.random.split(jax.random.key(0))",
        (LAWS, "-k", "VAE and dense and fresh"),
    ),
    Mutant(
        5,
        "parameters: made in the first pass",
        "generative/nets/reshaped.py",
        '        """The output of each input, shape (n, *out_shape); a key leaves units out."""',
        '        """Late."""\n        if not hasattr(self, "late"):\n'
        "            self.late = nnx.Param(self.net.layers[0].bias[...])",
        (LAWS, "-k", "VAE and dense and fresh"),
    ),
    Mutant(
        5,
        "parameters: all layers begin identical",
        "generative/nets/stacked.py",
        "others = [nnx.state(make()) for _ in range(n_layers - 1)]",
        "others = [first] * (n_layers - 1)",
        ("tests/generative/test_flow_models.py", "-k", "begin_apart"),
    ),
    Mutant(
        6,
        "transformer: a token sees itself",
        "generative/autoregressive/transformer.py",
        "return self._to_logits(self.net(self._inputs(symbols[:, :-1], vectors), key)[0])",
        "return self._to_logits(self.net(self._inputs(symbols[:, 1:], vectors), key)[0])",
        (LAWS, "-k", "Transformer and rotary and perturbed"),
    ),
    Mutant(
        6,
        "autoregressive models: the first symbol left out of log_prob",
        "generative/autoregressive/model.py",
        "return each.reshape(len(x), -1).sum(-1)",
        "return each.reshape(len(x), -1)[:, 1:].sum(-1)",
        (LAWS, "-k", "MADE and levels and perturbed"),
    ),
    Mutant(
        6,
        "autoregressive models beyond enumeration: the first symbol left out of log_prob",
        "generative/autoregressive/model.py",
        "return each.reshape(len(x), -1).sum(-1)",
        "return each.reshape(len(x), -1)[:, 1:].sum(-1)",
        (LAWS, "-k", "columns and perturbed and logits"),
    ),
    Mutant(
        6,
        "autoregressive models beyond enumeration: samples that are one place off",
        "generative/autoregressive/pixel_cnn.py",
        "return drawn_in_order(self, n, order, key, self.condition.vectors(cond, n))",
        "return jnp.roll(drawn_in_order(self, n, order, key, self.condition.vectors(cond, n)), 1, axis=2)",
        (LAWS, "-k", "columns and perturbed and logits"),
    ),
    Mutant(
        10,
        "likelihood: trained on a log variance, drawn from as a log deviation",
        "generative/likelihoods/gaussian.py",
        "return mean + jnp.exp(0.5 * self.log_variance(output))",
        "return mean + jnp.exp(self.log_variance(output))",
        (LAWS, "-k", "convolutions and Gaussian and perturbed and likelihood"),
    ),
    Mutant(
        13,
        "factory: a class dispatched to its parent",
        "factory/builders/vae.py",
        '"modelwright.generative.vae.vqvae:VQVAE"',
        '"modelwright.generative.vae.vae:VAE"',
        ("tests/generative/test_vae_models.py", "-k", "exactly_its_class"),
    ),
    Mutant(
        13,
        "flow: no layers at all",
        "generative/flow/stacks.py",
        'Parameter("n_transforms", "integer", 5, "layers one after the other", 1, 256)',
        'Parameter("n_transforms", "integer", 5, "layers one after the other", 0, 256)',
        ("tests/generative/test_flow_models.py", "-k", "without_layers"),
    ),
    Mutant(
        14,
        "zoo: an unknown override filed among the notes",
        "zoo/zoo.py",
        "elif key in TRAINING_DEFAULTS:",
        'elif key not in TRAINING_DEFAULTS:\n                document.setdefault("metadata", {})[key] = value\n'
        "            elif key in TRAINING_DEFAULTS:",
        ("tests/zoo/test_zoo.py", "-k", "anything_else"),
    ),
    Mutant(
        14,
        "configuration: fields and parameters that nobody reads",
        "generative/reading.py",
        "        if unread:",
        "        if unread and not unread:",
        ("tests/factory/test_factory.py", "-k", "nobody_reads"),
    ),
    Mutant(
        15,
        "text: symbols in the order of Python's salted hashes",
        "modalities/text.py",
        'return cls("".join(sorted(set(text))))',
        'return cls("".join(set(text)))',
        ("tests/modalities/test_text_codec.py", "-k", "every_process"),
    ),
    Mutant(
        17,
        "likelihood: its constant left out",
        "generative/likelihoods/gaussian.py",
        "-0.5 * (squared + log_variance + jnp.log(2.0 * jnp.pi))",
        "-0.5 * (squared + log_variance)",
        ("tests/generative/test_vae_likelihoods.py", "-k", "gaussian"),
    ),
    Mutant(
        17,
        "flow beyond the plane: the constant of its density left out",
        "generative/flow/flow.py",
        "return -0.5 * (jnp.square(z) + math.log(2.0 * math.pi)).sum(-1)",
        "return -0.5 * jnp.square(z).sum(-1)",
        (LAWS, "-k", "MAF and labels and perturbed and Jacobian"),
    ),
    Mutant(
        17,
        "autoencoder: a divergence of zero reported by nobody",
        "generative/vae/autoencoder.py",
        "active = (q.mean.var(0) > ACTIVE).sum()",
        "active = jnp.asarray(self.latent_dim)",
        ("tests/generative/test_vae_models.py", "-k", "collapsed"),
    ),
)


CRASHES = ("ImportError", "ModuleNotFoundError", "SyntaxError", "NameError", "AttributeError", "TypeError")
"""What a mutant that was not made well ends in: no law has been asked anything."""


def run(source: Path, tests: tuple[str, ...]) -> tuple[int, str, str]:
    """The exit code of pytest on a copy of the code, the first thing that failed, and what it failed with.

    Nothing is said to have failed where a test could not be collected or set up.
    """
    environment = {**os.environ, "PYTHONPATH": str(source / "src"), "COLUMNS": "400"}  # the reason is in the last words
    words = ["-x", "-q", "-p", "no:xdist", "-p", "no:cacheprovider", "--rootdir", str(source), *tests]
    command = [sys.executable, "-m", "pytest", *words]
    found = subprocess.run(command, cwd=source, env=environment, capture_output=True, text=True, check=False)
    failed = re.search(r"^FAILED \S*?::(.*?)(?: - (.*))?$", found.stdout, re.M)
    if failed is None:
        return found.returncode, "", (found.stdout + found.stderr).strip().splitlines()[-1]
    return found.returncode, failed.group(1), failed.group(2) or ""


def copied(folder: Path) -> Path:
    """A copy of what the tests need."""
    for name in ("src", "tests", "docs"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def main() -> int:
    """Try every mutant; the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="+", help="words of the names of mutants")
    options = parser.parse_args()
    chosen = [m for m in MUTANTS if not options.only or any(word in m.name for word in options.only)]
    survived = 0
    print("| fault | in | caught by |\n|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory(prefix="mutants-") as name:
        folder = copied(Path(name))
        sound: dict[tuple[str, ...], bool] = {}
        for mutant in chosen:
            if mutant.tests not in sound:
                sound[mutant.tests] = run(folder, mutant.tests)[0] == 0
            path = folder / "src" / "modelwright" / mutant.file
            text = path.read_text(encoding="utf-8")
            if text.count(mutant.before) != 1:
                outcome, caught = f"**not made**: the text stands there {text.count(mutant.before)} times", False
            elif not sound[mutant.tests]:
                outcome, caught = "**its tests fail without it**", False
            else:
                path.write_text(text.replace(mutant.before, mutant.after), encoding="utf-8")
                code, failed, reason = run(folder, mutant.tests)
                path.write_text(text, encoding="utf-8")
                caught = code == 1 and bool(failed) and not reason.startswith(CRASHES)
                outcome = failed if caught else f"**not caught** ({failed} {reason})"
            survived += not caught
            print(f"| {mutant.number} {mutant.name} | {mutant.file} | {outcome} |", flush=True)
    print(f"\n{len(chosen) - survived} of {len(chosen)} caught")
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main())
