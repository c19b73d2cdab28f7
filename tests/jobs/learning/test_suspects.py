"""Suspects whose recording is in the store twice, against a search through all pairs of tracks."""

import numpy as np
import pyarrow as pa
import pytest

from jobs.learning.suspects import suspect_rows

LABELS = np.array(["jazz", "rock", "unknown to the model", None], object)


@pytest.mark.parametrize("seed", range(20))
def test_copies_come_first_and_those_with_other_labels_before_all(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ids, n_tracks = [f"{i:02d}" for i in rng.permutation(40)], 40
    labels, recordings = LABELS[rng.integers(4, size=n_tracks)], rng.integers(20, size=n_tracks)
    columns = {"p_jazz": [0.7] * n_tracks, "p_rock": [0.3] * n_tracks, "model": ["m"] * n_tracks}
    predicted = pa.table(
        {"track_id": ids, "label": labels, "learnt": [False] * n_tracks, **columns}
    )
    found = suspect_rows(predicted, ["jazz", "rock"], recordings).to_pylist()
    label_of, recording_of = (
        dict(zip(ids, labels, strict=True)),
        dict(zip(ids, recordings, strict=True)),
    )

    def copies(track: str) -> list[str]:
        same = [i for i in sorted(ids) if recording_of[i] == recording_of[track] and label_of[i]]
        return same if label_of[track] else []

    def conflicts(track: str) -> bool:
        return len({label_of[i] for i in copies(track)}) > 1

    repeated = sorted(
        (i for i in ids if len(copies(i)) > 1), key=lambda i: (not conflicts(i), copies(i)[0], i)
    )
    assert [row["track_id"] for row in found[: len(repeated)]] == repeated
    for row in found[: len(repeated)]:
        track, label = row["track_id"], row["label"]
        others = [i for i in copies(track) if i != track and label_of[i] != label]
        expected = (others or [i for i in copies(track) if i != track])[0]
        assert (label, row["duplicate_id"]) == (label_of[track], expected)
        assert row["suggested"] == (label_of[expected] if conflicts(track) else None)
        assert (expected in row["reason"], row["margin"]) == (True, None)
    contradicted = found[len(repeated) :]
    assert {row["duplicate_id"] for row in contradicted} <= {None}
    assert not {row["track_id"] for row in contradicted} & set(repeated)
    assert [row["rank"] for row in found] == list(range(1, len(found) + 1))
