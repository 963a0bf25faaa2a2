/* Writes the filter's program, as the kernel takes it, to the standard output: what embed.S puts into the runner. */
#include "policy.h"
#include "runner.h"

#include <stdio.h>

int main(void)
{
    static struct sock_fprog program;
    policy_compile(&program);
    if (fwrite(program.filter, sizeof *program.filter, program.len, stdout) != program.len || fflush(stdout) != 0)
        die_errno("writing the filter's program");
    return 0;
}
