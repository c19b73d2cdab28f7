"""Are the features those of the published tables, to the digits that matter?"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import soundfile

from featurizer.columns import FEATURE_COLUMNS
from featurizer.extract import features, segment_length

COLUMNS = list(FEATURE_COLUMNS)

# It has no header, and is in neither table.
BROKEN = "jazz.00054.wav"


def published(path: Path) -> pd.DataFrame:
    table = pd.read_csv(path, index_col="filename")
    assert list(table.columns) == ["length", *COLUMNS, "label"]
    return table


@pytest.fixture(scope="module")
def errors(shared_data: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The errors of every column of every track and segment, relative to what is published."""
    gtzan = shared_data / "gtzan"
    tables = published(gtzan / "features_30_sec.csv"), published(gtzan / "features_3_sec.csv")
    floors = [0.001 * table[COLUMNS].std() for table in tables]
    ours: tuple[dict[str, npt.NDArray[np.float64]], dict[str, npt.NDArray[np.float64]]] = {}, {}
    for path in sorted((gtzan / "genres_original").glob("*/*")):
        if path.name == BROKEN:
            continue
        y, sample_rate = soundfile.read(path, dtype="float32")
        assert sample_rate == 22050
        track, segments = features(y)
        # The one .au file is published as the .wav file that it once was.
        ours[0][f"{path.stem}.wav"] = track
        ours[1].update({f"{path.stem}.{i}.wav": row for i, row in enumerate(segments)})
        assert tables[0].loc[f"{path.stem}.wav", "length"] == len(y)
        last = tables[1].index[tables[1].index.str.startswith(f"{path.stem}.")]
        assert max(int(name.split(".")[2]) for name in last) < len(segments)
        assert (tables[1].loc[last, "length"] == segment_length(3.0)).all()
    found = []
    for rows, table, floor in zip(ours, tables, floors, strict=True):
        mine = pd.DataFrame.from_dict(rows, orient="index", columns=COLUMNS)
        mine = mine[mine.index.isin(table.index)]
        theirs = table.loc[mine.index, COLUMNS]
        found.append((mine - theirs).abs() / (theirs.abs() + floor))
    return found[0], found[1]


def test_every_track_row_is_the_published_one(
    errors: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    worst = errors[0].max(axis=1)
    assert len(worst) == 41
    assert worst.max() < 1e-3, worst.idxmax()
    assert worst.quantile(0.99) < 2e-4


def test_nearly_every_segment_row_is_the_published_one(
    errors: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    # The few others have a tuning estimate or a roll-off bin that falls exactly on a tie.
    worst = errors[1].max(axis=1)
    assert len(worst) == 399
    assert worst.quantile(0.99) < 5e-4
    assert worst.quantile(0.999) < 1e-3


def test_the_au_file_has_the_published_row_of_its_wav(
    errors: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    assert errors[0].loc["reggae.00014.wav"].max() < 1e-3
