/* The keeper: makes kits ahead and gives them to the supervisors that ask.
 *
 * One process beside the server, started and restarted by it; without one every run makes its own kit, and is as right.
 * A kit is begun here, or forked from a zygote (warm.c), and waits once its init is ready and the process in it has
 * said so; an interpreter says so itself. It is used once. Handing it over passes every descriptor and forgets them, so
 * what the keeper does later, its death too, means nothing to the run; it only reaps.
 * An idle keeper sleeps: it wakes for tickets, for kits on their way, and every few seconds while kits wait. */
#include "keeper.h"
#include "networks.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    MAX_ASKERS = 64,
    TICK_MS = 2000,  /* while kits wait */
    PAUSE_MS = 1000, /* after which a run gets a fork of a zygote that served none before */
    FAREWELL_MS = 300,
};

const struct runner *runner;
static struct pool pools[MAX_RUNTIMES + 1];
static size_t pool_count;
static struct asker {
    int socket;
    struct pool *pool;
    struct limits limits;
    bool network;
} askers[MAX_ASKERS]; /* in the order in which they asked */
static size_t asker_count;
static int signals;
static int64_t bytes_allowed;

/* ---- Who waits for a kit ---------------------------------------------------------------------- */

/* A way out can be given to a kit, but not taken from it. */
static bool fits(const struct slot *slot, const struct limits *limits, bool network)
{
    return slot->state == READY && (!slot->pool->name || slot->kit.limits.memory_mb == limits->memory_mb) &&
           (slot->kit.egress < 0 || network);
}

static void forget_asker(size_t index)
{
    close(askers[index].socket);
    askers[index].pool->asked--;
    asker_count--;
    memmove(&askers[index], &askers[index + 1], (asker_count - index) * sizeof *askers);
}

void kit_waits(struct slot *slot)
{
    for (size_t i = 0; i < asker_count; i++)
        if (askers[i].pool == slot->pool && fits(slot, &askers[i].limits, askers[i].network)) {
            give(slot, askers[i].socket);
            forget_asker(i);
            return;
        }
}

void kits_fail(const struct pool *pool)
{
    for (size_t i = asker_count; i-- > 0;)
        if (askers[i].pool == pool)
            forget_asker(i);
}

/* ---- Tickets ---------------------------------------------------------------------------------- */

static struct pool *pool_for(const struct ticket *ticket)
{
    for (size_t i = 1; ticket->warm && i < pool_count; i++)
        if (!strcmp(pools[i].name, ticket->runtime))
            return &pools[i];
    return NULL;
}

static bool serve(struct pool *pool, const struct ticket *ticket, int socket)
{
    struct slot *found = NULL, *misfit = NULL;
    for (size_t i = 0; i < MAX_KITS && !found; i++)
        if (slots[i].pool == pool && fits(&slots[i], &ticket->limits, ticket->network))
            found = &slots[i];
        else if (slots[i].pool == pool && slots[i].state == READY)
            misfit = &slots[i];
    pool->limits = ticket->limits;
    pool->network = ticket->network;
    pool_used(pool, monotonic_ms(), found);
    if (found)
        give(found, socket);
    else if (misfit)
        doom(misfit); /* makes room for one that would have fitted */
    return found;
}

/* Forking one takes less time than starting an interpreter: worth waiting for. */
static bool ask(struct pool *pool, const struct ticket *ticket, int socket)
{
    if (pool->warm.mode != WARM_FORK || pool->zygote <= 0 || pool->failures > 0 || asker_count == MAX_ASKERS)
        return false;
    askers[asker_count++] = (struct asker){socket, pool, ticket->limits, ticket->network};
    pool->asked++;
    return true;
}

static void take_tickets(int inbox)
{
    struct ticket ticket;
    int passed[PASS_MAX];
    size_t count;
    while (receive_passed(inbox, &ticket, sizeof ticket, passed, &count, MSG_DONTWAIT) == sizeof ticket) {
        if (count == 0)
            continue;
        if (ticket.returns_network) {
            network_keep(runner, passed[0], count == 2 ? passed[1] : -1);
            continue;
        }
        struct pool *warm = pool_for(&ticket);
        if (warm && serve(warm, &ticket, passed[0])) {
            close(passed[0]);
            continue;
        }
        if (warm && ask(warm, &ticket, passed[0]))
            continue;
        serve(&pools[0], &ticket, passed[0]);
        close(passed[0]);
    }
}

/* ---- The loop --------------------------------------------------------------------------------- */

/* What waits would end with this process; its control groups and directories would not. */
static _Noreturn void leave(void)
{
    struct pollfd watched[MAX_KITS];
    int64_t deadline = monotonic_ms() + FAREWELL_MS;
    doom_all(NULL);
    for (int left = 1; left > 0 && monotonic_ms() < deadline;) {
        watch_slots(watched);
        poll(watched, MAX_KITS, FAREWELL_MS);
        look_after_slots(watched);
        left = 0;
        for (size_t i = 0; i < MAX_KITS; i++)
            left += slots[i].state != FREE;
    }
    _exit(0);
}

static void reap(void)
{
    struct signalfd_siginfo one;
    while (read(signals, &one, sizeof one) == sizeof one)
        if (one.ssi_signo == SIGTERM)
            leave();
    for (pid_t pid; (pid = waitpid(-1, NULL, WNOHANG)) > 0;)
        for (size_t i = 0; i < pool_count; i++)
            if (pools[i].zygote == pid)
                end_zygote(&pools[i]);
}

static int64_t bytes_in_use(void)
{
    int64_t bytes = 0;
    for (size_t i = 0; i < pool_count; i++)
        bytes += (pools[i].ready + pools[i].begun) * pools[i].bytes;
    return bytes;
}

static void refill(int64_t now)
{
    bool checked = false;
    for (size_t i = 0; i < pool_count; i++) {
        if (!pool_is_short(&pools[i], now, bytes_allowed - bytes_in_use()))
            continue;
        if (!checked && memory_is_short())
            return;
        checked = true;
        begin(&pools[i]);
    }
}

/* Forks of one zygote share what it drew when it started, its hashes' seed above all: runs with a pause between them
 * get different ones. */
static void renew_zygotes(int64_t now)
{
    for (struct pool *pool = pools; pool < pools + pool_count; pool++)
        if (pool->zygote > 0 && pool->is_drawn && now - pool->used_at >= PAUSE_MS) {
            doom_all(pool);
            end_zygote(pool);
        }
}

/* Drops what is not needed any more; returns whether anything is left. */
static bool tidy(int64_t now)
{
    bool left = false, ways_out = false, is_short = memory_is_short();
    for (size_t i = 0; i < pool_count; i++) {
        pool_age(&pools[i], now);
        if (is_short || (pools[i].wanted == 0 && pools[i].ready + pools[i].begun > 0)) {
            doom_all(&pools[i]);
            end_zygote(&pools[i]);
        }
        left |= pools[i].wanted > 0;
        ways_out |= pools[i].wanted > 0 && pools[i].network;
    }
    give_up_late_ones(now);
    if (is_short || !ways_out)
        networks_forget(runner, left && !is_short);
    return left;
}

static int patience(int64_t now, int64_t next_tick)
{
    int64_t until = next_tick;
    for (const struct pool *pool = pools; pool < pools + pool_count; pool++) {
        if (pool->ready + pool->begun < pool->wanted && pool->refill_at > now && pool->refill_at < until)
            until = pool->refill_at;
        if (pool->zygote > 0 && pool->is_drawn && pool->used_at + PAUSE_MS < until)
            until = pool->used_at + PAUSE_MS;
    }
    return until <= now ? 0 : (int)(until - now);
}

static void set_up(void)
{
    sigset_t wanted;
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGCHLD);
    sigaddset(&wanted, SIGTERM);
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1) < 0 ||
        sigprocmask(SIG_SETMASK, &wanted, NULL) < 0)
        die_errno("the keeper");
    signals = signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signals < 0)
        die_errno("signalfd");
    struct figures *figures = runner->figures;
    memset(figures->runtimes, 0, sizeof figures->runtimes);
    memset(&figures->plain, 0, sizeof figures->plain);
    pools[pool_count++] = (struct pool){.figure_ready = &figures->plain.ready, .figure_served = &figures->plain.served};
    for (size_t i = 0; i < runner->runtimes.count; i++) {
        struct pool pool = {.name = runner->runtimes.items[i].name,
                            .figure_ready = &figures->runtimes[i].ready,
                            .figure_served = &figures->runtimes[i].served};
        if (warm_load(runner, &runner->runtimes.items[i], &pool.warm))
            pools[pool_count++] = pool;
    }
    bytes_allowed = (runner->config.limits.memory_mb << 20) / 8;
}

void keeper_main(struct runner *its_runner, int inbox)
{
    runner = its_runner;
    set_up();
    int64_t next_tick = INT64_MAX;
    for (;;) {
        struct pollfd watched[MAX_KITS + 2];
        int64_t now = monotonic_ms();
        watched[MAX_KITS] = (struct pollfd){.fd = inbox, .events = POLLIN};
        watched[MAX_KITS + 1] = (struct pollfd){.fd = signals, .events = POLLIN};
        watch_slots(watched);
        int64_t wait = next_tick == INT64_MAX ? -1 : patience(now, next_tick);
        if (poll(watched, MAX_KITS + 2, (int)wait) < 0 && errno != EINTR)
            die_errno("poll");
        drop_dead_ones(watched);
        if (watched[MAX_KITS].revents)
            take_tickets(inbox);
        look_after_slots(watched);
        if (watched[MAX_KITS + 1].revents)
            reap();
        now = monotonic_ms();
        if (next_tick == INT64_MAX)
            next_tick = now + TICK_MS;
        if (now >= next_tick)
            next_tick = tidy(now) ? now + TICK_MS : INT64_MAX;
        renew_zygotes(now);
        refill(now);
    }
}
