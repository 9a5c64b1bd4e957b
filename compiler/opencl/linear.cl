/* x (R, groups K) @ weight + bias, with an activation and a residual: compiler/schedules/linear.py says what is computed, and how weights
   are packed: panels of `panel` columns, [panels][K][panel]. An item has TILE_ROWS rows and four columns of a panel; neighbours have the
   next four, so that together they read whole lines of a panel and the same numbers of x. */
IN_GROUPS(GROUP_COLUMNS, GROUP_ROWS)
__kernel void KERNEL(TENSOR(x), TENSOR(weight), TENSOR(bias),
#ifdef RESIDUAL
                     TENSOR(residual),
#endif
#ifdef SCALED
                     TENSOR(residual_scale),
#endif
                     RESULT(y), const uint rows, const uint depth, const uint width, const uint panel, const uint groups,
                     const uint blocks) {
    const uint quads = panel / 4, block_width = width / blocks, block_panels = (block_width + panel - 1) / panel;
    const uint at_panel = get_global_id(0) / quads, in_panel = get_global_id(0) % quads * 4, row = get_global_id(1) * TILE_ROWS;
    const uint block = at_panel / block_panels, in_block = (at_panel - block * block_panels) * panel + in_panel;
    if (block >= blocks || in_block >= block_width || row >= rows) return;
    const uint stride = groups * depth;
    x += x_at + row * stride + block % groups * depth;
    weight += weight_at + at_panel * depth * panel + in_panel;

    float4 sums[TILE_ROWS];
    const float4 start = LOAD4(bias, bias_at + at_panel * panel + in_panel);
    EACH(index, TILE_ROWS) sums[index] = start;
    uint k = 0;
#ifdef HALF_ARITHMETIC
    for (; k + HALF_PRODUCTS <= depth; k += HALF_PRODUCTS) {
        half4 few[TILE_ROWS];
        EACH(index, TILE_ROWS) few[index] = (half4)(0);
        for (uint step = k; step < k + HALF_PRODUCTS; step += 4) {
            const half4 w0 = vload4(0, weight + step * panel), w1 = vload4(0, weight + (step + 1) * panel);
            const half4 w2 = vload4(0, weight + (step + 2) * panel), w3 = vload4(0, weight + (step + 3) * panel);
            EACH(index, TILE_ROWS) {
                const half4 four = vload4(0, x + index * stride + step);
                few[index] = four.s0 * w0 + (four.s1 * w1 + (four.s2 * w2 + (four.s3 * w3 + few[index])));
            }
        }
        EACH(index, TILE_ROWS) sums[index] += convert_float4(few[index]);
    }
#endif
    for (; k + 4 <= depth; k += 4) {
        const float4 w0 = LOAD4(weight, k * panel), w1 = LOAD4(weight, (k + 1) * panel);
        const float4 w2 = LOAD4(weight, (k + 2) * panel), w3 = LOAD4(weight, (k + 3) * panel);
        EACH(index, TILE_ROWS) {
            const float4 four = LOAD4(x, index * stride + k);
            sums[index] = four.s0 * w0 + (four.s1 * w1 + (four.s2 * w2 + (four.s3 * w3 + sums[index])));
        }
    }
    for (; k < depth; k++) {
        const float4 w = LOAD4(weight, k * panel);
        EACH(index, TILE_ROWS) sums[index] += LOAD(x, index * stride + k) * w;
    }

    const uint column = block * block_width + in_block, count = block_width - in_block;
    EACH(index, TILE_ROWS) {
        const uint at = (row + index) * width + column;
        float4 total = sums[index];
#ifdef ACTIVATION
        total = ACTIVATION(total);
#endif
#ifdef RESIDUAL
        float4 added = load_some(residual + residual_at + at, count);
#ifdef SCALED
        added *= load_some(residual_scale + residual_scale_at + column, count);
#endif
        total += added;
#endif
        store_some(total, y + y_at + at, count);
    }
}
