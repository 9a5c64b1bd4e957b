/* Mean, softmax or LayerNorm of rows, alone, a work-group a row. */
IN_GROUPS(ITEMS, 1)
__kernel void KERNEL(TENSOR(x),
#ifdef AFFINE
                     TENSOR(scale), TENSOR(shift),
#endif
                     RESULT(y), const uint width) {
    __local float shared[ITEMS];
    const uint item = get_local_id(0);
    x += x_at + get_group_id(0) * width;
    y += y_at;
#if defined MEAN
    float sum = 0;
    for (uint column = item; column < width; column += ITEMS) sum += LOAD(x, column);
    sum = group_sum(sum, shared);
    if (item == 0) STORE(sum / width, y, get_group_id(0));
#elif defined SOFTMAX
    y += get_group_id(0) * width;
    float top = -MAXFLOAT, sum = 0;
    for (uint column = item; column < width; column += ITEMS) top = fmax(top, LOAD(x, column));
    top = group_max(top, shared);
    for (uint column = item; column < width; column += ITEMS) sum += exp(LOAD(x, column) - top);
    sum = group_sum(sum, shared);
    for (uint column = item; column < width; column += ITEMS) STORE(exp(LOAD(x, column) - top) / sum, y, column);
#elif defined AFFINE
    normalise(x, y + get_group_id(0) * width, scale + scale_at, shift + shift_at, width, EPSILON, 1, shared);
#else
    normalise(x, y + get_group_id(0) * width, x, x, width, EPSILON, 0, shared);
#endif
}
