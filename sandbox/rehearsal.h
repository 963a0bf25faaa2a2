#ifndef MARTLET_REHEARSAL_H
#define MARTLET_REHEARSAL_H

#include <stdbool.h>

/* Forks a process that runs the zygote's own program to its end and notes what it writes; true in that process, which
 * is to go on as a run would, with a launch on its channel. */
bool rehearsal_begin(void);
/* While a rehearsal goes on: waits until something comes from `inbox`, and takes what it noted, and its end, as soon as
 * that is there. For the zygote. */
void rehearsal_attend(int inbox);
/* Makes what a run is known to write, or all, this process's own. */
void own_memory(void);

#endif
