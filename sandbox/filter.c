/* The seccomp filter as it was compiled when the runner was built (policy.c, embed.S). */
#include "runner.h"

#include <linux/seccomp.h>
#include <sys/syscall.h>
#include <unistd.h>

extern const char policy_program[], policy_program_end[];

struct sock_fprog filter_program(void)
{
    return (struct sock_fprog){
        .len = (unsigned short)((size_t)(policy_program_end - policy_program) / sizeof(struct sock_filter)),
        .filter = (struct sock_filter *)policy_program, /* which the kernel only reads */
    };
}

void filter_apply(const struct sock_fprog *program)
{
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, program) < 0)
        die_errno("seccomp");
}
