"""Files of arrays: whole ones are read, all others are refused."""

import io

import numpy as np
import pytest

from training.arrays import from_npz, numbers, sorted_strings, strings, to_npz

ARRAYS = {
    "mean": np.array([0.5, np.pi]),
    "classes": np.array(["Łódź", "rock"]),
    "widths": np.array([5, 58]),
    "name": np.array("rich"),
}


def test_arrays_survive_to_the_bit_and_always_in_the_same_bytes() -> None:
    data = to_npz(ARRAYS)
    assert to_npz(ARRAYS) == data
    found = from_npz(data)
    assert list(found) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


def test_a_damaged_file_is_refused() -> None:
    data = to_npz({"mean": np.arange(100.0)})
    for wrong in (b"", b"PK", data[: len(data) // 2], data[:-30], b"x" * 100, b"\x93NUMPY"):
        with pytest.raises(ValueError, match="is not an npz file of numbers"):
            from_npz(wrong)
    refused = 0
    for position in range(0, len(data), 3):
        damaged = bytearray(data)
        damaged[position] ^= 0x20
        try:
            found = from_npz(bytes(damaged))
        except ValueError:
            refused += 1
            continue
        # A date or another name.
        for array in found.values():
            np.testing.assert_array_equal(array, np.arange(100.0))
    assert refused > 0.7 * len(data) / 3


def test_one_array_of_npy_is_no_npz() -> None:
    file = io.BytesIO()
    np.save(file, np.arange(3.0))
    with pytest.raises(ValueError, match="is not an npz file"):
        from_npz(file.getvalue())


def test_a_small_file_does_not_fill_the_memory() -> None:
    file = io.BytesIO()
    np.savez_compressed(file, mean=np.zeros(1000))
    with pytest.raises(ValueError, match="its arrays are compressed"):
        from_npz(file.getvalue())


def test_a_pickle_is_never_loaded() -> None:
    file = io.BytesIO()
    np.savez(file, mean=np.array([{"a": 1}], object))
    with pytest.raises(ValueError, match="is not an npz file of numbers"):
        from_npz(file.getvalue())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (None, "mean is missing"),
        (np.zeros(2, np.float32), "mean has the type float32 instead of float64"),
        (np.zeros((2, 1)), r"mean has the shape \(2, 1\) instead of \(2,\)"),
        (np.array([0.0, np.nan]), "mean has values that are not finite"),
        (np.array([0.0, -np.inf]), "mean has values that are not finite"),
    ],
)
def test_unexpected_numbers_are_refused(wrong: np.ndarray | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        numbers({} if wrong is None else {"mean": wrong}, "mean", 2)
    assert numbers({"mean": np.ones((3, 2)).T}, "mean", 2, 3).flags.c_contiguous


def test_unexpected_strings_are_refused() -> None:
    with pytest.raises(ValueError, match="classes is missing"):
        strings({}, "classes")
    for wrong in (np.array("rock"), np.array([1.0]), np.array([b"rock"])):
        with pytest.raises(ValueError, match="classes is not a list of strings"):
            strings({"classes": wrong}, "classes")
    with pytest.raises(ValueError, match="classes has a name twice"):
        strings({"classes": np.array(["rock", "rock"])}, "classes")
    unsorted = {"classes": np.array(["rock", "jazz"])}
    assert strings(unsorted, "classes") == ("rock", "jazz")
    with pytest.raises(ValueError, match="classes is not in ascending order"):
        sorted_strings(unsorted, "classes")
