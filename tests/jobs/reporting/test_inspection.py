"""Inspections: pictures, facts and page of one recording."""

import json
import os
from pathlib import Path

import librosa
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import soundfile
from support.audio_files import loaded_as_librosa
from support.command_line import Command
from support.made_models import make_lda, put_model
from support.made_stores import make_store, put, read_rows
from support.read_page import Reader

from featurizer.extract import extract
from featurizer.feature_set import feature_set
from featurizer.process import single_thread
from jobs.errors import SongmillError, UsageError
from jobs.learning.predict_files import LEARNT
from jobs.reporting.inspection import Outcome, inspect
from jobs.reporting.overview import Sample, percentiles
from jobs.reporting.report import report
from jobs.store.schemas import FILES
from jobs.store.tables import open_store
from training.predictor import to_bytes

GTZAN, RICH = feature_set("gtzan"), feature_set("rich")

PICTURES = [
    *("waveform", "spectrogram", "mel-spectrogram", "harmonic-percussive", "centroid"),
    *("rolloff", "mfcc", "mfcc-scaled", "chromagram", "onset-strength", "contrast", "flux"),
    *("percussive-share", "harmonic-chroma"),
]


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Ten seconds in stereo at 44.1 kHz, half a second of them silent."""
    rng = np.random.default_rng(0)
    t = np.arange(441_000) / 44_100
    y = 0.3 * np.sin(2 * np.pi * 330 * t) * np.exp(-4 * (t % 0.5)) + 0.01 * rng.normal(size=len(t))
    y[:22_050] = 0
    soundfile.write(tmp_path / "a song.wav", np.stack([y, 0.5 * y], axis=1), 44_100)
    return tmp_path / "a song.wav"


def look(recording: object, out: Path, store: Path | None = None) -> tuple[Outcome, Reader]:
    outcome = inspect(str(recording), store=str(store) if store else None, out=str(out))
    return outcome, Reader(Path(outcome.page).read_text(encoding="utf-8"))


def test_facts_are_librosas_and_features_the_stores(recording: Path, tmp_path: Path) -> None:
    outcome, page = look(recording, tmp_path / "out")
    y = loaded_as_librosa(recording)
    facts = outcome.facts
    assert (facts.sample_rate, facts.channels, facts.seconds) == (44_100, 2, 10.0)
    assert facts.samples == len(y) == 220_500
    assert facts.zero_crossings == librosa.zero_crossings(y, pad=False).sum()
    start, stop = librosa.effects.trim(y)[1]
    assert facts.trimmed_samples == stop - start < len(y)
    # The number of threads changes the last bits of matrix products.
    with single_thread():
        features, rich = (rows.track for rows in extract(recording).rows.values())
    assert outcome.features == dict(zip(GTZAN.names, features.tolist(), strict=True))
    assert facts.tempo == outcome.features["tempo"]
    shown = page.facts()
    assert shown["zero crossings"] == f"{facts.zero_crossings:,}"
    assert shown["samples at 22,050 Hz"] == "220,500"
    assert shown["tempo"] == f"{facts.tempo:.3f} BPM"
    assert outcome.rich == dict(zip(RICH.names, rich.tolist(), strict=True))
    for of, expected in ((GTZAN, features), (RICH, rich)):
        table = page.table(f"The {len(of.names)} {of.name} features")
        assert [cell.split(" ")[0] for cell in table.column("feature")] == list(of.names)
        values = list(map(float, table.column("value")))
        assert values == pytest.approx(expected.tolist(), rel=1e-5, abs=1e-12)


def test_pictures_frames_and_page_are_in_the_folder(recording: Path, tmp_path: Path) -> None:
    outcome, page = look(recording, tmp_path / "out")
    expected = [*(f"{name}.png" for name in PICTURES), "frames.parquet", "index.html"]
    assert sorted(os.listdir(tmp_path / "out")) == sorted(expected)
    assert outcome.pictures == [f"{name}.png" for name in PICTURES]
    shown = [figure["id"] for figure in page.every("figure")]
    assert shown == [f"picture-{name}" for name in PICTURES]
    frames = pd.read_parquet(tmp_path / "out" / "frames.parquet")
    y = loaded_as_librosa(recording)
    centroid = librosa.feature.spectral_centroid(y=y, pad_mode="reflect")[0]
    np.testing.assert_allclose(frames["spectral_centroid"], centroid, rtol=1e-3, atol=0.5)
    np.testing.assert_allclose(frames["time_s"], librosa.times_like(centroid))
    first = ", ".join(f"{value:,.3f}" for value in frames["spectral_centroid"][:3])
    assert f"The first frames: {first} Hz." in page.text
    S = np.abs(librosa.stft(y, pad_mode="reflect"))
    unit = S / np.maximum(np.linalg.norm(S, axis=0), 1e-30)
    flux = np.linalg.norm(np.maximum(np.diff(unit, axis=1), 0), axis=0)
    sounding = slice(60, None)  # half a second is silent
    np.testing.assert_allclose(frames["flux"][1:][sounding], flux[sounding], atol=1e-3)
    assert frames["percussive_share"].between(0, 1).all()


@pytest.fixture
def store(tmp_path: Path, recording: Path) -> Path:
    made = make_store(tmp_path / "store", [("x/a song.wav", "rock"), ("y/b.wav", None)])
    rows = [("x/a song.wav", str(recording)), ("y/b.wav", "/gone/b.wav"), ("z/b.wav", "/no/b")]
    files = [{"track_id": track, "uri": uri, "status": "ok"} for track, uri in rows]
    uri = "/t.csv#imported.wav"
    files += [{"track_id": "imported.wav", "uri": uri, "source": "/t.csv", "status": "ok"}]
    put(made, "files", files, FILES)
    put_model(made, "v1", ["blues", "jazz", "rock"], champion=True)
    return tmp_path / "store"


def test_a_model_says_what_it_sounds_like_over_time(
    recording: Path, store: Path, tmp_path: Path
) -> None:
    outcome, page = look(recording, tmp_path / "out", store)
    assert outcome.model == "v1"
    assert outcome.prediction is not None
    assert len(outcome.prediction.segments) == 3
    assert outcome.pictures[-1] == "predicted.png"
    assert "3 segments of 3 s" in " ".join(image["alt"] or "" for image in page.every("img"))
    shown = page.table("Probability of each label")
    best = list(outcome.prediction.probabilities.items())[0]
    assert shown.rows[1] == [best[0], f"{best[1]:.3f}"]
    plain, _ = look(recording, tmp_path / "plain")
    assert plain.features == outcome.features


def test_a_model_of_rich_features_says_why_a_short_recording_has_no_prediction(
    recording: Path, tmp_path: Path
) -> None:
    rich, classes = feature_set("rich"), ["blues", "rock"]
    store = make_store(tmp_path / "s", [("a", "rock")], features="rich", level="track")
    changes = {"kind": "lda", "level": "track", "columns": list(rich.names), "rounds": 0}
    numbers = to_bytes(make_lda(classes, "rich"))
    changes["feature_set"] = rich.version
    put_model(store, "v1", classes, champion=True, trees=numbers, **changes)
    samples, rate = soundfile.read(recording)
    soundfile.write(recording, samples[: 2 * rate], rate)
    outcome, page = look(recording, tmp_path / "out", tmp_path / "s")
    assert outcome.prediction is not None
    assert outcome.prediction.error == "too-short"
    assert "rich features need at least 10" in page.text
    assert len(outcome.features) == 57


def test_features_have_percentiles_among_the_tracks_of_the_store(
    recording: Path, tmp_path: Path
) -> None:
    tracks = [(f"{i}.wav", "rock") for i in range(40)]
    make_store(tmp_path / "s", tracks, level="track")
    outcome, page = look(recording, tmp_path / "out", tmp_path / "s")
    assert "percentile" not in page.table("The 458 rich features").rows[0]
    make_store(tmp_path / "s", tracks[:30], level="track", features="rich")
    outcome, page = look(recording, tmp_path / "out", tmp_path / "s")
    assert outcome.rich is not None
    for of, values in (("gtzan", outcome.features), ("rich", outcome.rich)):
        rows = read_rows(tmp_path / "s", "track", of)[list(values)]
        below = (rows < pd.Series(values)).mean() * 100  # no value is equal
        shown = list(
            map(float, page.table(f"The {len(values)} {of} features").column("percentile"))
        )
        np.testing.assert_allclose(shown, below, atol=0.51)


def test_half_of_the_equal_values_counts_as_smaller() -> None:
    features = np.array([[1.0, 5.0], [2.0, 5.0], [3.0, 5.0], [4.0, 5.0]])
    sample = Sample(GTZAN, 4, 0, pa.table({}), np.full(4, np.nan), features)
    assert percentiles(sample, np.array([3.0, 5.0])).tolist() == [62.5, 50.0]
    assert percentiles(sample, np.array([9.0, 0.0])).tolist() == [100.0, 0.0]


def test_a_store_without_a_model_is_no_harm(recording: Path, tmp_path: Path) -> None:
    make_store(tmp_path / "s", [("a", "rock")])
    outcome, _ = look(recording, tmp_path / "out", tmp_path / "s")
    assert outcome.prediction is None


@pytest.mark.parametrize("name", ["a song", "a song.wav", "x/a song", "x/a song.wav"])
def test_a_track_of_the_store(name: str, store: Path, tmp_path: Path, recording: Path) -> None:
    outcome, _ = look(name, tmp_path / "out", store)
    assert outcome.facts.file == str(recording)


@pytest.mark.parametrize(
    ("name", "with_store", "error"),
    [
        ("nothing.wav", False, "there is no file nothing.wav: name a recording, or with --store"),
        ("nothing.wav", True, "'nothing.wav' is neither a track of the store .* nor a file"),
        ("b", True, r"'b' may be 'y/b.wav', 'z/b.wav': write more of its path"),
        ("y/b", True, "the file of the track 'y/b.wav' does not exist: /gone/b.wav"),
        (".", False, r"\. is a folder: name one recording in it"),
        ("imported", True, r"'imported.wav' was imported from /t.csv, without its recording"),
    ],
)
def test_a_missing_recording_or_track_is_refused(
    name: str, with_store: bool, error: str, store: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=error):
        look(name, tmp_path / "out", store if with_store else None)
    assert not (tmp_path / "out").exists()


def test_a_corrupt_recording_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"no sound")
    soundfile.write(tmp_path / "short.wav", np.zeros(1024), 22_050)
    for name, kind in (("a.wav", "unreadable"), ("short.wav", "too-short")):
        with pytest.raises(SongmillError, match=rf"{name} gives no features \({kind}\)"):
            look(tmp_path / name, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("n", [1025, 1536, 60_000])
def test_short_and_silent_recordings(n: int, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(n), 22_050)
    outcome, page = look(tmp_path / "a.wav", tmp_path / "out")
    assert outcome.facts.tempo == 0
    assert page.facts()["tempo"] == "none: no onset"
    assert page.facts()["without silence around it"] == "the same: nothing to trim"
    assert outcome.rich is None
    assert "rich features need at least 10. Use a longer recording." in page.text
    assert "contrast.png" not in outcome.pictures


def test_the_command_prints_facts_features_and_files(
    recording: Path, store: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path = store.parent
    monkeypatch.chdir(tmp_path)
    output = json.loads(command("inspect", recording, "--store", store, "--json")[1])
    assert output["facts"]["samples"] == 220_500
    assert len(output["features"]) == 57
    assert output["model"] == "v1"
    assert output["page"] == str(tmp_path / "inspect-a song" / "index.html")
    _, out, _ = command("report", "--store", store, "--json")
    assert json.loads(out)["page"] == str(store / "report" / "index.html")
    _, out, _ = command("inspect", recording, "--store", store)
    for words in ("44,100 Hz, 2 channels, 10.000 s", "220,500 samples at 22,050 Hz", "by v1"):
        assert words in out
    assert f"15 pictures in {tmp_path}/inspect-a song" in out


def test_the_page_says_that_the_model_has_learnt_the_track(store: Path, tmp_path: Path) -> None:
    folds = {"x/a song.wav": None, "y/b.wav": 0}
    put_model(open_store(str(store)), "v2", ["blues", "rock"], champion=True, folds=folds)
    outcome, page = look("a song", tmp_path / "out", store)
    assert outcome.prediction
    assert outcome.prediction.learnt
    assert LEARNT in page.text


def test_a_name_that_is_no_utf_8_is_valid_json(
    recording: Path, store: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    from jobs.cli.tables import print_json

    name = os.fsencode(recording.parent) + b"/\xff.wav"
    os.rename(recording, name)
    outcome, _ = look(os.fsdecode(name), tmp_path / "out", store)
    print_json({"file": outcome.facts.file, "others": "\u97f3 \U0001f3b8"})
    output = json.loads(capfdbinary.readouterr().out)
    assert output == {"file": os.fsdecode(name), "others": "\u97f3 \U0001f3b8"}


def test_labels_have_the_colours_that_they_have_in_the_report(
    recording: Path, tmp_path: Path
) -> None:
    root = tmp_path / "s"
    labels = [f"label {i:02}" for i in range(30)]
    many = [(f"{i:03}.wav", labels[i % 30 if i < 60 else 29 - i % 10]) for i in range(120)]
    store = make_store(root, many, level="track")
    put_model(store, "v1", sorted(labels), champion=True, level="track")
    _, seen = look(recording, tmp_path / "out", root)
    report(store=str(root))
    shown = Reader((root / "report" / "index.html").read_text())
    ours, theirs = (
        dict(zip(page.table(caption).column("label"), page.marks(caption), strict=True))
        for page, caption in ((seen, "Probability of each"), (shown, "Tracks by label"))
    )
    common = {label: mark for label, mark in ours.items() if label in theirs}
    assert len(common) == 20
    assert common == {label: theirs[label] for label in common}
