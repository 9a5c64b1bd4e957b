/* What we call of the Java Native Interface, by its place in the table of functions, which the published interface fixes
   (https://docs.oracle.com/en/java/javase/17/docs/specs/jni/functions.html): compiling a model takes no JDK. */
#ifndef PF_JAVA_H
#define PF_JAVA_H
#include <stdint.h>

typedef struct pf_java_object *pf_java_object;
typedef const struct pf_java_functions *pf_java_env;

struct pf_java_functions {
    void *until_171[171];
    int32_t (*GetArrayLength)(pf_java_env *, pf_java_object array);
    void *until_176[4];
    pf_java_object (*NewByteArray)(pf_java_env *, int32_t length);
    void *until_181[4];
    pf_java_object (*NewFloatArray)(pf_java_env *, int32_t length);
    void *until_200[18];
    void (*GetByteArrayRegion)(pf_java_env *, pf_java_object array, int32_t start, int32_t length, int8_t *to);
    void *until_208[7];
    void (*SetByteArrayRegion)(pf_java_env *, pf_java_object array, int32_t start, int32_t length, const int8_t *from);
    void *until_213[4];
    void (*SetFloatArrayRegion)(pf_java_env *, pf_java_object array, int32_t start, int32_t length, const float *from);
};
#endif
