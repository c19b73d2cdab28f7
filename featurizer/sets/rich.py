"""The 458 rich features: how the sound moves, its harmony seen from its own key, its contrast.

Means of spectra tell a recording's mastering, and so its artist. How the sound moves within a
second and from second to second tells more of its genre. Names are ``block_stream_statistic``,
numbered from 0.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from featurizer.bands import (
    CONTRAST_EDGES_HZ,
    GROUP_EDGES,
    MODULATION_EDGES_HZ,
    N_CEPSTRA,
    N_COARSE_MELS,
    SCALARS,
)
from featurizer.columns import SAMPLE_RATE
from featurizer.feature_set import Column, FeatureSet
from featurizer.sources import (
    ELLIS_2007,
    HARTE_2006,
    JIANG_2002,
    LEE_2009,
    PAMPALK_2002,
    TZANETAKIS_2002,
)

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from featurizer.curves import Curves
    from featurizer.rich_accumulator import RichAccumulator

_MIN_SECONDS = 10


def _hertz(edges: Sequence[float], i: int) -> str:
    low, high = (f"{float(f'{edge:.4g}'):g}" for edge in edges[i : i + 2])
    return f"{low}-{high} Hz"


_CONTRAST_BANDS = [_hertz(CONTRAST_EDGES_HZ, b) for b in range(len(CONTRAST_EDGES_HZ) - 1)]
_CEPSTRA = [(f"mfcc{i:02d}", f"cepstral coefficient {i}", "dB") for i in range(N_CEPSTRA)]


def _texture() -> list[Column]:
    contrasts = [
        (f"contrast{b}", f"contrast of {band}", "dB") for b, band in enumerate(_CONTRAST_BANDS)
    ]
    units = ["ln Hz"] * 6 + ["1", "1", "neper", "1"]
    scalars = [(name, name, unit) for name, unit in zip(SCALARS, units, strict=True)]
    return [
        Column(
            f"texture_{name}_{statistic}",
            "texture",
            f"ln {unit}" if log else "1",
            f"{meaning} {stream}",
            TZANETAKIS_2002,
        )
        for statistic, meaning, log in (
            ("logstd_of_means", "log of the spread over seconds of the mean of", True),
            ("mean_of_logstds", "mean over seconds of the log spread within of", True),
            ("std_of_logstds", "spread over seconds of the log spread within of", False),
        )
        for name, stream, unit in _CEPSTRA + contrasts + scalars
    ]


def _modulation() -> list[Column]:
    streams = [(name, meaning, LEE_2009) for name, meaning, _ in _CEPSTRA]
    for part in ("percussive", "harmonic"):
        for group, (first, stop) in enumerate(zip(GROUP_EDGES, GROUP_EDGES[1:], strict=False)):
            meaning = (
                f"the level of the {part} part in mel bands {first}-{stop - 1} of {N_COARSE_MELS}"
            )
            streams.append((f"{part}{group}", meaning, PAMPALK_2002))
    return [
        Column(
            f"modulation_{name}_band{b}",
            "modulation",
            "ln dB^2",
            f"log of the modulation power at {_hertz(MODULATION_EDGES_HZ, b)} of {meaning}",
            source,
        )
        for name, meaning, source in streams
        for b in range(len(MODULATION_EDGES_HZ) - 1)
    ]


def _tonnetz() -> list[Column]:
    return [
        Column(
            f"tonnetz_{circle}_{statistic}",
            "tonnetz",
            "1",
            f"{meaning}, circle of {circle.replace('_', ' ')}",
            HARTE_2006,
        )
        for statistic, meaning in (
            ("radius_mean", "mean distance of a frame from the centre"),
            ("radius_std", "spread of that distance"),
            ("centre_radius", "distance of the mean position from the centre"),
            ("spread", "spread of the position, both coordinates added"),
            ("change_spread", "spread of the step from frame to frame, both coordinates added"),
        )
        for circle in ("fifths", "minor_thirds", "major_thirds")
    ]


def _chroma() -> list[Column]:
    def column(name: str, unit: str, meaning: str) -> Column:
        return Column(f"chroma_{name}", "chroma", unit, meaning, ELLIS_2007)

    return [
        *(
            column(
                f"above{i:02d}_{statistic}",
                "1",
                f"{statistic} of the pitch class {i} semitones above the strongest (graded)",
            )
            for statistic in ("mean", "std")
            for i in range(12)
        ),
        *(
            column(name.format(i), "1", f"{i} cycles an octave in the Fourier transform {meaning}")
            for name, meaning in (
                ("dft{}_of_mean", "of the mean chroma"),
                ("dft{}_mean", "of a frame's chroma, mean"),
                ("dft{}_std", "of a frame's chroma, spread"),
            )
            for i in range(1, 7)
        ),
        column("entropy_mean", "neper", "mean entropy of a frame's chroma"),
        column("entropy_std", "neper", "spread of that entropy"),
        column("change_mean", "1", "mean change of the chroma from frame to frame"),
        column("change_std", "1", "spread of that change"),
        column("entropy_of_mean", "neper", "entropy of the mean chroma"),
    ]


def _contrast() -> list[Column]:
    columns = []
    for measure, unit in (
        ("contrast", "dB"),
        ("valley", "dB"),
        ("flatness", "neper"),
        ("crest", "dB"),
    ):
        for statistic in ("mean", "std"):
            for b, band in enumerate(_CONTRAST_BANDS):
                name, meaning = statistic, f"{statistic} of the {measure} of {band}"
                if (measure, statistic) == ("valley", "mean"):
                    name, meaning = "shape", f"{meaning}, less the mean of these over the bands"
                columns.append(
                    Column(f"contrast_{measure}{b}_{name}", "contrast", unit, meaning, JIANG_2002)
                )
    return columns


def _accumulator(y: "npt.NDArray[np.float32]", curves: "Curves | None") -> "RichAccumulator":
    from featurizer.rich_accumulator import RichAccumulator

    return RichAccumulator(y, curves)


FEATURE_SET = FeatureSet(
    name="rich",
    version="rich-458.1",
    columns=(*_texture(), *_modulation(), *_tonnetz(), *_chroma(), *_contrast()),
    levels=("track",),
    min_samples=_MIN_SECONDS * SAMPLE_RATE,
    dtype="float32",
    accumulator=_accumulator,
)
