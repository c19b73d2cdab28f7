"""Preview of an extraction: what it would do. Nothing is written, and no cluster is started."""

from collections.abc import Sequence
from dataclasses import dataclass

from featurizer.columns import SEGMENT_SECONDS
from featurizer.feature_set import DEFAULT_SETS
from jobs import defaults
from jobs.extraction.losses import too_many_gone
from jobs.extraction.plan import load_files
from jobs.extraction.survey import plan_work, survey
from jobs.inputs import labels as label_table
from jobs.inputs.database import explain_full_disk
from jobs.inputs.patterns import Patterns
from jobs.inputs.recordings import check_feature_sets, check_segment_seconds
from jobs.inputs.sources import Paths
from jobs.progress import Progress
from jobs.store.schemas import FILES
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


@explain_full_disk()
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
    load_files(listing, opened.read_batches("files", FILES.names), settings.feature_sets)
    refusal = too_many_gone(listing, max_gone)
    if not refusal:
        label_table.check_matches(labelling, labels, listing.first_track())
    if labelling.tag:
        label_table.add_tags(labelling, listing, opened)
    plan = plan_work(opened, settings, listing, run_id="", force=force, retry_failed=retry_failed)
    failed = listing.database.execute(
        """
        SELECT track_id FROM known SEMI JOIN listed USING (track_id) WHERE status = 'failed'
        AND track_id NOT IN (SELECT track_id FROM planned WHERE is_changed OR is_retried)
        """
    )
    for (track,) in failed.fetchall():
        ignore(track, "failed before: --retry-failed retries it")
    incomplete = [one.track_id for files in plan.incomplete.values() for one in files]
    return Preview(
        store=storage.root,
        listed=len(listing),
        unchanged=plan.unchanged,
        new=[recording.track_id for recording in plan.new],
        changed=plan.changed,
        retried=plan.retried,
        incomplete=sorted(incomplete),
        gone=sorted(plan.gone),
        relabelled=list(plan.relabelled),
        ignored=ignored,
        refusal=refusal,
    )
