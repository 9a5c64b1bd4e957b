/* Between the launcher's float and what is stored. */
__kernel void pf_narrow(__global const float *from, __global stored *to, const uint to_at, const uint count) {
    const uint at = get_global_id(0);
    if (at < count) STORE(from[at], to, to_at + at);
}

__kernel void pf_widen(__global const stored *from, const uint from_at, __global float *to, const uint count) {
    const uint at = get_global_id(0);
    if (at < count) to[at] = LOAD(from, from_at + at);
}
