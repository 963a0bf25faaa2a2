#ifndef MARTLET_ASSEMBLE_H
#define MARTLET_ASSEMBLE_H

/* Takes the steps that the words name and becomes the command after `--`; what it returns is an exit code. */
int assemble_main(int count, char **words);

#endif
