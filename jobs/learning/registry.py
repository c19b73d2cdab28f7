"""The models of a store: one folder for each version, and which of them predicts.

``models/<version>/`` appears whole or not at all, and is never changed.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime

import pyarrow as pa

from featurizer.columns import FEATURE_COLUMNS
from jobs.errors import StoreError
from jobs.store import commit
from jobs.store.storage import as_json
from jobs.store.tables import Store, open_store
from training.model import Description, Model, ModelError
from training.splits import PARTS, Part

MODELS = "models"
CHAMPION = f"{MODELS}/champion.json"

MODEL_JSON = "model.json"
TREES = "model.ubj"
JUDGED_TREES = "judged.ubj"
"""The model that was judged: it has learnt from the training part only, the other from all rows."""
SPLIT = "split.parquet"


@dataclass(frozen=True)
class Version:
    """A line of ``songmill models``.

    Parameters
    ----------
    version : str
        Its name.
    description : Description or None
        What its ``model.json`` says; None where it is damaged.
    champion : bool
        Whether it is the one that predicts.
    """

    version: str
    description: Description | None
    champion: bool


def versions(store: Store) -> list[str]:
    """Return the versions that the store has, the oldest first."""
    return [
        name
        for name in store.storage.folders(MODELS)
        if store.storage.exists(file_of(name, MODEL_JSON))
    ]


def list_models(address: str) -> tuple[list[Version], list[str]]:
    """Return what is known of the models of a store, the newest first, and what is damaged.

    Parameters
    ----------
    address : str
        The store.

    Returns
    -------
    list of Version
        All that there is.
    list of str
        What is wrong with some of it, for a person.
    """
    store = open_store(address)
    wrong: list[str] = []
    best = None
    try:
        best = champion(store)
    except StoreError as error:
        wrong.append(str(error))
    found = []
    for version in reversed(versions(store)):
        description = None
        try:
            description = describe(store, version)
        except StoreError as error:
            wrong.append(str(error))
        found.append(Version(version, description, version == best))
    return found, wrong


def champion(store: Store) -> str | None:
    """Return the version that predicts; None where there is none.

    Raises
    ------
    StoreError
        ``champion.json`` is damaged, or names a version that is not there.
    """
    path = store.storage.path(CHAMPION)
    try:
        version = str(json.loads(store.storage.read(CHAMPION))["version"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"{path} cannot be understood ({error}): `songmill promote VERSION` writes it anew"
        ) from None
    if version not in versions(store):
        raise StoreError(
            f"{path} names the model {version}, which is not there: `songmill promote VERSION` "
            "names another of `songmill models`"
        )
    return version


def describe(store: Store, version: str) -> Description:
    """Return what a version's ``model.json`` says; StoreError where it is damaged."""
    name = file_of(version, MODEL_JSON)
    try:
        return Description.from_json(store.storage.read(name))
    except ModelError as error:
        raise _damaged(store, name, error) from None


def load(store: Store, version: str, trees: str = TREES) -> Model:
    """Return a version's model; StoreError where its files are damaged."""
    name = file_of(version, trees)
    try:
        return Model.load(describe(store, version), trees, store.storage.read(name))
    except (ModelError, FileNotFoundError) as error:
        raise _damaged(store, name, error) from None


def read_split(store: Store, version: str) -> dict[str, Part]:
    """Return the part of each track that a version was judged with; StoreError if it is damaged."""
    name = file_of(version, SPLIT)
    try:
        table = store.storage.read_table(name, ["track_id", "set"])
        found = dict(zip(table["track_id"].to_pylist(), table["set"].to_pylist(), strict=True))
    except (OSError, KeyError, pa.ArrowException) as error:
        raise _damaged(store, name, error) from None
    strangers = set(found.values()) - set(PARTS)
    if strangers:
        raise _damaged(store, name, ModelError(f"has sets that there are not: {strangers}"))
    return found


def read_table(store: Store, version: str, name: str) -> pa.Table:
    """Return a table of a version, such as ``confusion.parquet``; StoreError if it is damaged."""
    try:
        return store.read_part(file_of(version, name))
    except FileNotFoundError as error:
        raise _damaged(store, file_of(version, name), error) from None


def check_fit(described: Description, *, feature_set: str, segment_seconds: float) -> None:
    """See that a model can be given rows of this songmill.

    Parameters
    ----------
    described : Description
        The model's.
    feature_set : str
        Of the rows.
    segment_seconds : float
        Length of their segments in seconds.

    Raises
    ------
    StoreError
        The rows have other features, in another order, or segments of another length.
    """
    what = f"the model {described.version}"
    remedy = "`songmill train` makes one that does, `songmill models` lists what there is"
    if described.feature_set != feature_set:
        raise StoreError(
            f"{what} knows the feature set {described.feature_set}, and the rows have "
            f"{feature_set}: {remedy}"
        )
    if described.columns != list(FEATURE_COLUMNS):
        pairs = zip(described.columns, FEATURE_COLUMNS, strict=False)
        first = next((f"{its!r} for {ours!r}" for its, ours in pairs if its != ours), None)
        differ = first or f"{len(described.columns)} for {len(FEATURE_COLUMNS)}"
        raise StoreError(
            f"{what} has other columns, or another order of them, than this songmill's features "
            f"({differ}): {remedy}"
        )
    if described.level == "segment" and described.segment_seconds != segment_seconds:
        raise StoreError(
            f"{what} knows segments of {described.segment_seconds:g} s, and the rows are of "
            f"{segment_seconds:g} s: {remedy}"
        )


def stage_model(
    store: Store,
    change: commit.Change,
    version: str,
    files: dict[str, bytes],
    tables: dict[str, pa.Table],
) -> None:
    """Write a version's files, to become its folder with the commit.

    Parameters
    ----------
    store : Store
        The store.
    change : Change
        Gets the folder.
    version : str
        One that is not there yet.
    files : dict of str to bytes
        By name.
    tables : dict of str to pa.Table
        By the name of their Parquet file.
    """
    staged = f"{commit.STAGE}/{version}"
    for name, data in files.items():
        store.storage.write(f"{staged}/{name}", data, durable=True)
    for name, table in tables.items():
        store.storage.write_table(f"{staged}/{name}", table, durable=True)
    change.add.append((staged, f"{MODELS}/{version}"))


def stage_champion(store: Store, change: commit.Change, version: str) -> None:
    """Have ``version`` predict, with the commit."""
    said = {"version": version, "promoted_at": datetime.now(UTC).isoformat(timespec="seconds")}
    commit.stage_file(store, change, CHAMPION, as_json(said))


def file_of(version: str, name: str) -> str:
    """Return the name, in the store, of a version's file."""
    return f"{MODELS}/{version}/{name}"


def _damaged(store: Store, name: str, error: Exception) -> StoreError:
    reason = "is not there" if isinstance(error, FileNotFoundError) else str(error)
    return StoreError(
        f"{store.storage.path(name)} {reason}: put an undamaged copy in its place, or name another "
        "model by `songmill promote`"
    )
