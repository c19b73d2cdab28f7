"""Promotion of a model: the champion of a store, which predicts."""

from typing import Any

from jobs.errors import StoreError, UsageError
from jobs.learning.registry import champion, check_fit, load, stage_champion, versions
from jobs.stage import stage
from jobs.store import commit

LEAST_END = 4
"""A slip of the finger is not to name a model."""


def promote(address: str, wanted: str) -> dict[str, Any]:
    """Have a version predict from now on.

    Parameters
    ----------
    address : str
        The store.
    wanted : str
        A version, or an end of one, of :data:`LEAST_END` characters or more, that no other has.

    Returns
    -------
    dict
        The ``version``, and the one ``before``.

    Raises
    ------
    UsageError
        There is no such version, or several.
    StoreError
        Its files are damaged, or its features are not those of the store.
    """
    with stage(address, "promote") as run:
        known = versions(run.store)
        found = [one for one in known if one == wanted] or [
            one for one in known if len(wanted) >= LEAST_END and one.endswith(wanted)
        ]
        if len(found) != 1:
            there = ", ".join(known) or "none: `songmill train` makes one"
            what = "several models" if found else "no model"
            raise UsageError(f"{what} of the store {address}: {wanted!r}. There is {there}")
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
