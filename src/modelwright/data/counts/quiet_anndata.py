"""AnnData, imported when a file or object of its kind is given, and not before.

Its import takes a second and may announce what its next version changes. Neither the announcement nor the filters that
its own imports leave behind reach whoever imported nothing but Modelwright.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from modelwright.core.errors import MissingDependencyError


def import_anndata() -> tuple[Any, Any]:
    """The packages `anndata` and `h5py`.

    Raises:
        MissingDependencyError: when they are not installed.
    """
    with quiet():
        try:
            import anndata
            import h5py
        except ImportError as error:
            raise MissingDependencyError(
                "reading .h5ad needs anndata and h5py", field="data", todo="pip install 'modelwright[single_cell]'"
            ) from error
    return anndata, h5py


@contextmanager
def quiet() -> Iterator[None]:
    """No warning leaves this block: what matters about a file is checked here and refused."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
