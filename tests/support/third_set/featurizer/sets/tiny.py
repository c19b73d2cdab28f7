"""A feature set of two columns, for tests: a folder on the module search path is all it takes."""

from typing import TYPE_CHECKING

from featurizer.feature_set import Column, FeatureSet

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from featurizer.accumulator import Accumulator
    from featurizer.curves import Curves


def _accumulator(y: "npt.NDArray[np.float32]", curves: "Curves | None") -> "Accumulator":
    import numpy as np

    from featurizer.accumulator import Accumulator
    from featurizer.block import Block

    class Loudest(Accumulator):
        def __init__(self) -> None:
            self.power, self.share = 0.0, 0.0

        def add(self, block: Block) -> None:
            self.power = max(self.power, float(block.P.max()))

        def add_delayed(self, block: Block) -> None:
            self.share = max(self.share, float(block.percussive_mask.max()))

        def row(self) -> "npt.NDArray[np.floating]":
            return np.array([self.power, self.share])

    return Loudest()


FEATURE_SET = FeatureSet(
    name="tiny",
    version="tiny-2.1",
    columns=(
        Column("power", "level", "1", "largest power of a bin", "none"),
        Column("share", "parts", "1", "largest percussive mask", "none"),
    ),
    levels=("track", "segment"),
    min_samples=2000,
    dtype="float32",
    accumulator=_accumulator,
)
