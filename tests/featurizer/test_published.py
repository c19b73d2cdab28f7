"""The features against the published tables."""

from pathlib import Path

import pandas as pd
import pytest

from benchmarks.published import errors, extracted, format_distances, published
from featurizer.feature_set import feature_set

GTZAN = feature_set("gtzan")

Tables = tuple[pd.DataFrame, pd.DataFrame]


@pytest.fixture(scope="module")
def ours(shared_data: Path) -> Tables:
    return extracted(shared_data / "gtzan")


@pytest.fixture(scope="module")
def theirs(shared_data: Path) -> Tables:
    return published(shared_data / "gtzan")


def test_the_columns_are_the_published_ones_in_their_order(theirs: Tables) -> None:
    for table in theirs:
        assert list(table.columns) == ["length", *GTZAN.names, "label"]


def test_every_track_row_is_the_published_one(ours: Tables, theirs: Tables) -> None:
    assert (ours[0]["length"] == theirs[0].loc[ours[0].index, "length"]).all()
    worst = errors(ours[0], theirs[0]).max(axis=1)
    assert "reggae.00014.wav" in worst  # ours is an AU file
    assert len(worst) == 41
    assert worst.max() < 1e-3, worst.idxmax()
    assert worst.quantile(0.99) < 2e-4


def test_nearly_every_segment_row_is_the_published_one(ours: Tables, theirs: Tables) -> None:
    # In the others, a tuning estimate or a roll-off bin falls exactly on a tie.
    worst = errors(ours[1], theirs[1]).max(axis=1)
    assert len(worst) == 399
    assert worst.quantile(0.99) < 5e-4
    assert worst.quantile(0.999) < 1e-3


def test_a_track_has_all_its_complete_segments(ours: Tables, theirs: Tables) -> None:
    assert (ours[1]["length"] == 66149).all()
    assert (theirs[1]["length"] == 66149).all()
    counts = ours[1].groupby(ours[1].index.str.rsplit(".", n=2).str[0]).size()
    lengths = ours[0]["length"].rename(lambda name: name.removesuffix(".wav"))
    assert dict(counts) == dict((lengths + 1) // 66150)
    # The published table lacks some rows but has no additional ones.
    tracks = theirs[1].index.str.rsplit(".", n=3).str[0]
    assert set(theirs[1].index[tracks.isin(counts.index)]) <= set(ours[1].index)


def test_one_recording_in_several_formats_gives_similar_rows(
    shared_data: Path, theirs: Tables
) -> None:
    distances = format_distances(shared_data / "formats", theirs[0])
    assert (distances.loc["flac"] == 0).all()
    timbre = distances.drop(columns="tempo").max(axis=1)
    assert timbre["ogg"] < 0.15
    assert timbre["mp3"] < 0.3
    # AAC drops bands that loud ones mask, which changes their level in dB.
    assert timbre["aac"] < 1.6
    assert (distances.median(axis=1) < 0.15).all()
    # A tempo estimate may fall on another multiple of the beat.
    assert distances["tempo"].max() < 1.6
