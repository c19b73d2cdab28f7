"""The tracks of an explorer are packed without loss beyond the stated rounding."""

import base64
import json
import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import percentileofscore

from featurizer.feature_set import feature_set
from pages import page
from pages.explorer import Features, Map, Neighbours, Predictions, Segments, Tracks, pack
from pages.style import MARKERS, LabelStyles

NAMES = [
    "<script>alert(1)</script>.wav",
    "\N{RIGHT-TO-LEFT OVERRIDE}b.wav",
    "c\udcff.wav",
    "d" * 4000,
]
COLUMNS = feature_set("gtzan").columns[:3]


class Unpacked:
    """A packed text and its arrays."""

    def __init__(self, packed: str) -> None:
        data = zlib.decompress(base64.b64decode(packed))
        length = int.from_bytes(data[:4], "little")
        self.text: dict[str, Any] = json.loads(data[4 : 4 + length])
        self._rest = data[4 + length :]

    def array(self, found: dict[str, Any], width: int = 1) -> np.ndarray:
        dtype = np.dtype(found["type"]).newbyteorder("<")
        array = np.frombuffer(self._rest, dtype, found["length"], found["start"])
        return array if width == 1 else array.reshape(-1, width)


def test_names_and_labels_are_as_given() -> None:
    neighbours = Neighbours(
        "rich", np.array([[1, 4], [-1, -1], [5, 0], [2, 1]]), np.full((4, 2), 0.25),
        ["elsewhere.wav", "far.wav"], ["pop", None],
    )  # fmt: skip
    styles = LabelStyles(["rock"])
    tracks = Tracks(NAMES, ["rock", None, "odd", " "], styles, neighbours=neighbours)
    found = Unpacked(pack(tracks))
    assert found.text["names"] == [*NAMES[:2], "c?.wav", NAMES[3]]
    labels = found.text["labels"]
    assert labels == ["(blank)", "odd", "pop", "rock"]
    index = found.array(found.text["label"])
    assert [labels[i] if i >= 0 else None for i in index] == [
        *("rock", None, "odd", "(blank)", "pop", None)
    ]
    groups = [group["name"] for group in found.text["groups"]]
    assert [groups[i] for i in found.text["groupOf"]] == [*["(other labels)"] * 3, "rock"]
    assert groups[-1] == "(no label)"
    near = found.text["neighbours"]
    assert found.array(near["indices"], 2).tolist() == neighbours.indices.tolist()
    assert near["others"] == ["elsewhere.wav", "far.wav"]


def test_numbers_are_rounded_as_stated() -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(4, 2)) * [100, 1e-3]
    points[2] = np.nan
    likeliest, probabilities = np.array([[1, 0], [0, 1], [1, 0], [-1, -1]]), rng.random((4, 2))
    values = rng.normal(size=(9, 3)) * [1e6, 1, 0]
    ends, starts = np.array([3, 3, 5, 9]), np.arange(9) * 3.0
    tracks = Tracks(
        *(NAMES, [None] * 4, LabelStyles([])),
        maps=[Map("map", ("x", "y"), points)],
        predictions=Predictions(["a", "b"], likeliest, probabilities, np.eye(4, dtype=bool)[1]),
        segments=Segments(COLUMNS, ends, starts, values),
    )
    found = Unpacked(pack(tracks))
    (one,) = found.text["maps"]
    for name, wanted in zip("xy", points.T, strict=True):
        coordinates = found.array(one[name])
        assert coordinates[2] == 65535
        known = [0, 1, 3]
        low, high = wanted[known].min(), wanted[known].max()
        restored = low + coordinates[known] / 65534 * (high - low)
        np.testing.assert_allclose(restored, wanted[known], atol=(high - low) / 65534)
    predicted = found.text["predictions"]
    assert found.array(predicted["likeliest"], 2).tolist() == likeliest.tolist()
    restored = found.array(predicted["probabilities"], 2) / 255
    np.testing.assert_allclose(restored, probabilities, atol=0.5 / 255 + 1e-9)
    assert found.array(predicted["learnt"]).tolist() == [0, 1, 0, 0]
    segments = found.text["segments"]
    restored = segments["low"] + found.array(segments["values"], 3) / 254 * segments["span"]
    half = np.ptp(values, axis=0) / 254 / 2
    assert (np.abs(restored - values) <= half * (1 + 1e-9)).all()
    assert found.array(segments["ends"]).tolist() == ends.tolist()
    assert found.array(segments["starts"]).tolist() == starts.tolist()


@pytest.mark.parametrize("n", [1, 7, 300])
def test_percentiles_are_those_of_scipy(n: int) -> None:
    rows = np.random.default_rng(n).integers(0, 20, size=(n, 3)).astype(np.float64)
    index = np.arange(n)[::-1] + 1
    found = Features.of("gtzan", COLUMNS, rows, index, n + 2)
    assert (found.percentiles[[0, n + 1]] == 255).all()
    expected = [[percentileofscore(rows[:, j], row[j], "mean") for j in range(3)] for row in rows]
    np.testing.assert_allclose(found.percentiles[index], expected, atol=0.5 + 1e-9)
    np.testing.assert_array_equal(found.quantiles[[0, 100]], [rows.min(axis=0), rows.max(axis=0)])
    packed = Unpacked(
        pack(Tracks(["x"] * (n + 2), [None] * (n + 2), LabelStyles([]), features=[found]))
    )
    (of_set,) = packed.text["features"]
    np.testing.assert_array_equal(packed.array(of_set["percentiles"], 3), found.percentiles)
    assert of_set["columns"][0] == [COLUMNS[0].name, COLUMNS[0].meaning, ""]


def test_the_map_draws_every_marker() -> None:
    script = (Path(page.__file__).parent / "templates" / "map.js").read_text(encoding="utf-8")
    outlines = script[script.index("OUTLINES = {") : script.index("};")]
    assert set(MARKERS) == set(re.findall(r'"?([^\s"]+?)"?: \[', outlines))
