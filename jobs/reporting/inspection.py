"""The pictures and the facts of one recording, as PNGs and one page."""

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from featurizer.columns import FEATURE_COLUMNS, SAMPLE_RATE, SEGMENT_SECONDS
from jobs.errors import UsageError
from jobs.inputs.recordings import decode_recording
from jobs.learning import registry
from jobs.learning.predict_files import (
    FilePrediction,
    load_champion_for_files,
    predict_features,
)
from jobs.progress import Progress, printable
from jobs.reporting.overview import label_styles
from jobs.store.atomic import check_writable, write_file
from jobs.store.counts import count_labels
from jobs.store.tables import Store, open_store
from jobs.store.track_names import ambiguity_error, matching_tracks
from pages.style import LabelStyles, display_name
from training.model import Description

if TYPE_CHECKING:
    from featurizer.curves import Curves
    from featurizer.extract import Features
    from pages.page import Page, Section
    from pages.picture import Picture

PAGE = "index.html"
FRAMES = "frames.parquet"
"""A row a frame: ``time_s``, :data:`featurizer.curves.FRAME_CURVES`, ``onset_strength``."""


@dataclass(frozen=True)
class Facts:
    """What a recording is.

    Parameters
    ----------
    file : str
        As it was given.
    sample_rate, channels : int
        The file's own.
    analysed_rate : int
        Samples a second of what is analysed: 22,050.
    samples : int
        Samples that are analysed.
    seconds : float
        Length of the recording.
    trimmed_samples : int
        Those left without the silence before and after, 60 dB below the loudest frame.
    zero_crossings : int
        Samples of another sign than the one before.
    tempo : float
        In beats a minute; 0 where there is no onset.
    note : str or None
        What is odd about the file.
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
        """What is left without the silence around it."""
        if self.trimmed_samples == self.samples:
            return "the same: nothing to trim"
        return f"{self.trimmed_samples:,} samples"

    @property
    def tempo_in_words(self) -> str:
        """The tempo, or why there is none."""
        return f"{self.tempo:,.3f} BPM" if self.tempo else "none: no onset"


@dataclass(frozen=True)
class Outcome:
    """What was found, and where it lies.

    Parameters
    ----------
    facts : Facts
        Of the recording.
    features : dict of str to float
        The 57.
    prediction : FilePrediction or None
        None without a model.
    model : str or None
        The version that predicted.
    folder, page : str
        What was written.
    pictures : list of str
        The names of the PNGs in the folder.
    """

    facts: Facts
    features: dict[str, float]
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
    """Analyse a recording, draw it, and write pictures and page.

    Parameters
    ----------
    recording : str
        The path of a file; or, with a store, one of its tracks or the end of its name.
    store : str or Store, optional
        A store, or its address, whose champion predicts the recording.
    out : str, optional
        Folder for pictures and page; by default ``inspect-`` and the file's name, in the working
        directory.
    progress : Progress, optional
        Shows the progress; by default lines on stderr.

    Returns
    -------
    Outcome

    Raises
    ------
    UsageError
        There is neither such a file nor such a track, or no store.
    SongmillError
        The file cannot be read as a recording, or the model does not fit.
    """
    from featurizer.curves import Curves
    from featurizer.extract import analyse

    store = open_store(store) if store else None
    progress = progress or Progress()
    path = _file(recording, store)
    model = None
    if store and registry.champion(store):
        model = load_champion_for_files(store)
    stem = os.path.splitext(os.path.basename(path.rstrip("/")))[0]
    folder = os.path.abspath(out or f"inspect-{printable(stem)}")
    check_writable(folder)
    progress.say(f"analysing {path}")
    with decode_recording(path) as heard:
        curves = Curves(heard.y)
        seconds = model.description.segment_seconds if model else SEGMENT_SECONDS
        features = analyse(heard, segment_seconds=seconds, curves=curves)
    styles = label_styles(count_labels(store)) if store else LabelStyles([])
    found = _Found(
        styles=styles,
        facts=_facts(path, features, curves),
        features=dict(zip(FEATURE_COLUMNS, features.track.tolist(), strict=True)),
        prediction=predict_features(model, path, features) if model else None,
        model=model.description if model else None,
    )
    return _write(folder, found, curves, progress)


def _file(recording: str, store: Store | None) -> str:
    """Return the path of the file that is meant."""
    if os.path.isfile(recording) or "://" in recording:
        return recording
    if os.path.isdir(recording):
        raise UsageError(f"{recording} is a folder: name one recording in it")
    if store is None:
        raise UsageError(
            f"there is no file {recording}: name a recording, or with --store one of its tracks"
        )
    files = store.read("files", ["track_id", "uri"])
    tracks = files["track_id"]
    places = matching_tracks(tracks, recording)
    if not places:
        raise UsageError(
            f"{recording!r} is no file, and no track of the store {store.storage.root}: name the "
            "path of a recording, or a track or the end of its name"
        )
    if len(places) > 1:
        raise ambiguity_error(tracks, recording, places)
    path = str(files["uri"][places[0]].as_py())
    if "://" not in path and not os.path.isfile(path):
        track = tracks[places[0]].as_py()
        raise UsageError(f"the file of the track {track!r} is not there: {path}")
    return path


def _facts(path: str, features: "Features", curves: "Curves") -> Facts:
    from featurizer.waveform import zero_crossings

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
        tempo=float(features.track[FEATURE_COLUMNS.index("tempo")]),
        note=features.note,
    )


@dataclass(frozen=True)
class _Found:
    styles: LabelStyles
    facts: Facts
    features: dict[str, float]
    prediction: FilePrediction | None
    model: Description | None


def _write(folder: str, found: _Found, curves: "Curves", progress: Progress) -> Outcome:
    from pages import recording
    from pages.page import render

    progress.say("drawing")
    pictures: list[Picture] = []
    for picture in recording.pictures(curves, found.facts.tempo):
        progress.show(f"drawing: {len(pictures) + 1} pictures")
        pictures.append(picture)
    predicted = None
    if found.prediction and found.prediction.segments and found.model:
        classes = found.model.classes
        segments = found.prediction.segments
        predicted = recording.predicted_over_time(
            recording.SegmentProbabilities(
                segment_s=found.model.segment_seconds,
                classes=classes,
                probabilities=np.array(
                    [[one.probabilities[name] for name in classes] for one in segments]
                ),
            ),
            found.styles,
        )
    every = [*pictures, *([predicted] if predicted else [])]
    for picture in every:
        write_file(os.path.join(folder, f"{picture.name}.png"), picture.default.png)
    frames = pa.BufferOutputStream()
    pq.write_table(_frames(curves), frames)
    write_file(os.path.join(folder, FRAMES), frames.getvalue().to_pybytes())
    page = os.path.join(folder, PAGE)
    write_file(page, render(_page(found, pictures, predicted)))
    return Outcome(
        facts=found.facts,
        features=found.features,
        prediction=found.prediction,
        model=found.model.version if found.model else None,
        folder=folder,
        page=page,
        pictures=[f"{picture.name}.png" for picture in every],
    )


def _frames(curves: "Curves") -> pa.Table:
    from featurizer.curves import FRAME_CURVES

    columns = {"time_s": curves.times_s}
    columns |= {name: curves.frames[:, i] for i, name in enumerate(FRAME_CURVES)}
    return pa.table({**columns, "onset_strength": curves.onset_strength})


def _page(found: _Found, pictures: "list[Picture]", predicted: "Picture | None") -> "Page":
    from pages.page import Cell, Content, Page, Section, Table, number

    facts = found.facts
    shown = [
        ("sample rate of the file", f"{facts.sample_rate:,} Hz"),
        ("channels of the file", f"{facts.channels}"),
        ("length", f"{facts.seconds:,.3f} s"),
        (f"samples at {facts.analysed_rate:,} Hz", f"{facts.samples:,}"),
        ("without silence around it", facts.trimmed_in_words),
        ("zero crossings", f"{facts.zero_crossings:,}"),
        ("tempo", facts.tempo_in_words),
        *([("remark", printable(facts.note))] if facts.note else []),
    ]
    rows = [[Cell(name), number(value, ".6g")] for name, value in found.features.items()]
    sections = [
        Section("facts", "Facts", Content(facts=shown)),
        *_predicted(found, predicted),
        Section("pictures", "Pictures", Content(pictures=pictures)),
        Section(
            "features",
            "The 57 features",
            Content(
                text="The mean and the variance of each curve over the whole recording, as they "
                "stand in a store's table.",
                tables=(Table("Features of the recording", ("feature", "value"), rows),),
            ),
        ),
    ]
    name = printable(os.path.basename(facts.file.rstrip("/")))
    return Page(
        title=name, text=f"What songmill makes of {printable(facts.file)}.", sections=sections
    )


def _predicted(found: _Found, picture: "Picture | None") -> "list[Section]":
    from pages.page import Cell, Content, Section, Table, number

    prediction, model = found.prediction, found.model
    if prediction is None or model is None:
        return []
    rows = [
        [
            Cell(display_name(printable(name)), colour=found.styles.colour(name)),
            number(share, ".3f"),
        ]
        for name, share in prediction.probabilities.items()
    ]
    how = "the mean over its segments" if prediction.segments else "of the whole"
    return [
        Section(
            "predicted",
            "What it sounds like",
            Content(
                text=f"{printable(prediction.predicted or '')}, says the model {model.version}.",
                pictures=(picture,) if picture else (),
                tables=(
                    Table(f"Probability of each label, {how}", ("label", "probability"), rows),
                ),
            ),
        )
    ]
