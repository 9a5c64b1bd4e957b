/* softmax(q k^T + mask) v from packed rows [q k v] (R, 3 H): compiler/schedules/attention.py says what is computed. A work-group has
   QUERIES queries of one head. Its items take a key each, for all queries; then the rows of scores, which stay in local memory; then four
   columns of the result for one query each. All in float: a row's largest score decides over the others. */
#if HEAD_SIZE % 4 /* heads of whole vectors need no comparisons */
#define COLUMNS_FROM(at) (HEAD_SIZE - (at))
#else
#define COLUMNS_FROM(at) 4
#endif
IN_GROUPS(ITEMS, 1)
__kernel void KERNEL(TENSOR(qkv),
#ifdef MASK
                     TOKENS(bits), TOKENS(types),
#endif
                     RESULT(y), const uint keys, const uint heads) {
    __local float scores[QUERIES][MOST_KEYS], shared[ITEMS];
    const uint item = get_local_id(0), first = get_group_id(0) * QUERIES, width = heads * HEAD_SIZE, stride = 3 * width;
    qkv += qkv_at + get_group_id(1) * HEAD_SIZE;
    for (uint key = item; key < keys; key += ITEMS) {
        __global const stored *row = qkv + key * stride + width;
        float sums[QUERIES];
        EACH(query, QUERIES) sums[query] = 0;
        for (uint column = 0; column < HEAD_SIZE; column += 4) {
            const float4 four = load_some(row + column, COLUMNS_FROM(column));
            EACH(query, QUERIES)
                sums[query] += dot(load_some(qkv + (first + query) * stride + column, COLUMNS_FROM(column)), four);
        }
#ifdef MASK
        const float mask = MASK(bits[bits_at + key], types[types_at + key]);
#else
        const float mask = 0;
#endif
        EACH(query, QUERIES) scores[query][key] = sums[query] + mask;
    }
    barrier(CLK_LOCAL_MEM_FENCE);

    const uint share = ITEMS / QUERIES; /* items that have one query's row */
    __local float *row = scores[item / share];
    float top = row[0];
    for (uint key = item % share; key < keys; key += share) top = fmax(top, row[key]);
    shared[item] = top;
    barrier(CLK_LOCAL_MEM_FENCE);
    for (uint other = 0; other < share; other++) top = fmax(top, shared[item / share * share + other]);
    barrier(CLK_LOCAL_MEM_FENCE);
    float sum = 0;
    for (uint key = item % share; key < keys; key += share) {
        row[key] = exp(row[key] - top);
        sum += row[key];
    }
    shared[item] = sum;
    barrier(CLK_LOCAL_MEM_FENCE);

    const uint quads = (HEAD_SIZE + 3) / 4;
    for (uint each = item; each < QUERIES * quads; each += ITEMS) {
        const uint query = each / quads, column = each % quads * 4, count = COLUMNS_FROM(column);
        float total = 0;
        float4 context = 0;
        for (uint other = 0; other < share; other++) total += shared[query * share + other];
        for (uint key = 0; key < keys; key++)
            context += scores[query][key] * load_some(qkv + key * stride + 2 * width + column, count);
        store_some(context / total, y + y_at + (first + query) * width + get_group_id(1) * HEAD_SIZE + column, count);
    }
}
#undef COLUMNS_FROM
