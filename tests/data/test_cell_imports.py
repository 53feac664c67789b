"""What reading counts imports, and that nothing of it reaches the person: proved in fresh processes."""

import subprocess
import sys
from pathlib import Path

import anndata
import numpy as np
import pandas as pd

ENGINES = {"jax", "numpyro", "pymc", "pytensor", "arviz", "torch", "matplotlib"}


def said_by(code: str, *arguments: str) -> str:
    finished = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *arguments], capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stderr == ""
    return finished.stdout


def test_counts_load_no_engine_and_need_anndata_only_for_its_files(tmp_path: Path) -> None:
    (tmp_path / "cells.h5ad").write_bytes(b"x")
    code = (
        "import sys\nfrom modelwright.core.errors import MissingDependencyError\n"
        "from modelwright.data.counts import load_counts\nload_counts([[1, 2]])\n"
        "print(' '.join(sorted({name.partition('.')[0] for name in sys.modules})))\n"
        "sys.modules['anndata'] = None\n"
        "try:\n    load_counts(sys.argv[1])\nexcept MissingDependencyError as error:\n    print(error)\n"
    )
    modules, refusal = said_by(code, str(tmp_path / "cells.h5ad")).splitlines()
    loaded = set(modules.split())
    assert "scipy" in loaded
    assert not (ENGINES | {"anndata", "h5py"}) & loaded
    assert refusal == "data: reading .h5ad needs anndata and h5py; pip install 'modelwright[single_cell]'"


def test_reading_a_file_says_nothing_and_leaves_filters_of_warnings_alone(tmp_path: Path) -> None:
    obs, var = (pd.DataFrame(index=pd.Index(list(names), dtype=object)) for names in ("ab", "xy"))
    anndata.AnnData(np.array([[1, 2], [3, 4]]), obs=obs, var=var).write_h5ad(tmp_path / "cells.h5ad")
    code = (
        "import sys, warnings\nfrom modelwright.data.counts import load_counts\nimport pandas, scipy.sparse\n"
        "before = list(warnings.filters)\nprint(load_counts(sys.argv[1]).cells, warnings.filters == before)\n"
        "assert 'anndata' in sys.modules"
    )
    assert said_by(code, str(tmp_path / "cells.h5ad")).split("\n")[0] == "('a', 'b') True"
