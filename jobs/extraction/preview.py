"""Preview of an extraction: what it would do. Nothing is written, and no cluster is started."""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from featurizer.columns import SEGMENT_SECONDS
from featurizer.feature_set import DEFAULT_SETS
from jobs import defaults
from jobs.extraction.losses import too_many_gone
from jobs.extraction.plan import with_public_sources
from jobs.extraction.survey import plan_work, survey
from jobs.inputs import labels as label_table
from jobs.inputs.patterns import Patterns
from jobs.inputs.recordings import check_feature_sets, check_segment_seconds
from jobs.inputs.sources import Paths, SourceFile
from jobs.progress import Progress
from jobs.store.schemas import TAGS
from jobs.store.tables import (
    Store,
    current_settings,
    open_to_write,
    read_settings,
    storage_to_write,
)


@dataclass
class Preview:
    """Preview of an extraction.

    Parameters
    ----------
    store : str
        Address of the store.
    listed, unchanged : int
        Recordings in the sources, and those of them that keep their features.
    new, changed, retried, incomplete, gone, relabelled : list of str
        Tracks, by what would be done; as in :class:`jobs.extraction.extract.Outcome`.
    ignored : dict of str to list of str
        Files and tracks that would be left as they are, by the reason.
    refusal : str
        Why the extraction would change nothing: too many files are gone. Empty if it would run.
    """

    store: str
    listed: int
    unchanged: int
    new: list[str]
    changed: list[str]
    retried: list[str]
    incomplete: list[str]
    gone: list[str]
    relabelled: list[str]
    ignored: dict[str, list[str]]
    refusal: str


def preview(
    sources: Paths,
    *,
    store: str,
    labels: str = defaults.LABELS,
    features: str | Sequence[str] = DEFAULT_SETS,
    segment_seconds: float = SEGMENT_SECONDS,
    force: bool = False,
    retry_failed: bool = False,
    max_gone: float = defaults.MAX_GONE,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    progress: Progress | None = None,
) -> Preview:
    """Return what an extraction with the same parameters would do.

    Parameters and errors are those of :func:`jobs.extraction.extract.extract`.

    Examples
    --------
    >>> found = preview(["music"], store="tables", exclude=["rock"])
    >>> found.listed, found.unchanged, found.gone
    (3, 3, ['rock/0.wav', 'rock/1.wav', 'rock/2.wav'])
    """
    storage = storage_to_write(store)
    segment_seconds = check_segment_seconds(segment_seconds)
    settings = current_settings(check_feature_sets(features), segment_seconds)
    ignored: dict[str, list[str]] = {}

    def ignore(path: str, reason: str) -> None:
        ignored.setdefault(reason, []).append(path)

    listing, labelling = survey(
        sources,
        storage,
        settings,
        labels=labels,
        patterns=Patterns(include, exclude),
        progress=progress or Progress(),
        on_ignored=ignore,
    )
    opened = Store(storage, settings)
    if read_settings(storage) is not None:
        opened = open_to_write(storage, settings, force=force)
    known = with_public_sources(opened.read("files"))
    refusal = too_many_gone(listing, known, max_gone)
    if not refusal:
        label_table.check_matches(labelling, labels)
    if labelling.tag:
        label_table.add_tags(labelling, opened.read(TAGS, ["track_id", labelling.tag]))
    plan, _ = plan_work(
        opened,
        settings,
        listing,
        known,
        labelling,
        run_id="",
        force=force,
        retry_failed=retry_failed,
    )
    repeated = {recording.track_id for recording in plan.repeat}
    is_failed = pc.equal(known["status"], "failed")
    for track in known.filter(is_failed)["track_id"].to_pylist():
        if track in labelling.by_track and track not in repeated:
            ignore(track, "failed before: --retry-failed retries it")
    changed = _changed(plan.repeat, known)
    incomplete = [one.track_id for files in plan.incomplete.values() for one in files]
    return Preview(
        store=storage.root,
        listed=len(listing.recordings),
        unchanged=plan.unchanged,
        new=[recording.track_id for recording in plan.new],
        changed=changed,
        retried=sorted(repeated.difference(changed)),
        incomplete=sorted(incomplete),
        gone=sorted(plan.gone),
        relabelled=list(plan.relabelled),
        ignored=ignored,
        refusal=refusal,
    )


def _changed(repeated: list[SourceFile], known: pa.Table) -> list[str]:
    """Return the tracks of repeated files with another size or time than the store knows."""
    columns = (known["track_id"], known["bytes"], known["modified"].cast(pa.int64()))
    rows = zip(*(column.to_pylist() for column in columns), strict=True)
    states = {track: (size, modified) for track, size, modified in rows}
    return [one.track_id for one in repeated if states[one.track_id] != (one.size, one.modified)]
