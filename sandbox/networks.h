/* Networks of runs that sent nothing, for the runs after them (networks.c). */
#ifndef MARTLET_NETWORKS_H
#define MARTLET_NETWORKS_H

#include "runner.h"

enum { PICTURE_SIZE = 8192 };

/* In a network that is fresh: keeps what it looks like, if networks can be entered here. */
void network_remember(char fresh[PICTURE_SIZE]);
/* Gives the network of a run that is dead to the keeper, if it still looks fresh. Leaves this process in it. */
void network_return(const struct kit *kit, const struct runner *runner);
/* In the keeper: one more, with its way out or -1; one of them, with a way out only if one is wanted (0: there is none);
 * none any more, or none with a way out. */
void network_keep(const struct runner *runner, int network, int egress);
int network_take(const struct runner *runner, bool way_out, int *egress);
void networks_forget(const struct runner *runner, bool ways_out_only);

#endif
