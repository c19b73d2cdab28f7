"""A decoded recording, and the outcomes that both decoders share."""

from dataclasses import dataclass

import numpy as np

from featurizer.errors import RecordingError
from featurizer.formats import Container
from featurizer.mono_signal import MonoSignal

NO_SAMPLES = "no samples"
"""Reason of a decoder that finds no samples in a file."""

MIN_MISSING_S = 0.1
"""Seconds that must be missing from a recording for it to get a note."""

MIN_SHARE = 0.6
"""Share of a damaged recording that must be decoded for it to be kept."""


SILENT = "The recording is silent."
"""Note on a recording without any sample other than 0."""


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


@dataclass(frozen=True)
class Decoded:
    """Samples that a decoder read from a recording, and how complete they are.

    Parameters
    ----------
    signal : MonoSignal
        All decoded samples, at least one.
    sample_rate, channels : int > 0
        Sample rate in Hz and channels of the file; those of its start if they change.
    promised_s : float or None
        Duration in the header, in seconds.
    size : int > 0
        Size of the encoded samples in bytes.
    intact : int >= 0
        Offset in bytes of the end of the samples before the first damage, or shortly before it.
    unread : int > 0
        Offset of the first byte that the decoder did not search for samples.
    damaged_s : float >= 0
        Approximate duration that the decoder left out because it is damaged, in seconds.
    failure : str or None
        The decoder's reason for leaving something out.
    """

    signal: MonoSignal
    sample_rate: int
    channels: int
    promised_s: float | None
    size: int
    intact: int
    unread: int
    damaged_s: float = 0.0
    failure: str | None = None

    @property
    def seconds(self) -> float:
        """Duration of the decoded samples, in seconds."""
        return self.signal.seconds

    @property
    def lost_s(self) -> float:
        """Duration lost to damage; 0 if as much was decoded as the header promises.

        Bytes that were inserted into a recording look like damage, but replace nothing.
        """
        if self.promised_s is None or abs(self.promised_s - self.seconds) > MIN_MISSING_S:
            return self.damaged_s
        return 0.0

    @property
    def missing_s(self) -> float:
        """Duration that is lost or that the header promises, but the samples do not have."""
        return max(self.lost_s, (self.promised_s or 0.0) - self.seconds)


def finish_recording(
    decoded: Decoded, container: Container, *, undecoded_s: float = 0.0, is_cut: bool = False
) -> Recording:
    """Finish the signal of a decoded recording, and describe the recording.

    Parameters
    ----------
    decoded : Decoded
    container : Container
    undecoded_s : float >= 0
        Approximate duration of what follows the last sample in the file, in seconds.
    is_cut : bool
        Whether the file ends within a frame or before the end that its format marks.

    Returns
    -------
    Recording
        With a note where more than 0.1 s is missing, the file was cut, or a recording without
        a length is damaged.

    Raises
    ------
    RecordingError
        Of kind unreadable, if damage leaves less than 60 % of the recording.

    Examples
    --------
    >>> signal = MonoSignal(22050, expected_s=1.0, deadline=None)
    >>> signal.append_mean(np.zeros((2, 22050), dtype=np.float32))
    >>> decoded = Decoded(signal, 22050, 2, 3.0, size=88200, intact=88244, unread=88244)
    >>> finish_recording(decoded, Container("WAV", "wav")).note
    'The recording ends after 1.0 s, but its header promises 3.0 s.'
    """
    seconds, lost_s = decoded.seconds, decoded.lost_s
    if decoded.failure is not None and seconds < MIN_SHARE * (seconds + lost_s):
        raise RecordingError(
            "unreadable",
            f"Only {seconds:.1f} s of about {seconds + lost_s:.1f} s of the {container.name} file"
            f" could be decoded ({decoded.failure}); at least {MIN_SHARE:.0%} is needed."
            " Replace the file with an undamaged copy.",
        )
    note = None
    unkept_s = (decoded.promised_s or 0.0) - seconds
    if unkept_s > max(lost_s, MIN_MISSING_S):
        note = (
            f"The recording ends after {seconds:.1f} s, but its header promises"
            f" {decoded.promised_s:.1f} s."
        )
    elif lost_s > MIN_MISSING_S:
        note = (
            f"The file is damaged: {seconds:.1f} s of about {seconds + lost_s:.1f} s"
            " could be decoded."
        )
    elif undecoded_s > MIN_MISSING_S:
        note = (
            f"The recording ends after {seconds:.1f} s, but the size of its file suffices for"
            f" {seconds + undecoded_s:.1f} s."
        )
    elif is_cut:
        note = (
            f"The file was cut off: its last frame or page, after {seconds:.1f} s, is incomplete."
        )
    elif decoded.promised_s is None and lost_s > 0:
        note = (
            f"The file is damaged: {seconds:.1f} s could be decoded, but no length in it shows"
            " whether more is missing."
        )
    y = decoded.signal.finish()
    return Recording(y, seconds, decoded.sample_rate, decoded.channels, note)
