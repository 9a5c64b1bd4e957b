/* A plugin of QEMU's user-mode emulation that counts what an AArch64 program executes, by kind of instruction, and the misses of a model of
   its first-level data cache. A program that seeks in file MARK prints the counts so far, one JSON object a line, on standard error.

   QEMU's interface for plugins, of which this declares what it needs: https://www.qemu.org/docs/master/devel/tcg-plugins.html
   Encodings: Arm Architecture Reference Manual for A-profile (DDI 0487), C4.1, "A64 instruction set encoding". */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

typedef uint64_t plugin_id;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
enum { NO_REGISTERS = 0, READS_AND_WRITES = 3, ADD = 0 };

size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *block);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *block, size_t index);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *instruction);
void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id id, void (*translated)(plugin_id, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_insn_exec_inline(struct qemu_plugin_insn *instruction, int operation, void *counter, uint64_t number);
void qemu_plugin_register_vcpu_mem_cb(
    struct qemu_plugin_insn *instruction, void (*accessed)(unsigned, uint32_t, uint64_t, void *), int flags, int accesses, void *data);
void qemu_plugin_register_vcpu_syscall_cb(
    plugin_id id, void (*called)(plugin_id, unsigned, int64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t));

enum { SYS_LSEEK = 62, MARK = -77 };
enum { LINE_BITS = 6, SETS = 256, WAYS = 4 }; /* 64 KiB, as Cortex-A76 has */
enum { FMA32, FMA16, DOT, MATRIX, LOAD, STORE, KINDS };
static const char *const NAMES[KINDS] = {"fp32_fma", "fp16_fma", "dot", "matrix", "loads", "stores"};

static uint64_t instructions, counts[KINDS], misses;
static uint64_t lines[SETS][WAYS], used[SETS][WAYS], now;

/* The arithmetic that an instruction does, or KINDS for any other. */
static int arithmetic(uint32_t word) {
    static const struct { uint32_t mask, value; int kind; } PATTERNS[] = {
        {0xbfe0fc00, 0x0e20cc00, FMA32},  /* fmla, vectors of float32 */
        {0xbfc0f400, 0x0f801000, FMA32},  /* fmla by element */
        {0xbfe0fc00, 0x0e400c00, FMA16},  /* fmla, vectors of float16 */
        {0xbfc0f400, 0x0f001000, FMA16},  /* fmla by element */
        {0x9fe0fc00, 0x0e809400, DOT},    /* sdot, udot */
        {0x9fc0f400, 0x0f80e000, DOT},    /* the same by element */
        {0xdfe0fc00, 0x4e80a400, MATRIX}, /* smmla, ummla */
    };
    for (size_t index = 0; index < sizeof PATTERNS / sizeof *PATTERNS; index++)
        if ((word & PATTERNS[index].mask) == PATTERNS[index].value) return PATTERNS[index].kind;
    return KINDS;
}

/* LOAD, STORE, or KINDS for what accesses no memory: prefetches are none of them. */
static int access_kind(uint32_t word) {
    if ((word >> 25 & 5) != 4) return KINDS; /* not among loads and stores */
    bool vector = word >> 26 & 1;
    unsigned group = word >> 27 & 7, operation = word >> 22 & 3;
    if (group == 3) return word >> 30 == 3 && !vector ? KINDS : LOAD; /* literal */
    if (group == 7 && !vector) {
        if (operation == 2 && word >> 30 == 3) return KINDS;
        return operation ? LOAD : STORE;
    }
    return operation & 1 ? LOAD : STORE;
}

static void accessed(unsigned cpu, uint32_t what, uint64_t address, void *data) {
    (void)cpu, (void)what, (void)data;
    uint64_t line = (address >> LINE_BITS) + 1, set = address >> LINE_BITS & (SETS - 1);
    int oldest = 0;
    now++;
    for (int way = 0; way < WAYS; way++) {
        if (lines[set][way] == line) {
            used[set][way] = now;
            return;
        }
        if (used[set][way] < used[set][oldest]) oldest = way;
    }
    misses++;
    lines[set][oldest] = line, used[set][oldest] = now;
}

static void translated(plugin_id id, struct qemu_plugin_tb *block) {
    (void)id;
    for (size_t index = 0; index < qemu_plugin_tb_n_insns(block); index++) {
        struct qemu_plugin_insn *instruction = qemu_plugin_tb_get_insn(block, index);
        uint32_t word;
        memcpy(&word, qemu_plugin_insn_data(instruction), sizeof word);
        int kinds[] = {arithmetic(word), access_kind(word)};
        qemu_plugin_register_vcpu_insn_exec_inline(instruction, ADD, &instructions, 1);
        for (int each = 0; each < 2; each++)
            if (kinds[each] < KINDS) qemu_plugin_register_vcpu_insn_exec_inline(instruction, ADD, &counts[kinds[each]], 1);
        if (kinds[1] < KINDS) qemu_plugin_register_vcpu_mem_cb(instruction, accessed, NO_REGISTERS, READS_AND_WRITES, 0);
    }
}

static void called(plugin_id id, unsigned cpu, int64_t number, uint64_t file, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f, uint64_t g, uint64_t h) {
    (void)id, (void)cpu, (void)b, (void)c, (void)d, (void)e, (void)f, (void)g, (void)h;
    if (number != SYS_LSEEK || (int)file != MARK) return;
    fprintf(stderr, "{\"instructions\": %lu", (unsigned long)instructions);
    for (int kind = 0; kind < KINDS; kind++) fprintf(stderr, ", \"%s\": %lu", NAMES[kind], (unsigned long)counts[kind]);
    fprintf(stderr, ", \"l1_misses\": %lu}\n", (unsigned long)misses);
}

__attribute__((visibility("default"))) int qemu_plugin_version = 1;

__attribute__((visibility("default"))) int qemu_plugin_install(plugin_id id, const void *info, int count, char **words) {
    (void)info, (void)count, (void)words;
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_vcpu_syscall_cb(id, called);
    return 0;
}
