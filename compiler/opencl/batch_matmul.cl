/* x (G, M, K) @ y (G, K, N) of two activations, alone; x has `stride` columns, of which K are read. An item has TILE_ROWS rows and four
   columns. */
IN_GROUPS(GROUP_COLUMNS, GROUP_ROWS)
__kernel void KERNEL(TENSOR(left), TENSOR(right), RESULT(y), const uint rows, const uint depth, const uint stride, const uint width,
                     const uint right_rows, const uint groups) {
    const uint tiles = (rows + TILE_ROWS - 1) / TILE_ROWS, column = get_global_id(0) * 4;
    const uint group = get_global_id(1) / tiles, row = get_global_id(1) % tiles * TILE_ROWS;
    if (group >= groups || column >= width) return;
    const uint height = min((uint)TILE_ROWS, rows - row), count = width - column;
    left += left_at + (group * rows + row) * stride;
    right += right_at + group * right_rows * width + column;
    float4 sums[TILE_ROWS];
    EACH(index, TILE_ROWS) sums[index] = 0;
    for (uint k = 0; k < depth; k++) {
        const float4 four = load_some(right + k * width, count);
        EACH(index, TILE_ROWS)
            sums[index] += LOAD(left, min(index, height - 1) * stride + k) * four;
    }
    for (uint index = 0; index < height; index++) store_some(sums[index], y + y_at + (group * rows + row + index) * width + column, count);
}
