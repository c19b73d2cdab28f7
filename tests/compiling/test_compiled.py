from compiling.compiled import compiled, inlined


def test_a_function_without_a_cache_folder_still_runs() -> None:
    # Numba finds no cache folder for a function without a source file.
    namespace = {}
    exec("def half(x):\n    return x / 2.0", namespace)
    assert compiled(namespace["half"])(3.0) == 1.5


def test_division_by_zero_gives_infinity_as_in_numpy() -> None:
    @inlined
    def inverse(x: float) -> float:
        return 1.0 / x

    @compiled
    def call(x: float) -> float:
        return inverse(x)

    assert call(0.0) == float("inf")
