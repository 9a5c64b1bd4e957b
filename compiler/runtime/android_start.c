/* Where a program that Android's dynamic linker has loaded begins: what the NDK's crtbegin_dynamic.o does
   (https://android.googlesource.com/platform/bionic/+/refs/heads/main/libc/arch-common/bionic/crtbegin.c). The linker has run the
   constructors; libc sets itself up, calls main and exits. */
typedef struct { void *preinit, *init, *fini, *counts[3]; } structors;

__attribute__((used, retain, section(".interp"))) static const char linker[] = "/system/bin/linker64";

_Noreturn void __libc_init(void *stack, void (*unused)(void), int (*main)(int, char **, char **), const structors *all);
int main(int, char **);

__attribute__((used)) _Noreturn void pf_android_start(void *stack) {
    static const structors none;
    __libc_init(stack, 0, (int (*)(int, char **, char **))main, &none);
}

__asm__(".text\n.global _start\n.type _start, %function\n_start:\n\tmov x29, #0\n\tmov x30, #0\n\tmov x0, sp\n\tb pf_android_start\n");
