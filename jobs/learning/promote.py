"""Promotion of a model to the champion of its store."""

from typing import Any

from jobs.errors import StoreError, UsageError, command_for
from jobs.learning.registry import Best, champion, check_fit, load, stage_champion, versions
from jobs.stage import Session, open_session
from jobs.store import commit

MIN_SUFFIX = 4
"""Characters of a version's end that are enough to name it. Fewer may be a typo."""


def promote(version: str, *, store: str | Session) -> dict[str, Any]:
    """Make a version the champion.

    Parameters
    ----------
    version : str
        A version, or its last :data:`MIN_SUFFIX` or more characters, if no other ends in them.
    store : str or Session
        Address of the store; or the session of a run.

    Returns
    -------
    dict
        The new champion ``version``, and ``before``, the previous one or None.

    Raises
    ------
    UsageError
        No version matches, or several do.
    StoreError
        Files of the version are damaged, or it needs other features than the store's.

    Examples
    --------
    >>> from jobs.learning.registry import champion
    >>> from jobs.store.tables import open_store
    >>> version = champion(open_store("trained"))
    >>> promote(version, store="trained")["before"] == version
    True
    """
    with open_session(store).stage("promote") as run:
        root = run.store.storage.root
        known = versions(run.store)
        found = [one for one in known if one == version] or [
            one for one in known if len(version) >= MIN_SUFFIX and one.endswith(version)
        ]
        if len(found) != 1:
            matches = "several models" if found else "no model"
            train = f"Run: {command_for(root, 'train')}"
            choice = f"Choose one of {', '.join(known)}" if known else train
            raise UsageError(f"{version!r} matches {matches} of the store {root}. {choice}")
        model = load(run.store, found[0])
        check_fit(model.description, run.store.settings, root)
        try:
            before = champion(run.store)
        except StoreError:
            before = None  # a promotion repairs a damaged champion.json
        change = commit.Change()
        # Whoever rolls back accepts the model's score.
        best = Best(found[0], model.description.split["name"])
        stage_champion(run.store, change, found[0], best)
        run.commit(change, message=f"promoted {found[0]}")
        return {"version": found[0], "before": before}
