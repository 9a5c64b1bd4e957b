/* weights.bin and tokenizer.bin, of a folder on the include path, as a library: to load it is to map them. */
#include "java.h"
#include "packed.h"

__asm__(".pushsection .rodata\n"
        ".globl pf_weights, pf_weights_end, pf_table, pf_table_end\n"
        ".hidden pf_weights, pf_weights_end, pf_table, pf_table_end\n"
        ".balign 4096\n"
        "pf_weights: .incbin \"weights.bin\"\n"
        "pf_weights_end: .balign 64\n"
        "pf_table: .incbin \"tokenizer.bin\"\n"
        "pf_table_end: .popsection\n");
extern const char pf_weights[], pf_weights_end[], pf_table[], pf_table_end[];

/* As a Java long, which io.pocketformer.Model hands on to libpocketformer.so. */
int64_t Java_io_pocketformer_Model_packed(pf_java_env *env, pf_java_object class) {
    static const pf_packed packed = {pf_weights, pf_weights_end, pf_table, pf_table_end};
    (void)env, (void)class;
    return (int64_t)(intptr_t)&packed;
}
