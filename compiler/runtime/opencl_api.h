/* The part of OpenCL 1.2 that gpu.c calls (Khronos, "The OpenCL Specification", version 1.2; numbers from its appendix and the API's
   header), and the library it is called in, which is opened at run time: most phones have one, and some do not. */
#ifndef PF_OPENCL_API_H
#define PF_OPENCL_API_H
#include <stddef.h>
#include <stdint.h>

enum {
    CL_SUCCESS = 0,
    CL_DEVICE_NAME = 0x102B,
    CL_DEVICE_EXTENSIONS = 0x1030,
    CL_PROGRAM_BUILD_LOG = 0x1183,
};
enum { CL_FALSE, CL_TRUE };
#define CL_DEVICE_TYPE_GPU 4u
#define CL_DEVICE_TYPE_ALL 0xFFFFFFFFu
#define CL_MEM_READ_WRITE 1u
#define CL_MEM_READ_ONLY 4u

typedef struct cl_platform *cl_platform_id;
typedef struct cl_device *cl_device_id;
typedef struct cl_context_ *cl_context;
typedef struct cl_queue *cl_command_queue;
typedef struct cl_buffer *cl_mem;
typedef struct cl_program_ *cl_program;
typedef struct cl_kernel_ *cl_kernel;
typedef struct cl_event_ *cl_event;

/* name, result, parameters */
#define PF_OPENCL_FUNCTIONS(EACH) \
    EACH(clGetPlatformIDs, int32_t, (uint32_t, cl_platform_id *, uint32_t *)) \
    EACH(clGetDeviceIDs, int32_t, (cl_platform_id, uint64_t, uint32_t, cl_device_id *, uint32_t *)) \
    EACH(clGetDeviceInfo, int32_t, (cl_device_id, uint32_t, size_t, void *, size_t *)) \
    EACH(clCreateContext, cl_context, (const intptr_t *, uint32_t, const cl_device_id *, void *, void *, int32_t *)) \
    EACH(clCreateCommandQueue, cl_command_queue, (cl_context, cl_device_id, uint64_t, int32_t *)) \
    EACH(clCreateBuffer, cl_mem, (cl_context, uint64_t, size_t, void *, int32_t *)) \
    EACH(clCreateProgramWithSource, cl_program, (cl_context, uint32_t, const char **, const size_t *, int32_t *)) \
    EACH(clBuildProgram, int32_t, (cl_program, uint32_t, const cl_device_id *, const char *, void *, void *)) \
    EACH(clGetProgramBuildInfo, int32_t, (cl_program, cl_device_id, uint32_t, size_t, void *, size_t *)) \
    EACH(clCreateKernel, cl_kernel, (cl_program, const char *, int32_t *)) \
    EACH(clSetKernelArg, int32_t, (cl_kernel, uint32_t, size_t, const void *)) \
    EACH(clEnqueueNDRangeKernel, int32_t, (cl_command_queue, cl_kernel, uint32_t, const size_t *, const size_t *, const size_t *, uint32_t, const cl_event *, cl_event *)) \
    EACH(clEnqueueWriteBuffer, int32_t, (cl_command_queue, cl_mem, uint32_t, size_t, size_t, const void *, uint32_t, const cl_event *, cl_event *)) \
    EACH(clEnqueueReadBuffer, int32_t, (cl_command_queue, cl_mem, uint32_t, size_t, size_t, void *, uint32_t, const cl_event *, cl_event *)) \
    EACH(clFinish, int32_t, (cl_command_queue)) \
    EACH(clReleaseKernel, int32_t, (cl_kernel)) \
    EACH(clReleaseProgram, int32_t, (cl_program)) \
    EACH(clReleaseMemObject, int32_t, (cl_mem)) \
    EACH(clReleaseCommandQueue, int32_t, (cl_command_queue)) \
    EACH(clReleaseContext, int32_t, (cl_context))

typedef struct {
#define PF_MEMBER(name, result, parameters) result(*name) parameters;
    PF_OPENCL_FUNCTIONS(PF_MEMBER)
#undef PF_MEMBER
} pf_opencl;

/* The library's functions, or 0 where there is no library; it stays open until the process ends. */
const pf_opencl *pf_opencl_open(void);
#endif
