"""What runs on a GPU in place of one kernel of the CPU's: OpenCL C kernels, on the same tensors, in the same layouts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ITEMS = 64  # of a work-group, as common.cl has it
GROUP_COLUMNS, GROUP_ROWS = 16, 4  # of a work-group where items lie in two axes
TILE_ROWS = (8, 4)  # rows of an item's register tile: numbers of x and weights that are loaded are used so often
LEAST_ITEMS = 4096  # work-items that keep a phone's GPU busy: below it smaller tiles make more of them
_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Launch:
    """One kernel of one call.

    Attributes:
        kind: of the block; names in the source begin with it.
        source: OpenCL C, with KERNEL for the kernel's name; equal ones are compiled once.
        tensors: which of the call's tensors it takes, in order, each a buffer and an offset.
        numbers: unsigned integers that follow them.
        groups: work-groups along two axes.
        group: work-items of a work-group along them.
    """

    kind: str
    source: str
    tensors: tuple[int, ...]
    numbers: tuple[int, ...]
    groups: tuple[int, int]
    group: tuple[int, int] = (ITEMS, 1)


def template(name: str, defines: Mapping[str, object], *, forget: bool = True) -> str:
    """A `.cl` file of this folder with its macros, those that are None or False left out; they are undefined after it unless
    `forget` is False."""
    wanted = {macro: "" if value is True else value for macro, value in defines.items() if value not in (None, False)}
    before = "".join(f"#define {macro} {value}".rstrip() + "\n" for macro, value in wanted.items())
    after = "".join(f"#undef {macro.partition('(')[0]}\n" for macro in wanted)
    return before + (_FOLDER / f"{name}.cl").read_text() + (after if forget else "")


def tile_rows(rows: int, quads: int) -> int:
    """Rows of each item's tile, where items have four columns each."""
    return next((size for size in TILE_ROWS if -(-rows // size) * quads >= LEAST_ITEMS), TILE_ROWS[-1])


def tiled(rows: int, quads: int, groups: int = 1) -> tuple[tuple[int, int], dict[str, object]]:
    """Work-groups that cover `groups` matrices by items of a register tile each, and the tile's macros."""
    size = tile_rows(groups * rows, quads)
    items = groups * -(-rows // size)
    macros: dict[str, object] = {"TILE_ROWS": size, "GROUP_COLUMNS": GROUP_COLUMNS, "GROUP_ROWS": GROUP_ROWS}
    return (-(-quads // GROUP_COLUMNS), -(-items // GROUP_ROWS)), macros


def every(count: int) -> tuple[int, int]:
    """Work-groups of one item for each of so many elements."""
    return -(-count // ITEMS), 1


def in_order(parameters: Sequence[object]) -> tuple[int, ...]:
    """All of a call's tensors."""
    return tuple(range(len(parameters)))
