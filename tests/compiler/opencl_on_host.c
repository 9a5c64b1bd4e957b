/* The functions of OpenCL C that a linear kernel calls, so that it can run as a function of this machine, one work-item after the other: OpenCL
   devices that compute in half are not to be had everywhere. Linked with the kernel, whose names these are. */
#include <math.h>
#include <stddef.h>
#include <string.h>

typedef _Float16 half;
typedef half half4 __attribute__((ext_vector_type(4)));
typedef float float4 __attribute__((ext_vector_type(4)));

size_t item[2]; /* whose turn it is */

#define NAMED(name) __asm__(name)
size_t get_global_id(unsigned axis) NAMED("_Z13get_global_idj");
size_t get_local_id(unsigned axis) NAMED("_Z12get_local_idj");
void barrier(unsigned fence) NAMED("_Z7barrierj");
float vload_half(size_t at, const half *from) NAMED("_Z10vload_halfmPU8CLglobalKDh");
float4 vload_half4(size_t at, const half *from) NAMED("_Z11vload_half4mPU8CLglobalKDh");
half4 vload4(size_t at, const half *from) NAMED("_Z6vload4mPU8CLglobalKDh");
void vstore_half(float number, size_t at, half *to) NAMED("_Z15vstore_half_rtefmPU8CLglobalDh");
void vstore_half4(float4 numbers, size_t at, half *to) NAMED("_Z16vstore_half4_rteDv4_fmPU8CLglobalDh");
float4 convert(half4 numbers) NAMED("_Z14convert_float4Dv4_Dh");
float4 exp4(float4 x) NAMED("_Z3expDv4_f");
float4 fmax4(float4 x, float least) NAMED("_Z4fmaxDv4_ff");
float fmax1(float x, float y) NAMED("_Z4fmaxff");
float sqrt1(float x) NAMED("_Z4sqrtf");
float4 clamp4(float4 x, float low, float high) NAMED("_Z5clampDv4_fff");
float clamp1(float x, float low, float high) NAMED("_Z5clampfff");

size_t get_global_id(unsigned axis) { return item[axis]; }
size_t get_local_id(unsigned axis) { return 0; }
void barrier(unsigned fence) {}
half4 vload4(size_t at, const half *from) { return (half4){from[4 * at], from[4 * at + 1], from[4 * at + 2], from[4 * at + 3]}; }
float vload_half(size_t at, const half *from) { return from[at]; }
float4 vload_half4(size_t at, const half *from) { return convert(vload4(at, from)); }
void vstore_half(float number, size_t at, half *to) { to[at] = (half)number; }
void vstore_half4(float4 numbers, size_t at, half *to) { for (int lane = 0; lane < 4; lane++) to[4 * at + lane] = (half)numbers[lane]; }
float4 convert(half4 numbers) { return (float4){numbers.x, numbers.y, numbers.z, numbers.w}; }
float4 exp4(float4 x) { return (float4){expf(x.x), expf(x.y), expf(x.z), expf(x.w)}; }
float4 fmax4(float4 x, float least) { return (float4){fmaxf(x.x, least), fmaxf(x.y, least), fmaxf(x.z, least), fmaxf(x.w, least)}; }
float fmax1(float x, float y) { return fmaxf(x, y); }
float sqrt1(float x) { return sqrtf(x); }
float clamp1(float x, float low, float high) { return fminf(fmaxf(x, low), high); }
float4 clamp4(float4 x, float low, float high) {
    return (float4){clamp1(x.x, low, high), clamp1(x.y, low, high), clamp1(x.z, low, high), clamp1(x.w, low, high)};
}
