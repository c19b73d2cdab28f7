"""A decoded recording, and the outcomes that both decoders share."""

from dataclasses import dataclass

import numpy as np

from featurizer.errors import RecordingError
from featurizer.formats import Container
from featurizer.mono_signal import MonoSignal

NO_SAMPLES = "no samples"
"""Reason of a decoder that finds no samples in a file."""

_MIN_MISSING_S = 0.1
"""Seconds that a recording must be shorter than its header says to get a note."""


@dataclass(frozen=True)
class Recording:
    """A decoded recording.

    Parameters
    ----------
    y : np.ndarray [shape=(n,), float32]
        Mono, at 22,050 Hz; full scale is 1.
    duration_s : float > 0
        Duration of the decoded samples, in seconds.
    sample_rate : int > 0
        Sample rate of the file, in Hz.
    channels : int > 0
        Channels of the file.
    note : str or None
        A remark for the user about a recording that decodes but is unusual.
    """

    y: np.ndarray
    duration_s: float
    sample_rate: int
    channels: int
    note: str | None


class RejectedByDecoderError(Exception):
    """A decoder does not accept the file; another one may."""


def finish_recording(signal: MonoSignal, channels: int, promised_s: float | None) -> Recording:
    """Finish a signal and describe the recording.

    Parameters
    ----------
    signal : MonoSignal
        All decoded samples.
    channels : int > 0
        Channels of the file.
    promised_s : float or None
        Duration in the header, in seconds.

    Returns
    -------
    Recording
        With a note where more than 0.1 s of the promised duration is missing.

    Raises
    ------
    RejectedByDecoderError
        The signal has no samples.

    Examples
    --------
    >>> signal = MonoSignal(22050, expected_s=1.0, deadline=None)
    >>> signal.append_mean(np.zeros((2, 22050), dtype=np.float32))
    >>> finish_recording(signal, channels=2, promised_s=3.0).note
    'The recording ends after 1.0 s, but its header promises 3.0 s.'
    """
    if signal.frames == 0:
        raise RejectedByDecoderError(NO_SAMPLES)
    seconds = signal.seconds
    note = None
    if promised_s is not None and promised_s - seconds > _MIN_MISSING_S:
        note = (
            f"The recording ends after {seconds:.1f} s, but its header promises {promised_s:.1f} s."
        )
    return Recording(signal.finish(), seconds, signal.sample_rate, channels, note)


def decoder_failure(container: Container, seconds: float, reason: object) -> RecordingError:
    """Return the error for a decoder that stops in the middle of a recording.

    Parameters
    ----------
    container : Container
    seconds : float >= 0
        Duration decoded so far.
    reason : object
        The decoder's own error text.

    Examples
    --------
    >>> print(decoder_failure(Container("FLAC", "flac"), 7.3, "lost sync"))
    The FLAC decoder gave up after 7.3 s (lost sync). Replace the file with an undamaged copy.
    """
    return RecordingError(
        "unreadable",
        f"The {container.name} decoder gave up after {seconds:.1f} s ({reason})."
        " Replace the file with an undamaged copy.",
    )
