import threading

import numpy as np

from featurizer.workspace import workspace


def test_memory_is_reused_for_the_same_name_only() -> None:
    first = workspace("test.a", (3, 4))
    other = workspace("test.b", (3, 4))
    assert not np.shares_memory(first, other)
    again = workspace("test.a", (2, 2), np.complex64)
    assert again.shape == (2, 2)
    assert again.dtype == np.complex64
    assert np.shares_memory(first, again)
    larger = workspace("test.a", (100, 4))
    assert larger.shape == (100, 4)
    assert np.shares_memory(larger, workspace("test.a", (3, 4)))


def test_every_thread_has_its_own_memory() -> None:
    found = []
    thread = threading.Thread(target=lambda: found.append(workspace("test.a", (3, 4))))
    thread.start()
    thread.join()
    assert not np.shares_memory(found[0], workspace("test.a", (3, 4)))
