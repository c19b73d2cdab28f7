"""The demo collection: its contents, the music of its styles, and its synthesis."""

import csv
import itertools
import os
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import librosa
import numpy as np
import pytest
import scipy.signal
import soundfile

from jobs.demo import collection as synthesis
from jobs.demo import instruments, songs, styles

ROOT = Path(__file__).resolve().parents[3]

TRACKS = synthesis.list_tracks()
RECORDINGS = [track for track in TRACKS if track.form is not None]
DRUMMED = {"techno": (1.0,), "metal": (0.5, 1.0, 2.0), "chiptune": (1.0,)}


def in_another_process(code: str) -> int:
    """Run Python code from the project's root; return its exit code, negative for a signal."""
    environment = os.environ | {"PYTHONHASHSEED": "7"}
    imports = "import os, pathlib, signal, jobs.demo.collection as s\n"
    command = [sys.executable, "-c", imports + code]
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def modified(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole collection. Tests that damage files work on a few tracks of their own."""
    folder = tmp_path_factory.mktemp("synthesis") / "demo"
    synthesis.synthesise(folder)
    return folder


@pytest.fixture(scope="module")
def mono(demo: Path) -> dict[str, np.ndarray]:
    """Each recording as mono samples at 22,050 Hz."""
    samples = {}
    for track in RECORDINGS:
        y, sr = soundfile.read(demo / track.track_id, always_2d=True)
        y = scipy.signal.resample_poly(y.mean(axis=1), 22050, sr)
        samples[track.track_id] = y.astype(np.float32)
    return samples


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> tuple[synthesis.Track, ...]:
    """Reduce the collection to three cheap tracks: a wav, an ogg, the corrupt one."""
    ogg = next(track for track in TRACKS if track.form == "ogg")
    tracks = (TRACKS[0], ogg, TRACKS[-1])
    monkeypatch.setattr(synthesis, "list_tracks", lambda: tracks)
    monkeypatch.setattr(synthesis, "encode", lambda track: 9999 * track.track_id.encode())
    return tracks


# Contents


def test_there_are_several_styles_of_eight_tracks_and_two_artists(demo: Path) -> None:
    with (demo / "labels.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["track_id", "label", "artist"]
    assert [row["track_id"] for row in rows] == [track.track_id for track in TRACKS]
    assert all(row["track_id"].split("/")[0] == row["label"] for row in rows)

    per_label = Counter(row["label"] for row in rows)
    assert len(per_label) == 7
    assert per_label.pop("swing") == 9  # one of them is corrupt
    assert set(per_label.values()) == {8}

    labels_of_artist: dict[str, list[str]] = {}
    for row in rows:
        labels_of_artist.setdefault(row["artist"], []).append(row["label"])
    assert len(labels_of_artist) == 14
    # An artist has one style, except for the recording with two labels.
    assert [len(set(labels)) for labels in labels_of_artist.values()].count(2) == 1
    assert min(len(labels) for labels in labels_of_artist.values()) >= 3


def test_only_the_collection_is_written(demo: Path) -> None:
    ids = {track.track_id for track in TRACKS}
    assert set(contents(demo)) == ids | {"labels.csv", ".synthesis.json"}
    assert list(demo.parent.iterdir()) == [demo]


def test_a_track_is_told_by_its_name_without_folder_and_suffix() -> None:
    stems = [Path(track.track_id).stem for track in TRACKS]
    assert len(set(stems)) == len(stems)
    assert not any(a != b and a.endswith(b) for a in stems for b in stems)


def test_recordings_have_the_documented_formats(demo: Path) -> None:
    found = Counter()
    for track in RECORDINGS:
        info = soundfile.info(demo / track.track_id)
        assert info.frames == 15 * info.samplerate
        found[info.format, info.subtype, info.samplerate, info.channels] += 1
    assert found.pop(("WAV", "PCM_16", 22050, 1)) > len(RECORDINGS) / 2
    assert set(found) == {
        ("FLAC", "PCM_16", 22050, 1),
        ("OGG", "VORBIS", 22050, 1),
        ("WAV", "PCM_16", 44100, 2),
    }
    assert min(found.values()) >= 3


def test_one_track_is_not_a_recording(demo: Path) -> None:
    assert [track.track_id for track in TRACKS if track.form is None] == ["swing/swing.08.wav"]
    with pytest.raises(soundfile.LibsndfileError):
        soundfile.read(demo / "swing/swing.08.wav")
    assert (demo / "swing/swing.08.wav").read_text(encoding="ascii").startswith("This is")


def test_one_recording_lies_under_two_labels(demo: Path, mono: dict[str, np.ndarray]) -> None:
    by_samples: dict[bytes, list[str]] = {}
    for name, y in mono.items():
        by_samples.setdefault(y.tobytes(), []).append(name)
    twins = [names for names in by_samples.values() if len(names) > 1]
    assert [sorted(names) for names in twins] == [["folk/folk.07.flac", "nocturne/nocturne.03.wav"]]
    artists = {track.artist for track in TRACKS if track.track_id in twins[0]}
    assert len(artists) == 1


@pytest.mark.parametrize("track", RECORDINGS, ids=lambda track: track.track_id)
def test_levels_are_normal(track: synthesis.Track, mono: dict[str, np.ndarray], demo: Path) -> None:
    samples, _ = soundfile.read(demo / track.track_id)
    assert np.isfinite(samples).all()
    assert np.abs(samples).max() <= 0.9

    y = mono[track.track_id]
    assert len(y) == 15 * 22050
    assert 0.04 < np.std(y) < 0.27
    assert abs(np.mean(y)) < 0.005
    # Of any three neighbouring windows of 0.3 s at least one is not silent.
    rms = np.sqrt(np.mean(y.reshape(50, 6615) ** 2, axis=1))
    assert min(rms[k : k + 3].max() for k in range(48)) > 0.01


def test_the_channels_of_a_stereo_track_differ_and_mix_to_the_recording(demo: Path) -> None:
    track = next(track for track in TRACKS if track.form == "stereo")
    samples, _ = soundfile.read(demo / track.track_id)
    assert np.corrcoef(samples.T)[0, 1] < 0.99
    mixed = scipy.signal.decimate(samples.mean(axis=1), 2, ftype="fir")
    assert np.corrcoef(mixed, synthesis.perform(track.style, track.number))[0, 1] > 0.999


# Music


@pytest.mark.parametrize("label", DRUMMED)
def test_drums_keep_the_tempo(label: str, mono: dict[str, np.ndarray]) -> None:
    """Compare with librosa's estimate: bins 4 to 6 % apart, and octave errors."""
    tracks = [track for track in RECORDINGS if track.label == label]
    close = 0
    for track in tracks:
        nominal = songs.compose(track.style, track.number).tempo
        heard = float(librosa.feature.tempo(y=mono[track.track_id], sr=22050)[0])
        close += any(abs(heard / (factor * nominal) - 1) < 0.04 for factor in DRUMMED[label])
    assert close >= len(tracks) - 1


def features(y: np.ndarray) -> np.ndarray:
    """A handful of plain librosa features: means and spreads."""
    S = np.abs(librosa.stft(y, hop_length=1024))
    mel = librosa.feature.melspectrogram(S=S**2, sr=22050)
    rows = [
        *librosa.feature.mfcc(S=librosa.power_to_db(mel), n_mfcc=13),
        librosa.feature.spectral_centroid(S=S, sr=22050)[0],
        librosa.feature.spectral_rolloff(S=S, sr=22050)[0],
        librosa.feature.rms(S=S)[0],
    ]
    return np.array([value for row in rows for value in (row.mean(), row.std())])


def test_styles_are_told_apart_and_neighbours_share_them(mono: dict[str, np.ndarray]) -> None:
    """By the nearest centroid without the track itself; chance is one in seven."""
    twin = "folk/folk.07.flac"
    tracks = [track for track in RECORDINGS if track.track_id != twin]
    X = np.array([features(mono[track.track_id]) for track in tracks])
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    labels = np.array([track.label for track in tracks])

    right = 0
    for k in range(len(tracks)):
        others = np.arange(len(tracks)) != k
        distance = {
            label: np.linalg.norm(Z[others & (labels == label)].mean(axis=0) - Z[k])
            for label in set(labels)
        }
        right += min(distance, key=distance.__getitem__) == labels[k]
    assert right / len(tracks) > 0.7

    unit = Z / np.linalg.norm(Z, axis=1, keepdims=True)
    cosine = unit @ unit.T
    np.fill_diagonal(cosine, -2)
    assert np.mean(labels[cosine.argmax(axis=1)] == labels) > 0.75
    # Different recordings are less similar than duplicates.
    assert cosine.max() < 0.99


@pytest.mark.parametrize("frequency", [146.83, 440.0])
@pytest.mark.parametrize(
    "note",
    [
        *(instruments.pad, instruments.vibraphone, instruments.piano, instruments.string),
        *(instruments.double_bass, instruments.flute, instruments.acid, instruments.stab),
        *(instruments.pulse, instruments.triangle, instruments.lead_guitar),
    ],
    ids=lambda note: note.__name__,
)
def test_instruments_are_in_tune(note: instruments.Note, frequency: float) -> None:
    y = note(frequency, 0.8, 0.5)[round(0.1 * 22050) : round(0.6 * 22050)]
    heard = librosa.yin(y, fmin=60, fmax=1000, sr=22050)
    assert np.median(heard) == pytest.approx(frequency, rel=0.01)


C_MAJOR = songs.Song(
    rng=np.random.default_rng(0),
    tempo=120.0,
    metre=4,
    tonic=0,
    scale=styles.MAJOR,
    progression=(0, 4, 5, 3),
    brightness=0.5,
    density=0.8,
    looseness=0.0,
    rubato=0.0,
)


def test_chords_are_stacked_thirds() -> None:
    assert [C_MAJOR.chord(bar, low=60, voices=4) for bar in range(5)] == [
        [60, 64, 67, 71],  # C E G B
        [67, 71, 74, 77],  # G B D F
        [69, 72, 76, 79],  # A C E G
        [65, 69, 72, 76],  # F A C E
        [60, 64, 67, 71],
    ]


def pitches_of(instrument: Mock) -> set[int]:
    """Return the MIDI pitches of the notes that an instrument has played."""
    pitches = [69 + 12 * np.log2(call.args[0] / 440) for call in instrument.call_args_list]
    assert pitches == pytest.approx(np.round(pitches))
    return set(map(round, pitches))


@pytest.mark.parametrize("tonic", range(12))
def test_melodies_keep_to_the_scale_and_range(tonic: int) -> None:
    click = Mock(return_value=np.ones(1))
    song = replace(C_MAJOR, tonic=tonic, density=1.0, rng=np.random.default_rng(tonic))
    y = songs.melody(click, (0.5, 0.5), (1,), low=60, high=79)(song)
    scale = {(tonic + step) % 12 for step in (0, 2, 4, 5, 7, 9, 11)}
    pitches = pitches_of(click)
    assert {pitch % 12 for pitch in pitches} <= scale
    assert min(pitches) >= 60
    assert max(pitches) <= 79
    assert len(pitches) > 4
    assert set(np.flatnonzero(y)) <= {round(k * 0.25 * 22050) for k in range(60)}


@pytest.mark.parametrize("seed", range(20))
def test_a_melody_meets_the_chord_at_the_start_of_each_bar(seed: int) -> None:
    click = Mock(return_value=np.ones(1))
    song = replace(C_MAJOR, density=1.0, progression=(0,), rng=np.random.default_rng(seed))
    songs.melody(click, (4,), low=60, high=79)(song)  # one note a bar
    assert {pitch % 12 for pitch in pitches_of(click)} <= {0, 4, 7}


def test_a_walking_bass_starts_each_bar_on_the_root_and_keeps_to_the_scale(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    heard: list[tuple[int, float]] = []

    def note(tape, instrument, pitch, beats, length, **how) -> None:  # type: ignore[no-untyped-def]
        heard.append((pitch, beats))

    monkeypatch.setattr(songs.Tape, "note", note)
    songs.walk(instruments.double_bass, low=33)(C_MAJOR)
    assert [beats for _, beats in heard] == list(range(len(heard)))
    roots = [pitch % 12 for pitch, beats in heard if beats % 4 == 0]
    assert roots == [(0, 7, 9, 5)[bar % 4] for bar in range(len(roots))]
    assert {pitch % 12 for pitch, _ in heard} <= set(styles.MAJOR)


def test_a_pattern_falls_on_its_beats() -> None:
    click = songs.beat(lambda rng, brightness: np.ones(1), "x..o.")
    y = click(replace(C_MAJOR, tempo=100.0))
    bar = 4 * 0.6 * 22050
    starts = [round(bar * k) for k in range(7)]
    softs = [round(bar * (k + 3 / 5)) for k in range(6)]
    assert np.flatnonzero(y == 1.0).tolist() == starts
    assert np.flatnonzero(y == 0.5).tolist() == softs
    assert np.count_nonzero(y) == len(starts) + len(softs)


@pytest.mark.parametrize("density", [0.0, 0.3, 1.0])
def test_optional_notes_come_by_density(density: float) -> None:
    click = songs.beat(lambda rng, brightness: np.ones(1), "?" * 16)
    y = click(replace(C_MAJOR, density=density, tempo=240.0, rng=np.random.default_rng(1)))
    assert np.count_nonzero(y) / 240 == pytest.approx(density, abs=0.1)


def test_a_part_that_pauses_is_silent_in_two_bars() -> None:
    gates = [songs.gate(replace(C_MAJOR, rng=np.random.default_rng(seed))) for seed in range(40)]
    thin = [gate for gate in gates if gate.min() == 0]
    assert all(gate.min() == 1 for gate in gates if gate.min() > 0)
    assert 15 <= len(thin) <= 33
    for gate in thin:
        assert np.count_nonzero(gate < 0.5) / 22050 == pytest.approx(4.0, abs=0.1)
        start = np.flatnonzero(gate < 0.5)[0] / 22050
        assert abs(start / 2.0 - round(start / 2.0)) < 0.02


# Synthesis


def test_the_same_bytes_in_another_process(demo: Path, tmp_path: Path) -> None:
    some = {track.track_id: track for track in TRACKS[::3]}
    assert {track.label for track in some.values()} == {track.label for track in TRACKS}
    assert {track.form for track in some.values()} >= {track.form for track in RECORDINGS}
    code = (
        f"tracks = s.list_tracks()[::3]; s.list_tracks = lambda: tracks; "
        f"s.synthesise(pathlib.Path({str(tmp_path)!r}))"
    )
    assert in_another_process(code) == 0
    ours, theirs = contents(demo), contents(tmp_path)
    assert [name for name in some if ours[name] != theirs[name]] == []


def test_a_track_does_not_depend_on_those_before_it(demo: Path) -> None:
    for track in reversed(TRACKS[::9]):
        assert synthesis.encode(track) == (demo / track.track_id).read_bytes()


def test_an_ogg_stream_keeps_its_samples_but_not_its_serial_number(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 100_000)
    path = tmp_path / "noise.ogg"
    soundfile.write(path, noise, 22050)
    plain = path.read_bytes()
    before, _ = soundfile.read(path)
    steady = synthesis.without_serial_number(plain)
    path.write_bytes(steady)
    after, _ = soundfile.read(path)
    # A page with a wrong checksum is skipped by the decoder.
    np.testing.assert_array_equal(after, before)
    other = bytearray(plain)
    for start in (k for k in range(len(plain)) if plain.startswith(b"OggS", k)):
        assert steady[start + 14 : start + 18] == bytes(4)
        other[start + 14 : start + 18] = b"\x12\x34\x56\x78"
    assert synthesis.without_serial_number(bytes(other)) == steady
    assert len(steady) == len(plain)


def test_a_second_run_writes_nothing(demo: Path) -> None:
    before = modified(demo)
    calls: list[tuple[int, int]] = []
    synthesis.synthesise(demo, progress=lambda done, total: calls.append((done, total)))
    assert modified(demo) == before
    total = len(TRACKS) + 1
    assert calls == [(done, total) for done in range(1, total + 1)]


@pytest.mark.parametrize(
    "spoil",
    [
        Path.unlink,
        lambda path: os.truncate(path, path.stat().st_size // 2),
        lambda path: path.write_bytes(bytes(path.stat().st_size)),
    ],
)
@pytest.mark.parametrize("victim", ["a track", "labels.csv"])
def test_only_damaged_files_are_restored(
    spoil, victim: str, few: tuple[synthesis.Track, ...], tmp_path: Path
) -> None:
    synthesis.synthesise(tmp_path)
    whole, before = contents(tmp_path), modified(tmp_path)
    path = tmp_path / (few[1].track_id if victim == "a track" else victim)
    spoil(path)
    synthesis.synthesise(tmp_path)
    assert contents(tmp_path) == whole
    after = modified(tmp_path)
    touched = {path.name for path in after if after[path] != before[path]}
    assert touched == {path.name, ".synthesis.json"}


@pytest.mark.parametrize(
    "marker",
    [
        *(None, b"", b"{", b"[]", b"null", b"\xff\xfe"),
        *(b'{"version": 1}', b'{"version": 1, "files": 3}'),
    ],
)
def test_without_a_valid_marker_all_files_are_made_again(
    marker: bytes | None, few: tuple[synthesis.Track, ...], tmp_path: Path
) -> None:
    synthesis.synthesise(tmp_path)
    whole = contents(tmp_path)
    path = tmp_path / ".synthesis.json"
    path.unlink()
    if marker is not None:
        path.write_bytes(marker)
    (tmp_path / few[0].track_id).write_bytes(b"from elsewhere")
    synthesis.synthesise(tmp_path)
    assert contents(tmp_path) == whole


def test_files_of_another_version_are_replaced_and_other_files_stay(
    few: tuple[synthesis.Track, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synthesis.synthesise(tmp_path)
    foreign = tmp_path / "ambient" / "my own.wav"
    foreign.write_bytes(b"mine")
    before = modified(tmp_path)
    monkeypatch.setattr(synthesis, "VERSION", synthesis.VERSION + 1)
    synthesis.synthesise(tmp_path)
    after = modified(tmp_path)
    assert [path for path in before if after[path] == before[path]] == [foreign]
    assert foreign.read_bytes() == b"mine"


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("completed", range(8))  # a file, its marker, a file, its marker, …
def test_an_interrupted_write_leaves_no_partial_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, completed: int
) -> None:
    broken, whole = tmp_path / "broken", tmp_path / "whole"
    synthesis.synthesise(whole)
    write, writes = Path.write_bytes, itertools.count()

    def interrupted(path: Path, data: bytes) -> int:
        if next(writes) == completed:
            write(path, data[: len(data) // 2])
            raise KeyboardInterrupt
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", interrupted)
    with pytest.raises(KeyboardInterrupt):
        synthesis.synthesise(broken)
    for name, data in contents(broken).items():
        assert Path(name).name.startswith(".") or data == contents(whole)[name]
    synthesis.synthesise(broken)
    assert contents(broken) == contents(whole)


def test_a_killed_run_is_taken_up_where_it_ended(
    tmp_path: Path, demo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = (
        "def die(done, total):\n"
        "    if done == 3: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"s.synthesise(pathlib.Path({str(tmp_path)!r}), progress=die)"
    )
    assert in_another_process(code) == -signal.SIGKILL
    done = modified(tmp_path)
    assert {path.name for path in done} == {
        *(Path(track.track_id).name for track in TRACKS[:3]),
        ".synthesis.json",
    }
    monkeypatch.setattr(synthesis, "list_tracks", lambda: TRACKS[:5])
    synthesis.synthesise(tmp_path)
    after = modified(tmp_path)
    assert all(after[path] == done[path] for path in done if path.name != ".synthesis.json")
    for track in TRACKS[:5]:
        ours = (tmp_path / track.track_id).read_bytes()
        assert ours == (demo / track.track_id).read_bytes()
