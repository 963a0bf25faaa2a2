/* What system calls a run may make. */
#ifndef MARTLET_POLICY_H
#define MARTLET_POLICY_H

#include <linux/filter.h>

/* Compiles the filter. */
void policy_compile(struct sock_fprog *program);

#endif
