/* What the files of the supervisor share: supervise.c (a connection), start.c (what is started), run.c (the loop),
 * stream.c (bytes), watch.c (limits). */
#ifndef MARTLET_SUPERVISOR_H
#define MARTLET_SUPERVISOR_H

#include "runner.h"

#include <signal.h>

enum {
    STDIN_CREDIT = 64 * 1024, /* stdin that a client may have under way: all of it fits into the buffer */
    CREDIT_STEP = 16 * 1024,  /* credit is given back in pieces of this size, or when nothing is waiting */
    STALL_MS = 60 * 1000,     /* how long a client may take nothing once the program has ended */
    SHUTDOWN_MS = 300,        /* the same when the runner itself is ending */
};

enum reason { NOT_KILLED, TIMEOUT, MEMORY, PROCESSES, OUTPUT_LIMIT, CANCELLED, FAULT };

/* All a supervisor knows. One a process, so it is static: no allocation can fail while a program runs. */
struct supervisor {
    struct runner *runner;
    int socket;
    struct run run;

    struct kit kit;
    bool alive;                            /* the kit's init was begun and its end not yet seen */
    bool ours;                             /* the init is a child of this process */
    enum stage_kind stage;                 /* that runs, or is to run next */
    char compiled[65];                     /* the name of what is compiled; empty if it is not to be kept */
    bool launched;                         /* its launch was sent */
    bool started_over;                     /* the kit is another one since the last look */
    char word[1 + sizeof(struct refusal)]; /* what came back on the channel so far */
    size_t word_length;

    struct frame_stream inbound;
    uint8_t waiting[STDIN_CREDIT]; /* stdin that the program has not taken yet */
    size_t waiting_start, waiting_end;
    size_t credit, credit_owed; /* stdin the client may still send; of that, what it was not told yet */
    bool input_ending;          /* the end follows what is waiting */

    uint8_t frame[FRAME_HEADER + FRAME_OUTPUT_MAX];
    size_t frame_start, frame_end; /* what the socket has not taken yet */
    int64_t held_until;            /* what it has taken is to leave with what follows, or then; 0: nothing is held */
    int64_t delivered;             /* bytes of stdout and stderr put into frames */

    enum reason killed_for;
    bool client_gone, announced, ended, truncated, listened;
    int status;             /* of the program, once it has ended */
    struct refusal refusal; /* sent instead of an exit if its code is set */
    struct rusage usage;
    struct cgroup_usage group_usage;
    int64_t sampled_cpu_ms, sampled_peak;
    int64_t started_at, ended_at, killed_at, deadline, next_watch, last_progress, suspicious_until;
};

extern struct supervisor me;
extern volatile sig_atomic_t terminated;

/* ---- run.c ------------------------------------------------------------------------------------ */

/* Kills the whole tree, once. Its death is seen on the pidfd like any other. */
void kill_run(enum reason reason);
void lose_client(void);
/* Returns once the tree is dead and all that it printed was taken by the client, or the client is gone. */
void serve_run(void);
/* Sends the exit or refused frame. */
void answer_client(void);

/* ---- start.c ---------------------------------------------------------------------------------- */

/* Chooses limits and gets a kit: one made ahead, or one begun here. */
void start_run(void);
/* The kit is there: writes the files and launches the first step, or launches the next. */
void launch_step(void);
/* The step has ended: what follows, if something does. */
void end_step(const struct report *report);
/* The process that waited ended before it knew what to become: begins anew with a kit of our own. */
void start_over(void);

/* ---- watch.c ---------------------------------------------------------------------------------- */

/* Looks at memory, processes and processor time, kills the run if one is beyond its limit, plans the next look. */
void watch(int64_t now);
/* The control group's event came: looks soon, and often for a while, whether it was about this run. */
void suspect_memory(void);

/* ---- stream.c --------------------------------------------------------------------------------- */

bool frame_pending(void);
/* Puts a small frame under way, with the output that follows at once if some does. Only while none is pending. */
void start_frame(enum frame_type type, const void *payload, size_t length);
void flush_frame(void);
/* Lets go what was held. */
void release_frames(void);
/* Moves what a pipe holds into frames, as long as the socket takes them. */
void pump_output(int *pipe, enum frame_type type);
/* Reads the socket and takes the frames apart; stdin goes into the buffer and on into the program's pipe. */
void receive(void);
void pump_input(void);
/* Tells the client how much more stdin it may send, if it is worth a frame and none is pending. */
void grant_credit(void);

#endif
