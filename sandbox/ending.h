#ifndef MARTLET_ENDING_H
#define MARTLET_ENDING_H

#include <stdbool.h>

/* Gives the Python module `module` two functions, `program_has_returned()` and `leave()`, which ends the process with
 * status 0, and watches the program that this interpreter is about to run; `may_stop`: it may say its end by stopping.
 * Does nothing in another interpreter. */
void watch_program(const char *module, bool may_stop);

#endif
