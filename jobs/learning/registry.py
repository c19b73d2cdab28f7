"""The models of a store: a folder for each version, and the champion, which predicts.

The folder ``models/<version>/`` is written atomically and never changes. Old versions are removed.
"""

import itertools
import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, astuple, dataclass
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from featurizer.feature_set import FeatureSet, feature_set, feature_sets
from jobs.errors import DamageError, StoreError, UsageError, command_for
from jobs.inputs.recordings import check_feature_sets
from jobs.progress import Progress
from jobs.store import commit, schemas
from jobs.store.schemas import MODELS, PREDICTED_SEGMENTS, PREDICTED_TRACKS
from jobs.store.storage import Storage, as_json
from jobs.store.tables import Settings, Store, is_segment_length, open_store
from training.model import Description, Model, ModelError
from training.predictor import Kind
from training.promotion import BEST_ITSELF, Night
from training.splits import PARTS, Part

CHAMPION = f"{MODELS}/champion.json"

MODEL_JSON = "model.json"
FINAL = "model"
"""Stem of the file of the model that predicts, which is trained on all rows."""
JUDGED = "judged"
"""Stem of the file of the model of the training part, for the scores."""
SPLIT = "split.parquet"
FOLDS = "folds.parquet"
"""Fold of each track that was learnt."""

REMOVED = "_work/removed-models"
"""Folder of marks: a file for each version that is being removed."""


@dataclass(frozen=True)
class Version:
    """A version of a store's models.

    Parameters
    ----------
    version : str
        Name of the version.
    description : Description or None
        Content of ``model.json``; None if it is damaged.
    champion : bool
        Whether it is the champion.
    """

    version: str
    description: Description | None
    champion: bool


@dataclass(frozen=True)
class Best:
    """The best champion so far on a split.

    Parameters
    ----------
    version : str
        Name of the version.
    split : str
        The split, as given.
    nights : tuple of Night
        Differences of the new models since, in order; first that of the best itself, 0.
    """

    version: str
    split: str
    nights: tuple[Night, ...] = (BEST_ITSELF,)


def versions(store: Store) -> list[str]:
    """Return the versions in the store, the oldest first."""
    return [
        name
        for name in store.storage.folders(MODELS)
        if store.storage.exists(file_of(name, MODEL_JSON))
    ]


def list_models(address: str) -> tuple[list[Version], list[str]]:
    """Return the models of a store, and the errors of damaged ones.

    Parameters
    ----------
    address : str
        Address of the store.

    Returns
    -------
    models : list of Version
        All versions, the newest first.
    wrong : list of str
        Error messages about damaged files.

    Examples
    --------
    >>> [one.champion for one in list_models("trained")[0]]
    [True]
    """
    store = open_store(address)
    wrong: list[str] = []
    current = None
    try:
        current = champion(store)
    except StoreError as error:
        wrong.append(str(error))
    found = []
    for version in reversed(versions(store)):
        description = None
        try:
            description = describe(store, version)
        except StoreError as error:
            wrong.append(str(error))
        found.append(Version(version, description, version == current))
    return found, wrong


def champion(store: Store) -> str | None:
    """Return the version of the champion, or None.

    Raises
    ------
    StoreError
        ``champion.json`` is damaged, or names a version that does not exist.
    """
    path = store.storage.path(CHAMPION)
    try:
        version = str(store.storage.read_json(CHAMPION)["version"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        problem = f"is damaged ({error})"
        raise DamageError(
            f"{path} {problem}. Write it again: "
            f"{command_for(store.storage.root, 'promote VERSION')}",
            problem,
        ) from None
    if version not in versions(store):
        problem = f"names the model {version}, which does not exist"
        raise DamageError(
            f"{path} {problem}. Choose another model: "
            f"{command_for(store.storage.root, 'promote VERSION')}",
            problem,
        )
    return version


def best(store: Store) -> Best | None:
    """Return the record of the best champion so far; None if it is unknown or damaged."""
    with suppress(FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        found = store.storage.read_json(CHAMPION)["best"]
        nights = tuple(
            Night(float(night["difference"]), float(night["deviation"]))
            for night in found["nights"]
        )
        finite = all(map(math.isfinite, itertools.chain(*map(astuple, nights))))
        if nights and finite and found["version"] in versions(store):
            return Best(found["version"], str(found["split"]), nights)
    return None


def load_champion(store: Store) -> Model:
    """Return the champion's model.

    Raises
    ------
    UsageError
        The store has no champion.
    StoreError
        The champion is damaged.

    Examples
    --------
    >>> load_champion(open_store("trained")).description.classes
    ['blues', 'rock']
    """
    version = champion(store)
    if version is None:
        command = "promote VERSION" if versions(store) else "train"
        root = store.storage.root
        raise UsageError(f"the store {root} has no champion. Run `{command_for(root, command)}`")
    return load(store, version)


def choose(
    store: Store, progress: Progress, *, features: str | None = None, kind: Kind | None = None
) -> Description:
    """Describe the champion, or the newest model of a feature set or kind if the champion is not.

    A line says if it is not the champion.

    Parameters
    ----------
    store : Store
        The store.
    progress : Progress
        Shows the line.
    features : str, optional
        Name of the feature set that the model was trained on; by default any.
    kind : {"lda", "xgboost"}, optional
        Kind of the model; by default any.

    Raises
    ------
    UsageError
        The store has no such model, or by default no champion.
    StoreError
        The model or the champion is damaged.

    Examples
    --------
    >>> choose(open_store("trained"), Progress(), features="gtzan").kind
    'xgboost'
    """
    if features is None and kind is None:
        return load_champion(store).description
    [name] = check_feature_sets([features]) if features else [None]
    wanted = " ".join(filter(None, [kind, "model", name and f"of {name} features"]))
    best, known = champion(store), versions(store)
    having: list[str] = []
    for version in ([best] if best else []) + known[::-1]:
        try:
            described = describe(store, version)
        except StoreError as error:
            if version == best:
                raise
            progress.warn(str(error))
            continue
        having.append(f"{described.kind} of {described.feature_set}")
        if kind in (None, described.kind) and (
            name is None or described.feature_set == feature_set(name).version
        ):
            if version != best:
                other = f"the champion is {best}" if best else "there is no champion"
                progress.write("info", f"predicting by {version}, the newest {wanted} ({other})")
            return load(store, version).description
    root = store.storage.root
    options = (f"--features {name}" if name else "", f"--model {kind}" if kind else "")
    command = command_for(root, " ".join(filter(None, ["train", *options])))
    found = f"it has {', '.join(dict.fromkeys(having))}" if having else "it has none at all"
    raise UsageError(f"the store {root} has no {wanted} ({found}). Run `{command}`")


def describe(store: Store, version: str) -> Description:
    """Return the description in a version's ``model.json``; StoreError if it is damaged."""
    name = file_of(version, MODEL_JSON)
    with _report_damage(store, name, ModelError, FileNotFoundError):
        described = Description.from_json(store.storage.read(name))
        if described.version != version:  # workers find a model by the version in its file
            raise ModelError(f"describes the model {described.version!r}")
        if not is_segment_length(described.segment_seconds):
            raise ModelError("has invalid values of segment_seconds")
    return described


def load(store: Store, version: str, stem: str = FINAL) -> Model:
    """Return a version's model; StoreError if its files are damaged."""
    described = describe(store, version)
    file = described.file_name(stem)
    name = file_of(version, file)
    with _report_damage(store, name, ModelError, FileNotFoundError):
        return Model.load(described, file, store.storage.read(name))


def read_split(store: Store, version: str) -> dict[str, Part]:
    """Return the part of each track in a version's split; StoreError if it is damaged."""
    name = file_of(version, SPLIT)
    with _report_damage(store, name, FileNotFoundError, ModelError):
        table = store.storage.read_table(name, ["track_id", "set"])
        found = dict(zip(table["track_id"].to_pylist(), table["set"].to_pylist(), strict=True))
        unknown = set(found.values()) - set(PARTS)
        if unknown:
            raise ModelError(f"has unknown sets: {unknown}")
    return found


def read_folds(store: Store, described: Description) -> pa.Table:
    """Return the rows of :data:`jobs.store.schemas.FOLDS`; StoreError if they are damaged."""
    name = file_of(described.version, FOLDS)
    with _report_damage(store, name, FileNotFoundError, ModelError):
        table = store.storage.read_table(name, ["track_id", "fold"])
        known = table["fold"].drop_null().to_numpy()
        if not np.isin(known, np.arange(described.folds or 0)).all():
            raise ModelError(f"has other folds than the {described.folds} of model.json")
    return table


def read_learnt_rows(store: Store, version: str) -> pa.Table | None:
    """Return the label, the number of rows and their digest for each track that was learnt.

    Returns
    -------
    pa.Table or None
        Rows of :data:`jobs.store.schemas.FOLDS`; None if an older songmill trained the model.

    Raises
    ------
    StoreError
        The table is damaged.
    """
    name = file_of(version, FOLDS)
    with _report_damage(store, name, FileNotFoundError):
        if store.storage.read_schema(name).equals(schemas.FOLDS_ALONE):
            return None
        return store.storage.read_table(name, ["track_id", "label", "rows", "digest"])


def read_table(store: Store, version: str, name: str) -> pa.Table:
    """Return a table of a version, such as ``confusion.parquet``; StoreError if it is damaged."""
    file = file_of(version, name)
    with _report_damage(store, file, FileNotFoundError):
        return store.read_part(file)


def check_fit(described: Description, settings: Settings, root: str) -> FeatureSet:
    """Check that a model of a store can predict rows of some settings; return their feature set.

    Raises
    ------
    StoreError
        The rows have other features, in another order, or segments of another length.
    """
    difference = ""
    names = {version: name for name, version in settings.feature_sets.items()}
    found = feature_sets().get(names.get(described.feature_set, ""))
    if found is None:
        difference = (
            f"the feature set {described.feature_set}, and the rows have {settings.versions}"
        )
    elif described.columns != list(found.names):
        pairs = zip(described.columns, found.names, strict=False)
        first = next((f"{its!r} for {ours!r}" for its, ours in pairs if its != ours), None)
        counts = f"{len(described.columns)} for {len(found.names)}"
        difference = f"other columns, or another order of them ({first or counts})"
    elif described.level == "segment" and described.segment_seconds != settings.segment_seconds:
        difference = (
            f"segments of {described.segment_seconds:g} s, and the rows are of "
            f"{settings.segment_seconds:g} s"
        )
    if found is None or difference:
        raise StoreError(
            f"the model {described.version} needs {difference}. Run "
            f"`{command_for(root, 'train')}`, or choose another model of "
            f"`{command_for(root, 'models')}`"
        )
    return found


def stage_model(
    store: Store,
    change: commit.Change,
    version: str,
    files: dict[str, bytes],
    tables: dict[str, pa.Table],
) -> None:
    """Write ``files``, and ``tables`` as Parquet, of a new version; the commit moves its folder."""
    staged = f"{commit.STAGE}/{version}"
    for name, data in files.items():
        store.storage.write(f"{staged}/{name}", data, durable=True)
    for name, table in tables.items():
        store.storage.write_table(f"{staged}/{name}", table, durable=True)
    change.add.append((staged, f"{MODELS}/{version}"))


def stage_champion(store: Store, change: commit.Change, version: str, best: Best) -> None:
    """Make ``version`` the champion, and ``best`` the record of the best, with the commit."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    try:
        before = champion(store)
    except StoreError:
        before = None
    if before == version:
        before = _previous(store)
    content = {"version": version, "promoted_at": now, "previous": before, "best": asdict(best)}
    commit.stage_file(store, change, CHAMPION, as_json(content))


def stage_best(store: Store, change: commit.Change, best: Best) -> None:
    """Make ``best`` the record of the best champion so far, with the commit."""
    content = {**store.storage.read_json(CHAMPION), "best": asdict(best)}
    commit.stage_file(store, change, CHAMPION, as_json(content))


def _previous(store: Store) -> str | None:
    """Return the version that predicted before the champion; None if it is unknown."""
    with suppress(FileNotFoundError, ValueError, AttributeError):
        previous = store.storage.read_json(CHAMPION).get("previous")
        return previous if isinstance(previous, str) else None
    return None


def remove_old(store: Store, keep: int, newest: str) -> list[str]:
    """Remove all but the ``keep`` newest versions; return the removed ones.

    The champion, the one before it, the best champion so far, the version that the predictions
    name, and ``newest`` are kept; only ``newest`` counts. The caller must hold the store's lock. If
    the process is killed, the next call completes the removal; until then a version is whole, or
    not listed.
    """
    record = best(store)
    try:
        kept = {champion(store), _previous(store), record and record.version} | {
            version
            for table in (PREDICTED_TRACKS, PREDICTED_SEGMENTS)
            for batch in store.read_batches(table, ["model"])
            for version in pc.unique(batch["model"]).to_pylist()
        }
    except StoreError:
        return []  # the next predictions replace the damaged ones
    storage, known = store.storage, versions(store)
    others = [one for one in known if one not in kept]
    old = [one for one in others[: max(len(others) - keep, 0)] if one != newest]
    for version in old:
        storage.write(f"{REMOVED}/{version}", b"", durable=True)
    for mark in list(storage.list(REMOVED)):
        version = mark.name.rpartition("/")[2]
        if version in old or version not in known:
            remove(storage, version)
        storage.remove(mark.name)
    return old


def remove(storage: Storage, version: str) -> None:
    """Remove a model. The caller must hold the store's lock."""
    storage.remove(file_of(version, MODEL_JSON))  # without it, the rest is no model
    storage.remove_folder(f"{MODELS}/{version}")


def fold_stem(fold: int) -> str:
    """Return the stem of the file of a fold's model."""
    return f"fold-{fold}"


def file_of(version: str, name: str) -> str:
    """Return the path of a version's file in the store."""
    return f"{MODELS}/{version}/{name}"


@contextmanager
def _report_damage(store: Store, name: str, *errors: type[Exception]) -> Iterator[None]:
    """Raise StoreError about the file ``name`` in place of one of ``errors``."""
    try:
        yield
    except errors as error:
        reason = "does not exist" if isinstance(error, FileNotFoundError) else str(error)
        raise DamageError(
            f"{store.storage.path(name)} {reason}. Restore the file, or choose another model: "
            f"{command_for(store.storage.root, 'promote VERSION')}",
            reason,
        ) from None
