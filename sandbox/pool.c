/* How many kits wait: as many as were needed, within memory, and none after a long silence. */
#include "keeper.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

enum {
    FIRST_WANTED = 2,           /* after the first run of a kind */
    MOST_WANTED = 8,            /* light ones */
    MOST_BEGUN = 4,             /* at once; making them is work for the kernel */
    REFILL_PAUSE_MS = 8,        /* leaves the processors to the run that has just begun */
    SHRINK_MS = 60 * 1000,      /* unused for so long: one less */
    FORGET_MS = 10 * 60 * 1000, /* unused for so long: none */
    FIRST_PAUSE_MS = 1000,      /* after a failure */
    MOST_FAILURES = 6,
};

void pool_used(struct pool *pool, int64_t now, bool found)
{
    pool->used_at = now;
    pool->refill_at = now + REFILL_PAUSE_MS;
    if (pool->wanted == 0)
        pool->wanted = FIRST_WANTED;
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

bool pool_is_short(const struct pool *pool, int64_t now, int64_t bytes_left)
{
    int wanted = pool->wanted > pool->asked ? pool->wanted : pool->asked;
    if (pool->ready + pool->begun >= wanted || pool->begun >= MOST_BEGUN || pool->bytes > bytes_left)
        return false;
    return now >= pool->refill_at || (pool->failures == 0 && pool->ready == 0);
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
