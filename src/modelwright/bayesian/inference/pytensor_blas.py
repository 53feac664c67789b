"""PyTensor without a BLAS library, which is how pip installs it, is slower at matrix products only."""

import warnings

import pytensor


def accept_missing_blas() -> None:
    """Let PyTensor look for BLAS now, once, without its warning that there is none.

    PyTensor looks when it first compiles something and keeps the answer. Its warning concerns matrix products, of which
    the models here have none; raised as an error from within a rewrite, it would be logged dozens of times.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="PyTensor could not link to a BLAS", category=UserWarning)
        _ = pytensor.config.blas__ldflags
