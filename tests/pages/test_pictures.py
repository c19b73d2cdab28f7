"""Pictures: no text is cut off, and the alternative text states what the picture shows."""

import io
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image
from support.cut_off import watch_for_cut_off_texts

from featurizer.analysis import signal_rows
from featurizer.curves import Curves
from featurizer.feature_set import feature_set
from pages import collection, models, picture, recording
from pages.picture import Box, Painter, Picture, draw
from pages.statistics import Components, Distribution, correlations
from pages.style import (
    COLOURS,
    LIGHT,
    NARROW,
    SCHEMES,
    WIDE,
    LabelStyles,
    ScreenWidth,
    Variant,
    shorten,
)

GTZAN = feature_set("gtzan")

NAMES = {
    "one": ["rock"],
    "ten": ["blues", "classical", "country", "disco", "hiphop", "jazz", "metal", "pop", "x", "y"],
    "odd": ["$\\frac$", "<script>", "a" * 300, "Ångström – 音楽", "tab\there", "_x_", "&amp;", "$"],
    "twenty": [f"a label of some length {i}" for i in range(20)],
}


@pytest.fixture(autouse=True)
def nothing_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    # Dark pictures have the same layout as light ones and take as long to draw.
    monkeypatch.setattr(picture, "SCHEMES", (LIGHT,))
    with watch_for_cut_off_texts(monkeypatch) as cut:
        yield
        assert cut == []


@pytest.fixture
def only_narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the wide pictures, which show the same numbers with more room for their texts."""
    png = picture._png

    def narrow_png(paint: Painter, variant: Variant, height: int) -> tuple[bytes, Box]:
        return png(paint, variant, height) if variant.width is NARROW else (b"", Box(0, 0, 1, 1))

    monkeypatch.setattr(picture, "_png", narrow_png)


def check(found: Picture) -> None:
    assert set(found.renderings) == {("wide", "light"), ("narrow", "light")}
    assert len(found.alt) > 30
    assert found.caption


def test_a_picture_has_a_png_for_every_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture, "SCHEMES", SCHEMES)
    found = models.confusion_matrix(["a", "b"], np.array([[3, 1], [2, 9]]), "tracks")
    assert set(found.renderings) == {(w, s) for w in ("wide", "narrow") for s in ("light", "dark")}
    for (width, scheme), rendering in found.renderings.items():
        image = Image.open(io.BytesIO(rendering.png))
        assert image.format == "PNG"
        assert rendering.width == (960 if width == "wide" else 360)
        assert image.size == (int(rendering.width * 1.6), int(rendering.height * 1.6))
        corner = np.asarray(image.convert("RGB"))[0, 0]
        assert (corner > 200).all() if scheme == "light" else (corner < 60).all()
    assert found.default is found.renderings["wide", "light"]


def test_a_picture_knows_where_its_axes_are() -> None:
    def paint(figure: Figure, variant: Variant) -> None:
        axes = figure.subplots()
        axes.set_facecolor("#ff0000")
        axes.set_ylabel("some unit")

    found = draw(paint, name="", title="", alt="", caption="", heights=(330, 250))
    for rendering in found.renderings.values():
        pixels = np.asarray(Image.open(io.BytesIO(rendering.png)).convert("RGB"))
        rows, columns = np.nonzero((pixels == (255, 0, 0)).all(axis=2))
        height, width = pixels.shape[:2]
        box = rendering.axes
        ends = (box.left, box.left + box.width, box.top, box.top + box.height)
        seen = [columns.min() / width, columns.max() / width, rows.min() / height]
        assert ends == pytest.approx([*seen, rows.max() / height], abs=0.01)


def pictures_of(y: np.ndarray) -> list[Picture]:
    curves = Curves(y.astype(np.float32))
    row = signal_rows(curves.y, ["gtzan"], curves=curves)["gtzan"]
    return list(recording.pictures(curves, float(row[GTZAN.names.index("tempo")])))


def rich_pictures_of(y: np.ndarray) -> list[Picture]:
    curves = Curves(y.astype(np.float32))
    signal_rows(curves.y, ["gtzan", "rich"], curves=curves)
    pictures = list(recording.rich_pictures(curves))
    names = ["contrast", "flux", "percussive-share", "harmonic-chroma"]
    assert [one.name for one in pictures] == names
    for found in pictures:
        check(found)
        assert "nan" not in found.alt + found.caption
    return pictures


def check_recording(pictures: list[Picture]) -> None:
    assert [one.name for one in pictures] == [
        *("waveform", "spectrogram", "mel-spectrogram", "harmonic-percussive", "centroid"),
        *("rolloff", "mfcc", "mfcc-scaled", "chromagram", "onset-strength"),
    ]
    for found in pictures:
        check(found)
        assert "nan" not in found.alt + found.caption


def signal(kind: str) -> np.ndarray:
    rng = np.random.default_rng(0)
    n = {"short": 1025, "hops": 3000, "song": 100_000, "minutes": 22050 * 75}.get(kind, 22050)
    t = np.arange(n) / 22050
    kinds = {
        "constant": np.full(n, 0.5),
        "faint": 1e-7 * rng.normal(size=n),
        "loud": 40 * np.sin(2 * np.pi * 440 * t),
        "click": (np.arange(n) == 5000).astype(float),
    }
    return kinds.get(kind, 0.3 * np.sin(2 * np.pi * 220 * t) + 0.05 * rng.normal(size=n))


def test_pictures_of_a_recording() -> None:
    check_recording(pictures_of(signal("song")))


def test_pictures_of_the_rich_streams_of_a_recording() -> None:
    t = np.arange(11 * 22050) / 22050
    beats = np.exp(-300 * (t % 0.5)) * np.random.default_rng(0).normal(size=len(t))
    alts = {
        one.name: one.alt for one in rich_pictures_of(0.2 * np.sin(2 * np.pi * 880 * t) + beats)
    }
    assert "largest from 800 – 1,600 Hz" in alts["contrast"]
    assert "On average the strongest are A," in alts["harmonic-chroma"]
    assert "The largest change is at " in alts["flux"]


@pytest.mark.usefixtures("only_narrow")
def test_the_rich_streams_of_silence_are_described_as_silent() -> None:
    for found in rich_pictures_of(np.zeros(11 * 22050)):
        assert found.alt.endswith("The recording is silent.")


@pytest.mark.parametrize("kind", ["short", "hops", "constant", "faint", "loud", "click", "minutes"])
@pytest.mark.usefixtures("only_narrow")
def test_pictures_of_an_unusual_recording(kind: str) -> None:
    check_recording(pictures_of(signal(kind)))


@pytest.mark.usefixtures("only_narrow")
def test_silence_is_described_as_silent_and_drawn_at_the_lowest_level(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    maps: list[tuple[np.ndarray, tuple[float, float]]] = []
    show = recording.librosa.display.specshow

    def specshow(values: np.ndarray, **options: Any) -> Any:
        mesh = show(values, **options)
        maps.append((values, mesh.get_clim()))
        return mesh

    monkeypatch.setattr(recording.librosa.display, "specshow", specshow)
    pictures = pictures_of(np.zeros(60_000))
    check_recording(pictures)
    alts = {one.name: one.alt for one in pictures}
    for name in ("spectrogram", "mel-spectrogram", "harmonic-percussive", "chromagram"):
        assert alts[name].endswith("The recording is silent.")
    assert alts["onset-strength"].endswith("It is 0 throughout. Tempo: none (no onset).")
    spectrogram, mel, mfcc, scaled, chroma = maps
    for values, limits in (spectrogram, mel):
        assert (values == -80).all()
        assert limits == (-80, 0)
    assert np.abs(mfcc[0][1:]).max() < 1e-6 * mfcc[1][1]
    assert not scaled[0].any()
    assert not chroma[0].any()


def test_the_text_alternatives_give_the_numbers_of_a_recording(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(picture, "_png", lambda *_: (b"", Box(0, 0, 1, 1)))
    t = np.arange(3 * 22050) / 22050
    alts = {one.name: one.alt for one in pictures_of(0.25 * np.sin(2 * np.pi * 440 * t))}
    assert "0.25 of full scale" in alts["waveform"]
    assert "about 441 Hz" in alts["spectrogram"]  # the nearest bin
    assert "the strongest are A," in alts["chromagram"]
    assert "harmonic part has 100% of the power" in alts["harmonic-percussive"]


@pytest.mark.parametrize(("names", "n"), [("one", 1), ("ten", 10), ("odd", 10), ("twenty", 700)])
def test_predictions_over_time(names: str, n: int) -> None:
    classes = sorted(NAMES[names])
    probabilities = np.random.default_rng(n).dirichlet(np.ones(len(classes)), n)
    segments = recording.SegmentProbabilities(3.0, classes, probabilities)
    found = recording.predicted_over_time(segments, LabelStyles(classes[:20]))
    check(found)
    best = np.bincount(probabilities.argmax(axis=1), minlength=len(classes))
    assert f"{classes[int(best.argmax())]} {best.max()}" in found.alt


@pytest.mark.parametrize("names", NAMES)
def test_box_plot(names: str) -> None:
    rng = np.random.default_rng(0)
    tempos = [Distribution(name, np.sort(rng.normal(120, 30, 40))) for name in NAMES[names]]
    found = collection.tempo_box_plot(tempos, LabelStyles(NAMES[names]), "all 40 tracks")
    check(found)
    highest = max(tempos, key=lambda one: float(np.median(one.values)))
    where = f"highest in {highest.label}, " if len(tempos) > 1 else "label rock. The median is "
    assert f"{where}{np.median(highest.values):.1f} BPM" in found.alt


@pytest.mark.parametrize(("names", "n"), [("one", 40), ("ten", 40), ("odd", 40), ("twenty", 3000)])
def test_scatter(names: str, n: int) -> None:
    points = np.random.default_rng(0).normal(size=(n, 2))
    labels = [NAMES[names][i % len(NAMES[names])] for i in range(n)]
    components = Components(points, (0.24394, 0.21782))
    found = collection.component_scatter(
        components,
        labels,
        LabelStyles(NAMES[names]),
        feature_set="gtzan",
        columns="the gtzan features",
        sample="tracks",
    )
    check(found)
    assert "0.24394 and 0.21782" in found.caption


def test_heatmap() -> None:
    rows = np.random.default_rng(0).normal(size=(30, 28))
    rows[:, 5] = -rows[:, 3]
    rows[:, 9] = 1.0
    names = [f"zero_crossing_rate{i}_mean" for i in range(28)]
    found = collection.correlation_heatmap("gtzan", names, correlations(rows), "all 30 tracks")
    check(found)
    assert f"{names[3]} and {names[5]} -1.00" in found.alt
    assert "28 columns" in found.alt
    unchanging = collection.correlation_heatmap(
        "gtzan", ["a", "b"], np.full((2, 2), np.nan), "tracks"
    )
    assert "none" in unchanging.alt


def test_heatmap_of_blocks() -> None:
    blocks = ["texture", "modulation", "tonnetz", "chroma", "contrast"]
    strengths = np.linspace(0, 1, 25).reshape(5, 5)
    strengths[2, 2] = np.nan
    found = collection.block_heatmap("rich", blocks, strengths, "all 30 tracks")
    check(found)
    assert found.alt.endswith("The strongest: contrast and contrast 1.00.")
    assert (
        "The strongest: none."
        in collection.block_heatmap("one", ["a"], np.full((1, 1), np.nan), "tracks").alt
    )


@pytest.mark.parametrize("names", NAMES)
def test_confusion(names: str) -> None:
    classes = NAMES[names]
    counts = np.random.default_rng(0).integers(0, 3000, (len(classes),) * 2)
    found = models.confusion_matrix(classes, counts, "the test tracks")
    check(found)
    assert f"{np.trace(counts):,} of {counts.sum():,}" in found.alt
    assert "mistake" not in models.confusion_matrix(classes, 0 * counts, "no tracks").alt


def test_changes_of_one_model_and_of_many() -> None:
    change = models.Change(-0.02, -0.12, 0.08)
    for count in (1, 12):
        names = [f"2026-03-{i + 1:02} 03:00" for i in range(count)]
        found = [
            models.ModelChanges(name, change, None if i else change) for i, name in enumerate(names)
        ]
        check(models.changes(found))
    check(models.changes([models.ModelChanges("2026-03-01 03:00", None, change)]))


def test_importance_and_scores() -> None:
    names = [f"spectral_bandwidth{i}_mean" for i in range(20)]
    check(models.importance_bars(names, np.linspace(0.1, -0.01, 20), [0.01] * 20, "segments"))
    days = [np.datetime64("2026-11-01T03:00") + np.timedelta64(i, "D") for i in range(40)]
    scores = [
        models.Score(day, 0.7, 0.75, i == 3, (0.6, 0.8) if i else None, (0.7, 0.8) if i else None)
        for i, day in enumerate(days)
    ]
    for some in (scores, scores[:2]):
        check(models.scores_over_time(some))


def test_a_label_keeps_its_colour_and_shape_and_twenty_are_told_apart() -> None:
    one = LabelStyles(["rock", "blues"])
    assert [one.colour("blues"), one.colour("rock")] == list(COLOURS[:2])
    assert one.colour("unknown") not in COLOURS
    names = [f"label {i:02}" for i in range(20)]
    many = LabelStyles(names)
    assert len({(many.colour(name), many.marker(name)) for name in names}) == 20
    assert len({many.colour(name) for name in names[:10]}) == 10


def test_a_long_name_loses_its_middle() -> None:
    assert shorten("rock") == "rock"
    assert shorten("a" * 30 + "b" * 30) == "aaaaaaaaaa…bbbbbbbbbb"
    assert "\n" not in shorten("two\nlines")


@pytest.mark.parametrize("width", [NARROW, WIDE])
def test_dates_of_any_range_have_a_few_ticks(width: ScreenWidth) -> None:
    locator = models._date_locator(Variant(LIGHT, width))
    start = datetime(2026, 11, 28, 1, 2, 3)
    for seconds in np.geomspace(5, 3e8, 60):
        ticks = locator.tick_values(start, start + timedelta(seconds=seconds))
        assert 1 <= len(ticks) <= 11
