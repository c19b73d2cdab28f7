"""A store, opened for reading: its tables as DataFrames, similar tracks, and predictions."""

import os
from dataclasses import asdict

import pandas as pd
from rich.console import Console

from featurizer.feature_set import Level
from jobs import defaults
from jobs.errors import UsageError, command_for
from jobs.inputs.recordings import check_feature_sets, check_level
from jobs.inputs.sources import Paths
from jobs.learning.predict_files import predict_files
from jobs.neighbours.query import Neighbour, similar
from jobs.progress import Progress
from jobs.store import schemas, tables
from jobs.store.counts import count_tracks
from recommend.metric import Name
from training.predictor import Kind


class Store:
    """A store, from :func:`open_store`. Every call reads its table anew.

    Examples
    --------
    >>> store = open_store("tables")
    >>> store
    Store('tables': 6 tracks, 6 segments)
    >>> store.files()["status"].unique().tolist()
    ['ok']
    """

    def __init__(self, store: tables.Store, address: str) -> None:
        self._store = store
        self._address = address

    def __repr__(self) -> str:
        tracks = max(count_tracks(self._store).values())
        segments = self._store.count_rows(schemas.SEGMENTS)
        return f"Store({self._address!r}: {tracks:,} tracks, {segments:,} segments)"

    def tracks(self, features: str = schemas.PUBLISHED) -> pd.DataFrame:
        """Return one row per track: ``track_id``, ``label``, ``length`` and the features.

        Parameters
        ----------
        features : str
            Name of the feature set, such as ``rich``. Tracks that are too short for it have no row.

        Raises
        ------
        UsageError
            The store does not have this feature set.
        """
        return self._features(features, "track", "track_id")

    def segments(self, features: str = schemas.PUBLISHED) -> pd.DataFrame:
        """Return one row per segment: columns of :meth:`tracks`, ``segment``, ``start_s``.

        Parameters
        ----------
        features : str
            Name of the feature set.

        Raises
        ------
        UsageError
            The store does not have this feature set, or the set does not describe segments.
        """
        return self._features(features, "segment", "track_id", "segment")

    def files(self) -> pd.DataFrame:
        """Return one row per file, including failures."""
        return self._table("files", "track_id")

    def similar(
        self,
        recording: str,
        *,
        k: int = defaults.SHOWN_NEIGHBOURS,
        metric: Name | None = None,
        duplicates: bool = True,
    ) -> pd.DataFrame:
        """Return the tracks most similar to a recording, as :func:`songmill.similar`.

        Parameters
        ----------
        recording : str
            A track of the store, or the unambiguous end of its name; else the path of a file.
        k : int
            Neighbours to return.
        metric : {"cosine", "rich", "learned"}, optional
            By default ``rich`` if the store has rich features, else ``cosine``.
        duplicates : bool
            Whether tracks that are the same recording are returned too.

        Returns
        -------
        pd.DataFrame [shape=(<=k, 7)]
            ``rank`` (from 1), ``track_id``, ``label``, ``score``, ``cosine``, ``duplicate`` and
            ``perhaps`` (it may be the same recording).

        Raises
        ------
        SongmillError
            There is no such recording, or it cannot be analysed.

        Examples
        --------
        >>> open_store("tables").similar("rock/0", k=1)["label"].tolist()
        ['rock']
        """
        found = similar(
            recording,
            store=self._store,
            k=k,
            metric=metric,
            duplicates=duplicates,
            progress=_silent(),
        )
        columns = list(Neighbour.__dataclass_fields__)
        return pd.DataFrame([asdict(one) for one in found.neighbours], columns=columns)

    def predict(
        self, files: Paths, *, features: str | None = None, model: Kind | None = None
    ) -> pd.DataFrame:
        """Predict recordings with one of the store's models, as :func:`songmill.predict_files`.

        Parameters
        ----------
        files : str, path, or sequence of them
            Files, folders, globs or list files.
        features : str, optional
            Name of the feature set that the model was trained on; by default the champion's.
        model : {"lda", "xgboost"}, optional
            Kind of the model; by default the champion's.

        Returns
        -------
        pd.DataFrame
            One row per file: ``file``, ``predicted``, a column ``p_<label>`` with the
            probability of each label, and ``error`` and ``message`` where there is no prediction.

        Raises
        ------
        SongmillError
            There is no such file, or no model.

        Examples
        --------
        >>> found = open_store("trained").predict(["music/rock/0.wav"])
        >>> list(found)
        ['file', 'predicted', 'p_blues', 'p_rock', 'error', 'message']
        """
        found = predict_files(
            files, store=self._store, features=features, model=model, progress=_silent()
        )
        rows = []
        for one in found.files:
            probabilities = {schemas.PROBABILITY + name: p for name, p in one.probabilities.items()}
            row = {
                "file": one.file,
                "predicted": one.predicted,
                **dict(sorted(probabilities.items())),
            }
            rows.append({**row, "error": one.error, "message": one.message})
        return pd.DataFrame(rows)

    def _features(self, name: str, level: Level, *keys: str) -> pd.DataFrame:
        [known] = check_feature_sets([name])
        if known not in (sets := self._store.settings.feature_sets):
            features = ",".join([*sets, known])  # those of the store must be named too
            command = command_for(self._address, f"extract SOURCE --features {features}")
            raise UsageError(
                f"the store {self._address} has no {known} features. Extract them: {command}"
            )
        check_level(known, level)
        return self._table(schemas.features_folder(known, level), *keys)

    def _table(self, table: str, *keys: str) -> pd.DataFrame:
        rows = self._store.read(table).sort_by([(key, "ascending") for key in keys])
        frame: pd.DataFrame = rows.to_pandas()
        return frame


def _silent() -> Progress:
    return Progress(Console(quiet=True))


def open_store(store: str | os.PathLike[str]) -> Store:
    """Open a store for reading.

    Parameters
    ----------
    store : str or path
        A folder, or ``s3://BUCKET/PREFIX``.

    Returns
    -------
    Store

    Raises
    ------
    UsageError
        There is no store.
    StoreError
        The store is damaged or has another format.

    Examples
    --------
    >>> sorted(open_store("tables").tracks()["label"].unique())
    ['blues', 'rock']
    """
    address = os.fspath(store)
    return Store(tables.open_store(address), address)
