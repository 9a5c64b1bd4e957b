"""Where an activation's elements lie: batch 1, two axes or, with attention heads, three; rows rounded up as the blocks' are."""

from typing import Any

Shape = tuple[int, ...]
LEAST_TASKS = 16  # of a kernel that only moves memory


def plain(shape: Shape) -> Shape:
    """Without the axes of size one in front; at least two axes."""
    while len(shape) > 2 and shape[0] == 1:
        shape = shape[1:]
    return shape


def stored(shape: Shape, seq_len: int, rows: int) -> Shape:
    """As it lies in memory: tokens, the last axis but one, take `rows` rows."""
    shape = plain(shape)
    return (*shape[:-2], rows, shape[-1]) if shape[-2] == seq_len else shape


def row_block(rows: int, groups: int = 1) -> int:
    """Rows a task, of `groups` times `rows`: a divisor that leaves enough tasks to share."""
    return max((size for size in range(1, rows + 1) if rows % size == 0 and groups * (rows // size) >= LEAST_TASKS), default=1)


def row_of(shape: Shape, block: int, task: Any, index: Any) -> tuple[Any, ...]:
    """Where the `index`-th row of a task is: (row,) or (head, row)."""
    blocks = shape[-2] // block
    row = task % blocks * block + index
    return (row,) if len(shape) == 2 else (task // blocks, row)


def tasks_of(shape: Shape, block: int) -> int:
    return (shape[0] if len(shape) == 3 else 1) * (shape[-2] // block)
