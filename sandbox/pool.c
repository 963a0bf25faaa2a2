/* How many kits wait: as many as were needed, within memory, and none after a long silence. */
#include "keeper.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    FIRST_WANTED = 2,           /* after the first run of a kind */
    MOST_WANTED = 8,            /* light ones */
    MOST_BEGUN = 4,             /* at once; making them is work for the kernel */
    REFILL_PAUSE_MS = 8,        /* leaves the processors to the run that has just begun */
    SHRINK_MS = 60 * 1000,      /* unused for so long: one less */
    FORGET_MS = 10 * 60 * 1000, /* unused for so long: none */
    BUSY = 3,                   /* processes that want to run, for each processor */
    FIRST_WAIT_MS = 4 * 1000,   /* on a busy machine, for the first of a kind */
    FIRST_PAUSE_MS = 1000,      /* after a failure */
    MOST_FAILURES = 6,
};

void pool_used(struct pool *pool, int64_t now, bool found)
{
    pool->used_at = now;
    pool->refill_at = now + REFILL_PAUSE_MS;
    if (pool->wanted == 0) {
        pool->wanted = FIRST_WANTED;
        pool->wanted_at = now;
    }
    else if (!found && pool->wanted < MOST_WANTED)
        pool->wanted++;
}

void pool_failed(struct pool *pool, int64_t now)
{
    if (pool->failures < MOST_FAILURES)
        pool->failures++;
    pool->refill_at = now + (FIRST_PAUSE_MS << pool->failures);
}

void pool_age(struct pool *pool, int64_t now)
{
    int64_t unused = now - pool->used_at;
    if (unused >= FORGET_MS)
        pool->wanted = 0;
    else if (pool->wanted > FIRST_WANTED && unused >= SHRINK_MS)
        pool->wanted = FIRST_WANTED;
}

static bool machine_is_busy(void)
{
    char text[96];
    int running;
    return read_text_at(AT_FDCWD, "/proc/loadavg", text, sizeof text) &&
           sscanf(text, "%*s %*s %*s %d/", &running) == 1 && running > BUSY * sysconf(_SC_NPROCESSORS_ONLN);
}

/* Where many VMs wake at once, what the next runs are to find ready would be in the way of the first. */
static bool can_wait(const struct pool *pool, int64_t now)
{
    bool is_first = pool->ready + pool->begun + pool->asked == 0 && *pool->figure_served == 0;
    return is_first && now - pool->wanted_at < FIRST_WAIT_MS && machine_is_busy();
}

bool pool_is_short(const struct pool *pool, int64_t now, int64_t bytes_left)
{
    int wanted = pool->wanted > pool->asked ? pool->wanted : pool->asked;
    if (pool->ready + pool->begun >= wanted || pool->begun >= MOST_BEGUN || pool->bytes > bytes_left)
        return false;
    return (now >= pool->refill_at || (pool->failures == 0 && pool->ready == 0)) && !can_wait(pool, now);
}

static int64_t kilobytes(const char *text, const char *key)
{
    const char *line = strstr(text, key);
    return line ? strtoll(line + strlen(key), NULL, 10) : -1;
}

bool memory_is_short(void)
{
    char text[4096];
    if (!read_text_at(AT_FDCWD, "/proc/meminfo", text, sizeof text))
        return false;
    int64_t total = kilobytes(text, "MemTotal:"), available = kilobytes(text, "MemAvailable:");
    return total > 0 && available >= 0 && available < total / 10;
}
