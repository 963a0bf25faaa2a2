/* How a program says that it ends, and how that is heard. */
#ifndef MARTLET_ENDING_H
#define MARTLET_ENDING_H

#include <stdbool.h>
#include <sys/types.h>

/* What a process calls itself, with its status, before it stops instead of ending. */
#define ENDING_NAME "martlet-end %d"

/* ---- process.c, for the init and the supervisor ----------------------------------------------- */

/* What a process says of its end. One that has stopped may have said so that it is about to end, and with which status:
 * by its name, "martlet-end 0", for it has nothing else by which to say it. Giving its memory back takes the kernel longer
 * than many a program runs, and the client need not wait for it: if nothing else is in its namespace and control groups
 * have counted what was used, that was its end, for nothing of it will run again. */
enum word { SAYS_NOTHING, SAYS_END, SAYS_END_TOO_SOON };
enum word word_of_end(int procfs, pid_t program, int *status);

/* ---- ending.c, for a zygote's library --------------------------------------------------------- */

/* Gives the Python module `module` two functions, `program_has_returned()` and `leave()`, which ends the process with
 * status 0, and watches the program that this interpreter is about to run; `may_stop`: it may say its end by stopping.
 * Does nothing in another interpreter. */
void watch_program(const char *module, bool may_stop);

#endif
