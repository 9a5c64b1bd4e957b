/* A copy in another order, alone. Sizes are the result's, each axis with the distance of its elements in the operand and in the result. */
IN_GROUPS(ITEMS, 1)
__kernel void KERNEL(TENSOR(x), RESULT(y), const uint size0, const uint size1, const uint size2, const uint from0, const uint from1,
                     const uint from2, const uint to0, const uint to1, const uint to2) {
    const uint at = get_global_id(0), third = at % size2, second = at / size2 % size1, first = at / size2 / size1;
    if (first >= size0) return;
    STORE(LOAD(x, x_at + first * from0 + second * from1 + third * from2), y, y_at + first * to0 + second * to1 + third * to2);
}
