/* What the files of the keeper share: keeper.c (the loop), pool.c (how many of what). */
#ifndef MARTLET_KEEPER_H
#define MARTLET_KEEPER_H

#include "runner.h"

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
    int64_t used_at;      /* when one was last asked for */
    int64_t refill_at;    /* not before */
    int64_t bytes;        /* that one takes while it waits, as last seen */
    int failures;         /* in a row */

    pid_t zygote; /* 0: none */
    int zygote_socket;
    int forks;
    bool is_drawn; /* a run has used one of its forks */
};

enum {
    MAX_KITS = 48,
    ZYGOTE_FORKS = 256, /* they share what an interpreter draws once, as the seed of its hashes */
};

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
