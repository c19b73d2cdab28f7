"""Promotion of a model: the champion of a store, which predicts."""

from typing import Any

from jobs.errors import StoreError, UsageError
from jobs.learning.registry import champion, check_fit, load, stage_champion, versions
from jobs.stage import Session, open_session
from jobs.store import commit

LEAST_END = 4
"""A slip of the finger is not to name a model."""


def promote(version: str, *, store: str | Session) -> dict[str, Any]:
    """Make a version the champion.

    Parameters
    ----------
    version : str
        A version, or an unambiguous end of one of at least :data:`LEAST_END` characters.
    store : str or Session
        Address of the store; or the session of a run.

    Returns
    -------
    dict
        The new champion ``version``, and the one ``before``, or None.

    Raises
    ------
    UsageError
        There is no such version, or several.
    StoreError
        Its files are damaged, or its features are not those of the store.
    """
    with open_session(store).stage("promote") as run:
        known = versions(run.store)
        found = [one for one in known if one == version] or [
            one for one in known if len(version) >= LEAST_END and one.endswith(version)
        ]
        if len(found) != 1:
            there = ", ".join(known) or "none: `songmill train` makes one"
            what = "several models" if found else "no model"
            raise UsageError(
                f"{what} of the store {run.store.storage.root}: {version!r}. There is {there}"
            )
        model = load(run.store, found[0])
        settings = run.store.settings
        check_fit(
            model.description,
            feature_set=settings.feature_set,
            segment_seconds=settings.segment_seconds,
        )
        try:
            before = champion(run.store)
        except StoreError:
            before = None  # this is how a damaged one is mended
        change = commit.Change()
        stage_champion(run.store, change, found[0])
        run.commit(change, message=f"promoted {found[0]}")
        return {"version": found[0], "before": before}
