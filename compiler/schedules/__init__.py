"""One schedule a block kind. A block's spec says what its kernel computes; a tile says how; both have small, plain fields."""

from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np

from compiler.graph import Value
from compiler.isa import Isa

if TYPE_CHECKING:
    from compiler.schedules.emit import Function


class Spec(Protocol):
    """What every block kind's spec offers; equal specs share one kernel."""

    kind: ClassVar[str]

    @property
    def flops(self) -> int: ...

    def tiles(self, isa: Isa, threads: int) -> list[Any]:
        """Tiles worth trying, the cost model's best first."""

    def tasks(self, tile: Any) -> int:
        """Rounds of the parallel loop."""

    def parameters(self, tile: Any) -> list[tuple[str, tuple[int, ...], str]]:
        """(name, shape, dtype) of each tensor, the output last."""

    def operands(self, value: Value, tile: Any) -> list[Value | np.ndarray]:
        """What a block passes for the parameters but the last: activations, and weights in the kernel's layout."""

    def build(self, tile: Any, isa: Isa, symbol: str) -> "Function":
        """The TIR function."""
