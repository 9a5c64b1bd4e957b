/* Word, position and segment rows gathered, summed and normalised, a work-group a token: compiler/schedules/embedding.py says what is
   computed. PARTS of 3: the next token's words, its own and the one's before stand side by side. */
IN_GROUPS(ITEMS, 1)
__kernel void KERNEL(
#ifdef WORDS
    TENSOR(words), TOKENS(ids),
#endif
#ifdef POSITIONS
    TENSOR(positions),
#endif
#ifdef TYPES
    TENSOR(type_rows), TOKENS(types),
#endif
#ifdef AFFINE
    TENSOR(scale), TENSOR(shift),
#endif
    RESULT(y), const uint width, const uint tokens) {
    const uint token = get_group_id(0);
    y += y_at + token * width;
    for (uint column = get_local_id(0); column < width; column += ITEMS) {
        float sum = 0;
#ifdef WORDS
        const uint part = column / (width / PARTS);
        const int other = (int)token + (PARTS == 1 ? 0 : 1 - (int)part);
        if (PARTS == 1 || (other >= 0 && other < (int)tokens))
            sum += LOAD(words, words_at + ids[ids_at + other] * (width / PARTS) + column - part * (width / PARTS));
#endif
#ifdef POSITIONS
        sum += LOAD(positions, positions_at + token * width + column);
#endif
#ifdef TYPES
        sum += LOAD(type_rows, type_rows_at + types[types_at + token] * width + column);
#endif
        STORE(sum, y, column);
    }
#ifdef EPSILON
    __local float shared[ITEMS];
#ifdef AFFINE
    normalise(y, y, scale + scale_at, shift + shift_at, width, EPSILON, 1, shared);
#else
    normalise(y, y, y, y, width, EPSILON, 0, shared);
#endif
#endif
}
