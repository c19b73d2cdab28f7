"""Pictures and facts of one recording, as PNG files and one page."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from featurizer.columns import SAMPLE_RATE, SEGMENT_SECONDS
from featurizer.curves import FRAME_CURVES, Curves
from featurizer.extract import Features, analyse
from featurizer.feature_set import FeatureSet, feature_set
from featurizer.waveform import zero_crossings
from jobs.errors import UsageError
from jobs.inputs.path_text import to_text
from jobs.inputs.recordings import decode_recording
from jobs.learning import registry
from jobs.learning.predict_files import LEARNT, ChosenModel, FilePrediction
from jobs.progress import Progress, printable
from jobs.redaction import public_address
from jobs.reporting.listening import file_addresses
from jobs.reporting.overview import (
    feature_cell,
    label_styles,
    percentiles,
    recording_path,
    sample_tracks,
)
from jobs.store.address import absolute_path, expand_home
from jobs.store.atomic import check_writable, write_file
from jobs.store.counts import count_labels
from jobs.store.tables import Store, open_store
from jobs.store.track_names import (
    ambiguity_error,
    matching_tracks,
    similar_tracks,
    unknown_error,
)
from pages import recording as drawing
from pages.page import Cell, Content, Page, Recording, Section, Table, number, render
from pages.picture import Picture
from pages.style import display_name
from training.model import Description

_PUBLISHED, _RICH = feature_set("gtzan"), feature_set("rich")

PAGE = "index.html"
FRAMES = "frames.parquet"
"""Table of frames: ``time_s``, :data:`featurizer.curves.FRAME_CURVES`, ``onset_strength``.

With rich features also ``flux`` and ``percussive_share``.
"""


@dataclass(frozen=True)
class Facts:
    """Facts about a recording.

    Parameters
    ----------
    file : str
        Path of the file.
    sample_rate, channels : int
        Sample rate (Hz) and channels of the file.
    analysed_rate : int
        Sample rate of the analysis: 22,050 Hz.
    samples : int
        Samples at that rate.
    seconds : float
        Duration.
    trimmed_samples : int
        Samples without leading and trailing silence, 60 dB below the loudest frame.
    zero_crossings : int
        Sign changes between consecutive samples.
    tempo : float
        Tempo in BPM; 0 if there is no onset.
    note : str or None
        Irregularities of the file.
    """

    file: str
    sample_rate: int
    channels: int
    analysed_rate: int
    samples: int
    seconds: float
    trimmed_samples: int
    zero_crossings: int
    tempo: float
    note: str | None

    @property
    def trimmed_in_words(self) -> str:
        """The trimmed samples, as text."""
        if self.trimmed_samples == self.samples:
            return "the same: nothing to trim"
        return f"{self.trimmed_samples:,} samples"

    @property
    def tempo_in_words(self) -> str:
        """The tempo in BPM, as text."""
        return f"{self.tempo:,.3f} BPM" if self.tempo else "none: no onset"


@dataclass(frozen=True)
class Outcome:
    """Results of an inspection.

    Parameters
    ----------
    facts : Facts
        Facts about the recording.
    features : dict of str to float
        The published features (the set gtzan).
    rich : dict of str to float, or None
        The rich features; None if the recording is too short for them.
    prediction : FilePrediction or None
        Prediction of the champion; None without a champion.
    model : str or None
        Version of the champion.
    folder, page : str
        Paths of the folder and of the page in it.
    pictures : list of str
        Names of the PNG files in the folder.
    """

    facts: Facts
    features: dict[str, float]
    rich: dict[str, float] | None
    prediction: FilePrediction | None
    model: str | None
    folder: str
    page: str
    pictures: list[str]


def inspect(
    recording: str,
    *,
    store: str | Store | None = None,
    out: str | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """Analyse a recording, and write its pictures and a page.

    Parameters
    ----------
    recording : str
        Path of a file; with a store also one of its tracks, or the end of its name.
    store : str or Store, optional
        A store, or its address. Its champion predicts the recording, and its tracks are compared
        with it, feature by feature.
    out : str, optional
        Output folder; by default ``inspect-NAME`` in the working directory.
    progress : Progress, optional
        By default lines on stderr.

    Raises
    ------
    UsageError
        No file and no track has this name, or there is no store.
    SongmillError
        The file cannot be decoded, or the model does not fit this songmill.
    """
    store = open_store(store) if store else None
    progress = progress or Progress()
    path = _resolve_path(recording, store)
    shown = public_address(path)
    champion, uri = None, shown if "://" in shown else to_text(absolute_path(shown))
    if store and registry.champion(store):
        champion = ChosenModel(store, registry.load_champion(store).description, [uri])
    stem = os.path.splitext(os.path.basename(shown.rstrip("/")))[0]
    folder = absolute_path(out or f"inspect-{printable(stem)}")
    check_writable(folder)
    progress.step(f"analysing {shown}")
    with decode_recording(path) as audio:
        curves = Curves(audio.y)
        seconds, sets = SEGMENT_SECONDS, {_PUBLISHED.name, _RICH.name}
        if champion:
            seconds = champion.description.segment_seconds
            sets.add(champion.features.name)
        features = analyse(audio, sets=sorted(sets), segment_seconds=seconds, curves=curves)
    by_name, rich = _by_name(features, _PUBLISHED), _by_name(features, _RICH)
    assert by_name is not None
    facts = _facts(shown, features, curves, by_name["tempo"])
    tables = _feature_tables(features, store, progress)
    progress.step("drawing")
    pictures: list[Picture] = []
    of_rich = drawing.rich_pictures(curves) if rich else iter(())
    for picture in chain(drawing.pictures(curves, facts.tempo), of_rich):
        pictures.append(picture)
        progress.update_live(f"drawing: {len(pictures)} pictures")
    sections = _sections(facts, tuple(pictures), tables, features.rows[_RICH.name].too_short)
    prediction = None
    if store and champion:
        prediction = champion.predict(shown, uri, features)
        section = _prediction_section(store, champion.description, prediction)
        sections.insert(1, section)
        pictures += section.content.pictures
    for picture in pictures:
        write_file(os.path.join(folder, f"{picture.name}.png"), picture.default.png)
    columns = {"time_s": curves.times_s}
    columns |= {name: curves.frames[:, i] for i, name in enumerate(FRAME_CURVES)}
    columns["onset_strength"] = curves.onset_strength
    if rich:
        columns |= {"flux": curves.flux, "percussive_share": curves.percussive_share}
    frames = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), frames)
    write_file(os.path.join(folder, FRAMES), frames.getvalue().to_pybytes())
    name = printable(os.path.basename(shown.rstrip("/")))
    playable = file_addresses({name: path})
    page = Page(
        title=name,
        text=f"Facts, pictures and features of {printable(shown)}.",
        sections=sections,
        recording=Recording(name, playable[name]) if playable else None,
    )
    write_file(os.path.join(folder, PAGE), render(page))
    return Outcome(
        facts=facts,
        features=by_name,
        rich=rich,
        prediction=prediction,
        model=champion.description.version if champion else None,
        folder=folder,
        page=os.path.join(folder, PAGE),
        pictures=[f"{picture.name}.png" for picture in pictures],
    )


def _resolve_path(recording: str, store: Store | None) -> str:
    """Return the path of a file, or of a track's file."""
    recording = expand_home(recording)
    if os.path.isfile(recording) or "://" in recording:
        return recording
    if os.path.isdir(recording):
        raise UsageError(f"{recording} is a folder: name one recording in it")
    if store is None:
        raise UsageError(f"there is no file {recording}: name a recording, or with --store a track")
    files = store.read("files", ["track_id", "uri", "source"])
    tracks = files["track_id"]
    matches = matching_tracks(tracks, recording) or similar_tracks(tracks, recording)
    if not matches:
        raise unknown_error(tracks, recording, store.storage.root)
    if len(matches) > 1:
        raise ambiguity_error(tracks, recording, matches)
    track, uri, source = (str(column[matches[0]].as_py()) for column in files.itercolumns())
    path = recording_path(uri, source)
    if path is None:
        raise UsageError(
            f"the track {track!r} was imported from {source}, without its recording: name the file "
            "of the recording"
        )
    if "://" not in path and not os.path.isfile(path):
        raise UsageError(f"the file of the track {track!r} does not exist: {path}")
    return path


def _facts(path: str, features: Features, curves: Curves, tempo: float) -> Facts:
    start, stop = curves.trimmed()
    return Facts(
        file=path,
        sample_rate=features.sample_rate,
        channels=features.channels,
        analysed_rate=SAMPLE_RATE,
        samples=features.length,
        seconds=features.duration_s,
        trimmed_samples=stop - start,
        zero_crossings=zero_crossings(curves.y),
        tempo=tempo,
        note=features.note,
    )


def _by_name(features: Features, of: FeatureSet) -> dict[str, float] | None:
    """Return the features of the whole recording by name; None if it is too short."""
    track = features.rows[of.name].track
    return None if track is None else dict(zip(of.names, track.tolist(), strict=True))


def _feature_tables(features: Features, store: Store | None, progress: Progress) -> list[Table]:
    """Return a table of the features of each set, with percentiles where a store has the set."""
    tables = []
    for name, rows in features.rows.items():
        if rows.track is None:
            continue
        of = feature_set(name)
        columns, cells = (
            ["feature", "value"],
            [
                [feature_cell(column), number(value, ".6g")]
                for column, value in zip(of.columns, rows.track.tolist(), strict=True)
            ],
        )
        if store and store.settings.feature_sets.get(name) == of.version:
            progress.step(f"comparing with the {name} features of the store")
            sample = sample_tracks(store, name)
            if len(sample):
                columns.append("percentile")
                for row, value in zip(cells, percentiles(sample, rows.track), strict=True):
                    row.append(number(value, ".0f"))
        caption = f"The {len(of.columns)} {name} features"
        tables.append(Table(caption, columns, cells, collapsed=of is not _PUBLISHED))
    return tables


def _sections(
    facts: Facts, pictures: Sequence[Picture], tables: Sequence[Table], too_short: str | None
) -> list[Section]:
    shown_facts = [
        ("sample rate of the file", f"{facts.sample_rate:,} Hz"),
        ("channels of the file", f"{facts.channels}"),
        ("length", f"{facts.seconds:,.3f} s"),
        (f"samples at {facts.analysed_rate:,} Hz", f"{facts.samples:,}"),
        ("without silence around it", facts.trimmed_in_words),
        ("zero crossings", f"{facts.zero_crossings:,}"),
        ("tempo", facts.tempo_in_words),
        *([("remark", printable(facts.note))] if facts.note else []),
    ]
    text = "Those of the whole recording, as in a store's tables."
    if any("percentile" in table.columns for table in tables):
        text += " The percentile is the percentage of the store's tracks with a smaller value."
    if too_short:
        text += f" {too_short}"
    return [
        Section("facts", "Facts", Content(facts=shown_facts)),
        Section("pictures", "Pictures", Content(pictures=pictures)),
        Section("features", "Features", Content(text=text, tables=tables)),
    ]


def _prediction_section(store: Store, model: Description, prediction: FilePrediction) -> Section:
    title = "What it sounds like"
    if prediction.message:
        return Section("predicted", title, Content(text=prediction.message))
    styles = label_styles(count_labels(store))
    pictures = []
    if prediction.segments:
        by_segment = [
            [segment.probabilities[name] for name in model.classes]
            for segment in prediction.segments
        ]
        probabilities = drawing.SegmentProbabilities(
            model.segment_seconds, model.classes, np.array(by_segment)
        )
        pictures.append(drawing.predicted_over_time(probabilities, styles))
    rows = [
        [Cell(display_name(printable(name)), colour=styles.colour(name)), number(p, ".3f")]
        for name, p in prediction.probabilities.items()
    ]
    how = "mean over the segments" if prediction.segments else "from the whole recording"
    text = f"Predicted label: {printable(prediction.predicted or '')} (model {model.version})."
    if prediction.learnt:
        text += f" {LEARNT}"
    content = Content(
        text=text,
        pictures=pictures,
        tables=(Table(f"Probability of each label, {how}", ("label", "probability"), rows),),
    )
    return Section("predicted", title, content)
