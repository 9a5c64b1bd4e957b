/* Words of every kernel, OpenCL C 1.2. A tensor is a buffer and the number of its elements that lie before it: all activations share
   one buffer, all weights another.

   Numbers are stored as float, or as half with -DHALF_STORAGE, and computed with in float: the core language loads and stores half. With
   -DHALF_ARITHMETIC, where a device has cl_khr_fp16, matrix products are taken in half, a few at a time, and summed in float.

   Loads of four numbers (128 bits, or 64), neighbouring work-items on neighbouring addresses, and no copies to local memory, which many
   phones' GPUs do not have apart from their caches: Arm's "Mali GPU OpenCL Developer Guide" (document 100614, sections 7.3.2 and 9.3). */
#ifdef HALF_ARITHMETIC
#pragma OPENCL EXTENSION cl_khr_fp16 : enable
#endif

#ifdef HALF_STORAGE
typedef half stored;
#define LARGEST 65504.0f
#define LOAD(from, at) vload_half(0, (from) + (at))
#define LOAD4(from, at) vload_half4(0, (from) + (at))
#define STORE(number, to, at) vstore_half_rte(clamp(number, -LARGEST, LARGEST), 0, (to) + (at))
#define STORE4(numbers, to, at) vstore_half4_rte(clamp(numbers, -LARGEST, LARGEST), 0, (to) + (at))
#else
typedef float stored;
#define LOAD(from, at) ((from)[at])
#define LOAD4(from, at) vload4(0, (from) + (at))
#define STORE(number, to, at) ((to)[at] = (number))
#define STORE4(numbers, to, at) vstore4(numbers, 0, (to) + (at))
#endif

/* What kernels read is never what they write, though both lie in one buffer. */
#define TENSOR(name) __global const stored *restrict name, const uint name##_at
#define TOKENS(name) __global const int *restrict name, const uint name##_at
#define RESULT(name) __global stored *restrict name, const uint name##_at
#define IN_GROUPS(x, y) __attribute__((reqd_work_group_size(x, y, 1)))
/* A loop over a register tile: its arrays are registers only where it is unrolled. */
#define EACH(index, count) _Pragma("unroll") for (uint index = 0; index < (count); index++)
#define ITEMS 64 /* of a work-group: every GPU has so many, and it fills one wave of an Adreno or four warps of a Mali */

/* The first `count` of four numbers, zeros after them. */
float4 load_some(__global const stored *from, uint count) {
    if (count >= 4) return LOAD4(from, 0);
    return (float4)(LOAD(from, 0), count > 1 ? LOAD(from, 1) : 0.0f, count > 2 ? LOAD(from, 2) : 0.0f, 0.0f);
}

void store_some(float4 numbers, __global stored *to, uint count) {
    if (count >= 4) {
        STORE4(numbers, to, 0);
    } else {
        STORE(numbers.x, to, 0);
        if (count > 1) STORE(numbers.y, to, 1);
        if (count > 2) STORE(numbers.z, to, 2);
    }
}

/* The work-group's sum, or largest, of each item's number. */
float group_sum(float mine, __local float *shared) {
    const uint item = get_local_id(0);
    barrier(CLK_LOCAL_MEM_FENCE); /* the one before has been read */
    shared[item] = mine;
    for (uint apart = ITEMS / 2; apart; apart /= 2) {
        barrier(CLK_LOCAL_MEM_FENCE);
        if (item < apart) shared[item] += shared[item + apart];
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    return shared[0];
}

float group_max(float mine, __local float *shared) {
    const uint item = get_local_id(0);
    barrier(CLK_LOCAL_MEM_FENCE);
    shared[item] = mine;
    for (uint apart = ITEMS / 2; apart; apart /= 2) {
        barrier(CLK_LOCAL_MEM_FENCE);
        if (item < apart) shared[item] = fmax(shared[item], shared[item + apart]);
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    return shared[0];
}

/* LayerNorm of a row by a work-group: each item keeps to the columns that it has written or read itself. */
void normalise(__global const stored *row, __global stored *to, __global const stored *scale, __global const stored *shift, uint width,
               float epsilon, int affine, __local float *shared) {
    const uint item = get_local_id(0);
    float sum = 0, squares = 0;
    for (uint column = item; column < width; column += ITEMS) sum += LOAD(row, column);
    const float mean = group_sum(sum, shared) / width;
    for (uint column = item; column < width; column += ITEMS) {
        const float centred = LOAD(row, column) - mean;
        squares += centred * centred;
    }
    const float factor = 1.0f / sqrt(group_sum(squares, shared) / width + epsilon);
    for (uint column = item; column < width; column += ITEMS) {
        const float normal = (LOAD(row, column) - mean) * factor;
        STORE(affine ? normal * LOAD(scale, column) + LOAD(shift, column) : normal, to, column);
    }
}

float4 gelu(float4 x) {
    const float4 half_x = 0.5f * x, z = clamp(x, -ERF_LIMIT, ERF_LIMIT), square = z * z;
    return half_x + half_x * (z * ERF_P(square) / ERF_Q(square));
}

/* x / 2 (1 + tanh z), written as x / (1 + e^-2z) */
float4 gelu_tanh(float4 x) {
    const float4 z = x * (0.7978845608028654f + 0.035677408136300125f * x * x);
    return x / (1.0f + exp(-2.0f * z));
}

float4 relu(float4 x) { return fmax(x, 0.0f); }
