/* What the files of the keeper share: keeper.c (the loop and who asks), nursery.c (kits until they are used),
 * pool.c (how many of what). */
#ifndef MARTLET_KEEPER_H
#define MARTLET_KEEPER_H

#include "runner.h"

#include <poll.h>

/* Kits of one kind: those of one warm runtime, or the plain ones, which serve everybody. */
struct pool {
    const char *name; /* of the runtime; NULL: plain */
    int *figure_ready;
    int64_t *figure_served;
    struct warm warm;
    struct limits limits; /* as last asked for: what the next kits are made for */
    int wanted;           /* how many should be waiting */
    int ready, begun;     /* how many wait, and how many are on their way to it */
    int asked;            /* supervisors that wait for one */
    bool network;         /* the last that was asked for is to have a way out */
    int64_t used_at;      /* when one was last asked for */
    int64_t wanted_at;    /* when the first was asked for */
    int64_t refill_at;    /* not before */
    int64_t bytes;        /* that one takes while it waits, as last seen */
    int failures;         /* in a row */

    pid_t zygote; /* 0: none */
    int zygote_socket;
    int forks;
    bool is_drawn; /* a run has used one of its forks */
};

enum { MAX_KITS = 48 };

struct slot {
    enum { FREE, BEGUN, READY, DOOMED } state;
    struct pool *pool;
    struct kit kit;
    bool set_up; /* the init is ready; the program's process is not yet */
    bool is_up;  /* that too */
    bool asks;   /* for a way out of its network, and has no answer yet */
    int64_t begun_at;
};

/* ---- keeper.c --------------------------------------------------------------------------------- */

extern const struct runner *runner;

/* A kit is ready: for whoever asked first, if anybody did. */
void kit_waits(struct slot *slot);
/* Whoever asked for one of this pool makes a kit of his own. */
void kits_fail(const struct pool *pool);

/* ---- nursery.c -------------------------------------------------------------------------------- */

extern struct slot slots[MAX_KITS];

/* Begins one more, if there is room. */
void begin(struct pool *pool);
/* Gives a kit that is ready to the supervisor at the other end. */
void give(struct slot *slot, int socket);
/* Ends one that is not to be used. */
void doom(struct slot *slot);
/* Ends those of one pool, or all, and whoever has not been used yet. */
void doom_all(struct pool *pool);
void end_zygote(struct pool *pool);
/* What to poll for, and what to do about it. */
void watch_slots(struct pollfd watched[MAX_KITS]);
/* Those whose program somebody has killed; before any is given. */
void drop_dead_ones(struct pollfd watched[MAX_KITS]);
void look_after_slots(const struct pollfd watched[MAX_KITS]);
void give_up_late_ones(int64_t now);

/* ---- pool.c ----------------------------------------------------------------------------------- */

/* Somebody asked; `found` if there was one. */
void pool_used(struct pool *pool, int64_t now, bool found);
/* Making one failed: the next try waits, twice as long each time. */
void pool_failed(struct pool *pool, int64_t now);
/* Shrinks what is not used. */
void pool_age(struct pool *pool, int64_t now);
/* Whether one more should be begun now. */
bool pool_is_short(const struct pool *pool, int64_t now, int64_t bytes_left);
/* Whether the machine is short of memory, as its kernel counts. */
bool memory_is_short(void);

#endif
