/* LayerNorm of y's rows in place, a work-group a row: the linear before has spread each row over many work-groups, which cannot wait for
   each other inside a kernel, and whole rows for each would leave most of a GPU idle. */
IN_GROUPS(ITEMS, 1)
__kernel void KERNEL(TENSOR(scale), TENSOR(shift), RESULT(y), const uint width) {
    __local float shared[ITEMS];
    __global stored *row = y + y_at + get_group_id(0) * width;
    normalise(row, row, scale + scale_at, shift + shift_at, width, EPSILON, 1, shared);
}
