"""Event counts per entity and window: read from a log or a table, kept with their entities, exposures and windows."""

from modelwright.core.errors import MissingDependencyError

try:
    import duckdb as _duckdb  # noqa: F401
    import pandas as _pandas  # noqa: F401
    import pyarrow as _pyarrow  # noqa: F401
except ImportError as error:
    raise MissingDependencyError(
        "reading event data needs DuckDB, pandas and PyArrow", todo="pip install 'modelwright[data]'"
    ) from error

from modelwright.data.events.attach import attach_labels
from modelwright.data.events.counts import EventCounts, LeftOut
from modelwright.data.events.load import check_trainable, load_events

__all__ = ["EventCounts", "LeftOut", "attach_labels", "check_trainable", "load_events"]
