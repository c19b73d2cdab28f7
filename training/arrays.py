"""Arrays of a model or metric in one file: NumPy's npz, never with a pickle."""

import io
import zipfile

import numpy as np

Arrays = dict[str, np.ndarray]
"""Arrays by name."""


def to_npz(arrays: Arrays) -> bytes:
    """Return arrays as the content of an npz file.

    Parameters
    ----------
    arrays : dict of str to np.ndarray
        Numbers and strings. The same arrays give the same bytes.

    Examples
    --------
    >>> from_npz(to_npz({"mean": np.array([0.5, 2.0])}))
    {'mean': array([0.5, 2. ])}
    """
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **arrays)
    return file.getvalue()


def from_npz(data: bytes) -> Arrays:
    """Return the arrays of an npz file.

    Raises
    ------
    ValueError
        It is not an npz file, is damaged or compressed, or contains a pickle.
    """
    try:
        # A small compressed file could fill the memory.
        if any(one.compress_type for one in zipfile.ZipFile(io.BytesIO(data)).infolist()):
            raise ValueError("its arrays are compressed")
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            return dict(file.items())
    except Exception as error:  # a damaged archive raises nearly anything
        raise ValueError(f"is not an npz file of numbers ({error})") from None


def numbers(arrays: Arrays, name: str, *shape: int) -> np.ndarray:
    """Return finite numbers of an expected shape.

    Parameters
    ----------
    arrays : dict of str to np.ndarray
        Arrays of a file.
    name : str
        Name of the array.
    shape : int
        Expected shape.

    Returns
    -------
    np.ndarray [shape=shape, float64]

    Raises
    ------
    ValueError
        The array is missing, or has another type or shape, or NaN or inf.

    Examples
    --------
    >>> numbers({"mean": np.array([0.5, 2.0])}, "mean", 2)
    array([0.5, 2. ])
    >>> numbers({"mean": np.array([0.5, 2.0])}, "mean", 57)
    Traceback (most recent call last):
    ValueError: mean has the shape (2,) instead of (57,)
    """
    array = _array(arrays, name)
    if array.dtype != np.float64:
        raise ValueError(f"{name} has the type {array.dtype} instead of float64")
    if array.shape != shape:
        raise ValueError(f"{name} has the shape {array.shape} instead of {shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} has values that are not finite")
    return np.ascontiguousarray(array)


def strings(arrays: Arrays, name: str) -> tuple[str, ...]:
    """Return distinct strings.

    Raises
    ------
    ValueError
        The array is missing, is not a list of strings, or contains one twice.

    Examples
    --------
    >>> strings({"classes": np.array(["jazz", "rock"])}, "classes")
    ('jazz', 'rock')
    """
    array = _array(arrays, name)
    if array.ndim != 1 or array.dtype.kind != "U":
        raise ValueError(f"{name} is not a list of strings")
    found = tuple(array.tolist())
    if len(set(found)) < len(found):
        raise ValueError(f"{name} has a name twice")
    return found


def sorted_strings(arrays: Arrays, name: str) -> tuple[str, ...]:
    """Return distinct strings in ascending order; ValueError as for :func:`strings`, or unsorted.

    Examples
    --------
    >>> sorted_strings({"classes": np.array(["rock", "jazz"])}, "classes")
    Traceback (most recent call last):
    ValueError: classes is not in ascending order
    """
    found = strings(arrays, name)
    if list(found) != sorted(found):
        raise ValueError(f"{name} is not in ascending order")
    return found


def _array(arrays: Arrays, name: str) -> np.ndarray:
    if name not in arrays:
        raise ValueError(f"{name} is missing")
    return arrays[name]
