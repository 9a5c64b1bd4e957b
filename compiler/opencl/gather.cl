/* Rows of a table picked by token ids, alone. */
IN_GROUPS(ITEMS, 1)
__kernel void KERNEL(TENSOR(table), TOKENS(ids), RESULT(y), const uint rows, const uint width) {
    const uint at = get_global_id(0);
    if (at >= rows * width) return;
    STORE(LOAD(table, table_at + ids[ids_at + at / width] * width + at % width), y, y_at + at);
}
