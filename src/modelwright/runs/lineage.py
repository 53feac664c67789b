"""Which run continues which: a run that took in more data names its parent and lists all data it rests on.

A continued run stands on its own. It holds everything it needs, so its parent may be removed; what is left then is the
parent's id and the fingerprints of the data.
"""

from collections.abc import Callable
from dataclasses import dataclass

from modelwright.core.errors import ConfigurationError, DataError
from modelwright.runs.record import RunRecord


@dataclass(frozen=True)
class Continuation:
    """What a run says of the run it continues.

    Args:
        parent: Id of that run.
        folded: Fingerprints of all data the run rests on, the newest last.
    """

    parent: str
    folded: tuple[str, ...]


@dataclass(frozen=True)
class Ancestor:
    """A run that another one continues, directly or not.

    Args:
        run_id: Its id.
        status: Its status, "removed" when it is not in the store any more, "damaged" when it cannot be read.
    """

    run_id: str
    status: str


def data_of(record: RunRecord) -> tuple[str, ...]:
    """Fingerprints of all data that a run rests on, oldest first; empty where the run does not know them."""
    if record.manifest.folded:
        return record.manifest.folded
    fingerprint = record.manifest.data.get("fingerprint")
    return (fingerprint,) if isinstance(fingerprint, str) and fingerprint else ()


def continuation_of(parent: RunRecord, fingerprint: object) -> Continuation:
    """What a run will say that takes more data into `parent`.

    Args:
        parent: A complete run.
        fingerprint: Of the new data.

    Raises:
        DataError: the data are in it already. ConfigurationError: without fingerprints nobody can tell.
    """
    known = data_of(parent)
    if not known or not isinstance(fingerprint, str) or not fingerprint:
        whose = "the new data have" if known else f"the data of run {parent.run_id} have"
        raise ConfigurationError(
            f"{whose} no fingerprint, so the same data could be taken in twice",
            field="data",
            todo="let describe_data of the model return a fingerprint, or train on everything",
        )
    if fingerprint in known:
        raise DataError(
            f"run {parent.run_id} holds these data already",
            field="data",
            expected="data that are new",
            todo="to ask what it makes of them, use score; to continue another run, name it with --run",
        )
    return Continuation(parent.run_id, (*known, fingerprint))


def ancestors(record: RunRecord, find: Callable[[str], RunRecord | None]) -> tuple[Ancestor, ...]:
    """The runs that a run continues, its parent first, as far back as the store knows.

    Args:
        record: The run.
        find: A run of the same model by its id, None when there is none.
    """
    found: list[Ancestor] = []
    met = {record.run_id}
    parent = record.stored.parent if record.stored is not None else None
    while parent is not None and parent not in met:  # a manifest that somebody wrote by hand might go in circles
        met.add(parent)
        known = find(parent)
        found.append(Ancestor(parent, "removed" if known is None else str(known.status)))
        parent = known.stored.parent if known is not None and known.stored is not None else None
    return tuple(found)
