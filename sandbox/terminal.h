/* What the files of terminals share: terminal.c (commands), registry.c (which of them live), holder.c (the process that
 * one is), attach.c (the connection by which it is used), shell.c (what runs in it). The theory is in terminal.c. */
#ifndef MARTLET_TERMINAL_H
#define MARTLET_TERMINAL_H

#include "runner.h"

enum {
    RING = 256 * 1024,
    CHUNK = 16 * 1024, /* of the ring, at once */
    INPUT = 64 * 1024, /* of a client, not yet typed; the longest frame */
};

struct client {
    int socket; /* -1: there is none */
    bool welcome;
    int64_t since;
    uint8_t input[INPUT];
    size_t start, end;
    uint8_t output[FRAME_HEADER + CHUNK];
    size_t sent, filled;
    uint64_t place; /* in the output, what is in `output` counted as sent */
    uint64_t window, untaken; /* most bytes of output that it may not yet have taken, and how many are; 0: no such bound */
    bool told_end;
};

struct holder {
    char id[65], secret[SECRET_LENGTH + 1];
    int listener, master, signals;
    pid_t shell;
    int status;
    bool ended;      /* the shell has */
    bool dry;        /* and all that it printed is read */
    int64_t hung_up; /* when; 0: not */
    int64_t ended_at, alone_since, idle_ms;
    uint64_t printed;
    struct client client, guest; /* a guest has not said the secret yet */
    bool stuck;                  /* the terminal takes no more of what is typed */
    char *ring;
};

/* ---- terminal.c ------------------------------------------------------------------------------- */

/* Answers the command with a reason why not, and ends this process. */
_Noreturn void refuse_command(const char *code, const char *message);

/* ---- registry.c ------------------------------------------------------------------------------- */

bool is_terminal_id(const char *text);
/* The directory of the user's terminals; refuses the command if there can be none. */
int terminals_open(void);
size_t terminals_count(int directory);
/* The file of a terminal with its lock taken, or -1 if it lives (`*lives`) or cannot be had. */
int terminal_take(int directory, const char *id, int flags, bool *lives);
/* What the file of a living terminal says; NULL if it does not live, or says nothing within two seconds. */
json_t *terminal_living(int directory, const char *id);
/* Refuses the command if the disk is full. */
void terminal_write(int directory, int file, const char *id, json_t *said);

/* ---- holder.c --------------------------------------------------------------------------------- */

/* Returns when the shell has ended, and who is attached knows it or is too slow. */
void holder_run(struct holder *holder);

/* ---- attach.c --------------------------------------------------------------------------------- */

void client_clear(struct client *client);
/* Sends until the socket takes no more or there is no more. False if the client is gone. */
bool client_send(struct holder *holder);
/* Reads what is there. False if the client has closed. */
bool client_receive(struct client *client);
/* Types what has come, as far as the terminal takes it. False if the client said something wrong. */
bool client_type(struct holder *holder);
/* A guest's first frame: it becomes the client. False if it is to go. */
bool guest_greet(struct holder *holder);

/* ---- shell.c ---------------------------------------------------------------------------------- */

/* The master of a new PTY, and the path of its other end; -1 with errno. */
int shell_terminal(char slave[64]);
/* Sizes that no screen has are ignored; `redraw` tells programs also of one that is no change. */
void shell_resize(struct holder *holder, unsigned rows, unsigned columns, bool redraw);
char **shell_environment(const char *id, const json_t *more);
_Noreturn void become_shell(const char *slave, const char *command, char **environment);

#endif
