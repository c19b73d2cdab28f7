"""Tracks of the interactive part of a report: the map, the search and the panel of each track.

The tracks are in the page once, as one compressed table. ``templates/explorer.js`` makes every list
from it, and ``templates/map.js`` draws the map on a canvas. BokehJS would need a weaker content
policy, because it writes its style sheets at run time, and would add 1.3 MB to every page.
"""

import base64
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import rankdata

from featurizer.feature_set import Column
from pages.style import NO_LABEL, OTHER_COLOUR, OTHER_LABELS, LabelStyles, display_name

NOWHERE = 65535
"""Quantised coordinate of a track without a point on a map; the others are 0 … 65534."""

NO_PERCENTILE = 255
"""Percentile of a track without the feature."""


@dataclass(frozen=True)
class Map:
    """Two coordinates of each track.

    Parameters
    ----------
    title : str
        Name of the coordinates, such as ``principal components: gtzan``.
    axes : (str, str)
        Names of the horizontal and of the vertical coordinate.
    points : np.ndarray [shape=(n, 2), float64]
        The coordinates; NaN for a track without a point.
    """

    title: str
    axes: tuple[str, str]
    points: np.ndarray


@dataclass(frozen=True)
class Features:
    """Percentiles of the features of each track.

    Parameters
    ----------
    name : str
        Name of the feature set.
    columns : sequence of Column
        Its columns.
    percentiles : np.ndarray [shape=(n, d), uint8]
        0 … 100, or 255 for a track without the features.
    quantiles : np.ndarray [shape=(101, d), float32]
        Value of each percentile.
    """

    name: str
    columns: Sequence[Column]
    percentiles: np.ndarray
    quantiles: np.ndarray

    @classmethod
    def of(
        cls, name: str, columns: Sequence[Column], rows: np.ndarray, index: np.ndarray, n: int
    ) -> "Features":
        """Compute the percentiles of tracks among one another.

        Parameters
        ----------
        name, columns
            As for :class:`Features`.
        rows : np.ndarray [shape=(m, d), float64]
            Features of one or more tracks.
        index : np.ndarray [shape=(m,), range=[0, n), int]
            Number of each row's track.
        n : int
            Number of tracks.

        Examples
        --------
        >>> rows = np.array([[60.0], [120.0], [120.0], [180.0]])
        >>> tempo = Column("tempo", "tempo", "BPM", "tempo", "")
        >>> found = Features.of("gtzan", [tempo], rows, np.array([0, 1, 3, 4]), 5)
        >>> found.percentiles.ravel().tolist()
        [12, 50, 255, 50, 88]
        >>> found.quantiles[[0, 50, 100], 0].tolist()
        [60.0, 120.0, 180.0]
        """
        percentiles = np.full((n, rows.shape[1]), NO_PERCENTILE, np.uint8)
        # Of equal values, one half counts as smaller.
        percentiles[index] = np.round((rankdata(rows, axis=0) - 0.5) * (100 / len(rows)))
        quantiles = np.percentile(rows, np.arange(101), axis=0).astype(np.float32)
        return cls(name, columns, percentiles, quantiles)


@dataclass(frozen=True)
class Predictions:
    """Predictions of a model for each track.

    Parameters
    ----------
    classes : sequence of str
        Names of the classes.
    likeliest : np.ndarray [shape=(n, k), int]
        Indices of the likeliest classes, the most probable first; -1 for none.
    probabilities : np.ndarray [shape=(n, k), range=[0, 1], float]
        Their probabilities.
    learnt : np.ndarray [shape=(n,), bool]
        Whether the model has learnt the track.
    """

    classes: Sequence[str]
    likeliest: np.ndarray
    probabilities: np.ndarray
    learnt: np.ndarray


@dataclass(frozen=True)
class Neighbours:
    """Nearest neighbours of each track.

    Parameters
    ----------
    metric : str
        Name of the metric.
    indices : np.ndarray [shape=(n, k), range=[-1, n + len(others)), int]
        Numbers of the neighbours, nearest first. From ``n`` on they count ``others``; -1 for none.
    scores : np.ndarray [shape=(n, k), float]
        Their scores.
    others : sequence of str
        Neighbours that are not among the tracks.
    other_labels : sequence of (str or None)
        Their labels.
    """

    metric: str
    indices: np.ndarray
    scores: np.ndarray
    others: Sequence[str]
    other_labels: Sequence[str | None]


@dataclass(frozen=True)
class Segments:
    """Features of the segments of each track.

    Parameters
    ----------
    columns : sequence of Column
        The features.
    ends : np.ndarray [shape=(n,), int]
        Number of the row after the last segment of each track; the first track's begin at 0.
    starts_s : np.ndarray [shape=(m,), float]
        Beginning of each segment in seconds.
    values : np.ndarray [shape=(m, d), float64]
        Its features.
    """

    columns: Sequence[Column]
    ends: np.ndarray
    starts_s: np.ndarray
    values: np.ndarray


@dataclass(frozen=True)
class Tracks:
    """Tracks to explore.

    Parameters
    ----------
    names : sequence of str
        Name of each track.
    labels : sequence of (str or None)
        Label of each track.
    styles : LabelStyles
        Styles of the page.
    addresses : sequence of sequence of str
        Addresses of the recording of each track, as for :class:`pages.page.Recording`; empty if
        it cannot be played.
    maps : sequence of Map
        The maps to choose from.
    features : sequence of Features
        Percentiles by feature set.
    predictions, neighbours, segments : optional
        None if the store has none, or too many for a page.
    """

    names: Sequence[str]
    labels: Sequence[str | None]
    styles: LabelStyles
    addresses: Sequence[Sequence[str]] = ()
    maps: Sequence[Map] = ()
    features: Sequence[Features] = ()
    predictions: Predictions | None = None
    neighbours: Neighbours | None = None
    segments: Segments | None = None


def pack(tracks: Tracks) -> str:
    """Pack tracks for the script of a page.

    The result is the base64 of a deflated file: the length of a JSON text (4 bytes, little-endian),
    the text, and arrays, to which the text refers as ``{"type": …, "start": …, "length": …}``.
    Numbers are rounded: probabilities to 1/255, coordinates to 1/65534 of their range, and features
    of segments to 1/254 of theirs.

    Examples
    --------
    >>> packed = pack(Tracks(["a.wav", "b.wav"], ["jazz", None], LabelStyles(["jazz"])))
    >>> data = zlib.decompress(base64.b64decode(packed))
    >>> text = json.loads(data[4 : 4 + int.from_bytes(data[:4], "little")])
    >>> text["names"], text["labels"], text["groups"][0]["name"]
    (['a.wav', 'b.wav'], ['jazz'], 'jazz')
    """
    arrays = _Arrays()
    others = tracks.neighbours.other_labels if tracks.neighbours else ()
    labels = sorted({label for label in (*tracks.labels, *others) if label is not None})
    index: dict[str | None, int] = {label: i for i, label in enumerate(labels)}
    groups, group_of = _groups(labels, tracks.styles)
    text = {
        "names": list(tracks.names),
        "addresses": [list(one) for one in tracks.addresses],
        "labels": [display_name(label) for label in labels],
        "label": arrays.add([index.get(one, -1) for one in (*tracks.labels, *others)], np.int32),
        "groups": groups,
        "groupOf": group_of,
        "maps": [_map(one, arrays) for one in tracks.maps],
        "features": [
            {
                "name": one.name,
                "columns": _columns(one.columns),
                "percentiles": arrays.add(one.percentiles, np.uint8),
                "quantiles": arrays.add(one.quantiles, np.float32),
            }
            for one in tracks.features
        ],
    }
    if tracks.predictions:
        text["predictions"] = {
            "classes": [display_name(name) for name in tracks.predictions.classes],
            "labelOf": [index.get(name, -1) for name in tracks.predictions.classes],
            "count": tracks.predictions.likeliest.shape[1],
            "likeliest": arrays.add(tracks.predictions.likeliest, np.int32),
            "probabilities": arrays.add(np.round(tracks.predictions.probabilities * 255), np.uint8),
            "learnt": arrays.add(tracks.predictions.learnt, np.uint8),
        }
    if tracks.neighbours:
        text["neighbours"] = {
            "metric": tracks.neighbours.metric,
            "count": tracks.neighbours.indices.shape[1],
            "indices": arrays.add(tracks.neighbours.indices, np.int32),
            "scores": arrays.add(tracks.neighbours.scores, np.float32),
            "others": list(tracks.neighbours.others),
        }
    if tracks.segments:
        low, span = _range(tracks.segments.values)
        text["segments"] = {
            "columns": _columns(tracks.segments.columns),
            "ends": arrays.add(tracks.segments.ends, np.int32),
            "starts": arrays.add(tracks.segments.starts_s, np.float32),
            "values": arrays.add(np.round((tracks.segments.values - low) / span * 254), np.uint8),
            "low": low.tolist(),
            "span": span.tolist(),
        }
    # Names that are not valid text contain lone surrogates, which UTF-8 cannot encode.
    head = json.dumps(text, ensure_ascii=False).encode("utf-8", errors="replace")
    data = len(head).to_bytes(4, "little") + head + arrays.data
    return base64.b64encode(zlib.compress(data)).decode()


class _Arrays:
    """Arrays, one after the other."""

    def __init__(self) -> None:
        self.data = bytearray()

    def add(self, values: Any, dtype: Any) -> dict[str, Any]:
        """Append an array, and return where it is."""
        array = np.ascontiguousarray(values, dtype)
        found = {"type": array.dtype.name, "start": len(self.data), "length": array.size}
        self.data += array.astype(array.dtype.newbyteorder("<")).tobytes()
        return found


def _groups(labels: Sequence[str], styles: LabelStyles) -> tuple[list[dict[str, str]], list[int]]:
    """Return the entries of the legend, and the entry of each label; the last is of no label."""
    named = [label for label in labels if label in styles]
    groups = [
        {"name": display_name(one), "colour": styles.colour(one), "marker": styles.marker(one)}
        for one in named
    ]
    plain = {"colour": OTHER_COLOUR, "marker": "o"}
    groups += [{"name": OTHER_LABELS, **plain}, {"name": NO_LABEL, **plain}]
    index = {label: i for i, label in enumerate(named)}
    return groups, [index.get(label, len(named)) for label in labels]


def _columns(columns: Sequence[Column]) -> list[list[str]]:
    return [[one.name, one.meaning, "" if one.unit == "1" else one.unit] for one in columns]


def _map(one: Map, arrays: _Arrays) -> dict[str, Any]:
    low, span = _range(one.points)
    scaled = np.round((one.points - low) / span * (NOWHERE - 1))
    x, y = np.where(np.isnan(scaled).any(axis=1), NOWHERE, scaled.T)
    return {
        "title": one.title,
        "axes": list(one.axes),
        "x": arrays.add(x, np.uint16),
        "y": arrays.add(y, np.uint16),
    }


def _range(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the least value and the range of each column; 1 for the range of a constant."""
    low = np.nanmin(values, axis=0)
    span = np.nanmax(values, axis=0) - low
    return low, np.where(span > 0, span, 1.0)
