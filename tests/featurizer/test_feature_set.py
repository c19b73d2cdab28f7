import csv
import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.rich_reference import FOLDER, reference
from threadpoolctl import threadpool_limits

from featurizer.extract import features
from featurizer.feature_set import DEFAULT_SETS, FeatureSet, feature_set, feature_sets
from featurizer.stft import MIN_SAMPLES


def test_the_published_columns_are_those_of_the_tables(shared_data: Path) -> None:
    with (shared_data / "gtzan/features_30_sec.csv").open() as table:
        columns = table.readline().strip().split(",")
    assert ["filename", "length", *feature_set("gtzan").names, "label"] == columns
    assert feature_set("gtzan").version == "gtzan-57.1"
    assert feature_set("gtzan").min_samples == MIN_SAMPLES


def test_the_rich_columns_are_the_references() -> None:
    command = [sys.executable, str(FOLDER / "reference.py"), "--columns"]
    reference()  # skips the test if there is none
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    # Its 10,000 Hz are not easy to read.
    expected = list(csv.reader(io.StringIO(printed.replace("1e+04", "10000"))))[1:]
    columns = feature_set("rich").columns
    assert [[c.name, c.block, c.unit, c.meaning] for c in columns] == expected
    assert feature_set("rich").version == reference().FEATURE_SET


@pytest.mark.parametrize("one", feature_sets().values(), ids=lambda one: one.name)
def test_every_column_has_a_unique_name_a_unit_a_meaning_and_a_source(one: FeatureSet) -> None:
    assert len(set(one.names)) == len(one.columns)
    for column in one.columns:
        assert column.name == column.name.lower()
        assert column.name.replace("_", "").isalnum()
        assert column.unit
        assert len(column.meaning) > 5
        assert column.source.rstrip(".")[-4:].isdigit() or "chapter" in column.source
    assert one.version.startswith(f"{one.name}-{len(one.columns)}.")


def test_an_unknown_set_is_refused_with_the_names_of_those_that_exist() -> None:
    with pytest.raises(ValueError, match=r"no feature set 'poor'\. Choose from: gtzan, rich\."):
        feature_set("poor")
    with pytest.raises(ValueError, match="no feature set 'poor'"):
        features(np.zeros(5000, dtype=np.float32), sets=["gtzan", "poor"])


def test_metadata_is_imported_without_numpy_numba_scipy_and_librosa() -> None:
    # The command line shows its help in half a second.
    code = (
        "import sys; from featurizer.feature_set import feature_sets; feature_sets(); "
        "assert not {'numpy', 'numba', 'scipy', 'librosa'} & set(sys.modules), sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_only_rich_rows_need_ten_seconds() -> None:
    rich = feature_set("rich")
    assert rich.too_short(220_500) is None
    assert rich.too_short(220_499) == (
        "The recording has 9.99 seconds; rich features need at least 10. Use a longer recording."
    )
    assert feature_set("gtzan").too_short(1025) is None


THIRD_SET = Path(__file__).parents[1] / "support/third_set"

EXTRACT = """
import sys
import numpy as np
from featurizer.extract import features
y = np.load(sys.argv[1])
rows = features(y, sets=sys.argv[3:])
np.savez(sys.argv[2], **{f"{name} {level}": getattr(found, level)
    for name, found in rows.items() for level in ("track", "segments")})
"""


def test_a_third_set_is_one_more_file_and_changes_no_other_set(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    y = (0.1 * rng.normal(size=11 * 22050)).astype(np.float32)
    np.save(tmp_path / "y.npy", y)
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([*sys.path, str(THIRD_SET)]),
        "OPENBLAS_NUM_THREADS": "1",  # more threads add in another order
    }
    arguments = [str(tmp_path / "y.npy"), str(tmp_path / "rows.npz")]
    command = [sys.executable, "-c", EXTRACT, *arguments, "tiny", "rich", "gtzan"]
    subprocess.run(command, env=environment, check=True, timeout=240)
    found = np.load(tmp_path / "rows.npz")
    assert found["tiny track"].shape == (2,)
    assert found["tiny track"].dtype == np.float32
    assert found["tiny segments"].shape == (3, 2)
    with threadpool_limits(1):
        expected = features(y)
    assert tuple(expected) == DEFAULT_SETS
    for name, rows in expected.items():
        np.testing.assert_array_equal(found[f"{name} track"], rows.track)
        np.testing.assert_array_equal(found[f"{name} segments"], rows.segments)


def test_a_set_has_rows_of_its_own_levels_only() -> None:
    rows = features(np.ones(11 * 22050, dtype=np.float32), segment_seconds=10.5)
    assert rows["gtzan"].segments.shape == (1, 57)
    assert rows["rich"].segments.shape == (0, 458)
