/* Opens the OpenCL library: by the path in POCKETFORMER_OPENCL, else where phones and Linux have it. */
#include <dlfcn.h>
#include <stdlib.h>

#include "opencl_api.h"

static const char *const PLACES[] = {
    "libOpenCL.so", /* Android, from its own folders or, in an app, as its manifest asks for it */
    "libOpenCL-pixel.so",
    "libOpenCL.so.1", /* Linux */
    "/vendor/lib64/libOpenCL.so",
    "/system/vendor/lib64/libOpenCL.so",
    "/system/lib64/libOpenCL.so",
    "/vendor/lib64/egl/libGLES_mali.so", /* Arm's driver is one library */
    "/system/vendor/lib64/egl/libGLES_mali.so",
};

/* On Google's phones the library has to be enabled and gives its functions itself, as TensorFlow Lite's opencl_wrapper.cc knows. */
static int resolve(void *library, pf_opencl *functions) {
    void (*enable)(void), *(*give)(const char *);
    *(void **)&enable = dlsym(library, "enableOpenCL"), *(void **)&give = dlsym(library, "loadOpenCLPointer");
    if (enable) enable();
#define PF_RESOLVE(name, result, parameters) \
    if (!(*(void **)&functions->name = give ? give(#name) : dlsym(library, #name))) return -1;
    PF_OPENCL_FUNCTIONS(PF_RESOLVE)
    return 0;
}

const pf_opencl *pf_opencl_open(void) {
    static pf_opencl functions;
    const char *asked = getenv("POCKETFORMER_OPENCL");
    for (size_t index = 0; index < (asked ? 1 : sizeof PLACES / sizeof *PLACES); index++) {
        void *library = dlopen(asked ? asked : PLACES[index], RTLD_NOW | RTLD_LOCAL);
        if (!library) continue;
        if (!resolve(library, &functions)) return &functions;
        dlclose(library);
    }
    return 0;
}
