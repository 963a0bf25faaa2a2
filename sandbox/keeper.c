/* The keeper: makes kits ahead and gives them to the supervisors that ask.
 *
 * One process beside the server, started and restarted by it; without one every run makes its own kit, and is as right.
 * A kit is begun here, or forked from a zygote (warm.c), and waits once its init is ready and the process in it has
 * said so; an interpreter says so itself. It is used once. Handing it over passes every descriptor and forgets them, so
 * what the keeper does later, its death too, means nothing to the run; it only reaps.
 * An idle keeper sleeps: it wakes for tickets, for kits on their way, and every few seconds while kits wait. */
#include "keeper.h"

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
    TICK_MS = 2000,
    PAUSE_MS = 1000,
    FAREWELL_MS = 300,
    BIRTH_MS = 15 * 1000, /* within which a kit has to wait for its launch */
};

struct slot {
    enum { FREE, BEGUN, READY, DOOMED } state;
    struct pool *pool;
    struct kit kit;
    bool set_up; /* the init is ready; the program's process is not yet */
    int64_t begun_at;
};

static struct runner *runner;
static struct pool pools[MAX_RUNTIMES + 1];
static size_t pool_count;
static struct slot slots[MAX_KITS];
static struct asker {
    int socket;
    struct pool *pool;
    struct limits limits;
} askers[MAX_ASKERS]; /* in the order in which they asked */
static size_t asker_count;
static int signals;
static int64_t bytes_allowed;

/* ---- Slots ------------------------------------------------------------------------------------ */

static void release(struct slot *slot)
{
    cgroup_remove(&slot->kit.cgroup);
    kit_remove_directory(&slot->kit, runner);
    kit_close(&slot->kit);
    slot->state = FREE;
}

static void count(struct slot *slot, int by)
{
    if (slot->state == READY)
        slot->pool->ready += by;
    else if (slot->state == BEGUN)
        slot->pool->begun += by;
    *slot->pool->figure_ready = slot->pool->ready;
}

static void become(struct slot *slot, int state)
{
    count(slot, -1);
    slot->state = state;
    count(slot, 1);
}

static void doom(struct slot *slot)
{
    become(slot, DOOMED);
    if (slot->kit.ended < 0)
        release(slot); /* it never was born */
    else
        kit_kill(&slot->kit, true);
}

static void doom_all(struct pool *pool)
{
    for (size_t i = 0; i < MAX_KITS; i++)
        if ((slots[i].state == READY || slots[i].state == BEGUN) && (!pool || slots[i].pool == pool))
            doom(&slots[i]);
}

static int64_t bytes_in_use(void)
{
    int64_t bytes = 0;
    for (size_t i = 0; i < pool_count; i++)
        bytes += (pools[i].ready + pools[i].begun) * pools[i].bytes;
    return bytes;
}

/* ---- Zygotes ---------------------------------------------------------------------------------- */

static void end_zygote(struct pool *pool)
{
    if (pool->zygote > 0)
        close(pool->zygote_socket); /* it leaves by itself */
    pool->zygote = 0;
}

static bool has_zygote(struct pool *pool)
{
    if (pool->zygote > 0 && pool->forks >= ZYGOTE_FORKS)
        end_zygote(pool);
    if (pool->zygote <= 0) {
        pool->forks = 0;
        pool->is_drawn = false;
        pool->zygote = zygote_start(runner, &pool->warm, &pool->zygote_socket);
    }
    return pool->zygote > 0;
}

/* ---- Making ----------------------------------------------------------------------------------- */

static void forget_asker(size_t index)
{
    close(askers[index].socket);
    askers[index].pool->asked--;
    asker_count--;
    memmove(&askers[index], &askers[index + 1], (asker_count - index) * sizeof *askers);
}

/* They make a kit themselves. */
static void send_away(const struct pool *pool)
{
    for (size_t i = asker_count; i-- > 0;)
        if (askers[i].pool == pool)
            forget_asker(i);
}

static void fail(struct slot *slot, const char *why)
{
    if (slot->pool->failures == 0)
        warn("a kit for %s: %s", slot->pool->name ? slot->pool->name : "any language", why);
    pool_failed(slot->pool, monotonic_ms());
    send_away(slot->pool);
    doom(slot);
}

static void begin(struct pool *pool)
{
    struct slot *slot = slots;
    while (slot < slots + MAX_KITS && slot->state != FREE)
        slot++;
    if (slot == slots + MAX_KITS || (pool->warm.mode == WARM_FORK && !has_zygote(pool)))
        return;
    struct recipe recipe = {0};
    if (pool->warm.mode == WARM_FORK)
        recipe = (struct recipe){.zygote = pool->zygote_socket, .unhurried = pool->asked == 0};
    if (pool->warm.mode == WARM_PRESPAWN)
        recipe = (struct recipe){.warm = &pool->warm.command, .early = pool->warm.file};
    *slot = (struct slot){.state = BEGUN, .pool = pool, .begun_at = monotonic_ms()};
    count(slot, 1);
    pool->forks++;
    if (!kit_begin(&slot->kit, runner, &pool->limits, &recipe)) {
        end_zygote(pool);
        fail(slot, "its zygote is gone");
    }
}

static int64_t processor_time(const struct kit *kit, int64_t *bytes)
{
    struct cgroup_usage counted;
    struct tree_usage seen = {0};
    if (kit->namespaced)
        tree_usage(kit->parts[KIT_PROCFS], 0, &seen);
    *bytes = seen.rss_bytes;
    cgroup_usage(&kit->cgroup, &counted);
    return counted.cpu_ms >= 0 ? counted.cpu_ms : seen.cpu_ms;
}

static void give(struct slot *slot, int socket)
{
    bool given = kit_hand_over(socket, &slot->kit);
    if (!given) { /* whoever asked is gone */
        doom(slot);
        return;
    }
    *slot->pool->figure_served += 1;
    slot->pool->is_drawn = true;
    become(slot, FREE);
    kit_close(&slot->kit);
}

static bool fits(const struct slot *slot, const struct limits *limits)
{
    return slot->state == READY && (!slot->pool->name || slot->kit.limits.memory_mb == limits->memory_mb);
}

/* A kit waits: for whoever asked first, if anybody did. */
static void welcome(struct slot *slot)
{
    slot->kit.cpu_before_ms = processor_time(&slot->kit, &slot->pool->bytes);
    slot->pool->failures = 0;
    become(slot, READY);
    for (size_t i = 0; i < asker_count; i++)
        if (askers[i].pool == slot->pool && fits(slot, &askers[i].limits)) {
            give(slot, askers[i].socket);
            forget_asker(i);
            return;
        }
}

static void advance(struct slot *slot)
{
    struct report report;
    char word;
    int heard;
    while ((heard = kit_receive(&slot->kit, &report)) > 0) {
        if (report.kind == REPORT_READY)
            slot->set_up = true;
        else if (report.kind != REPORT_BORN) {
            fail(slot, report.kind == REPORT_REFUSED ? report.refusal.message : "it ended while it waited");
            return;
        }
    }
    if (heard < 0) {
        fail(slot, "its init ended");
        return;
    }
    if (slot->state != BEGUN || !slot->set_up || slot->kit.ended < 0)
        return;
    ssize_t got = recv(slot->kit.parts[KIT_LAUNCH], &word, 1, MSG_DONTWAIT);
    if (got == 1 && word == PROGRAM_READY)
        welcome(slot);
    else if (got >= 0)
        fail(slot, "its program did not wait");
}

/* ---- Tickets ---------------------------------------------------------------------------------- */

static struct pool *pool_for(const struct ticket *ticket)
{
    for (size_t i = 1; ticket->warm && i < pool_count; i++)
        if (!strcmp(pools[i].name, ticket->runtime))
            return &pools[i];
    return NULL;
}

static bool serve(struct pool *pool, const struct limits *limits, int socket)
{
    struct slot *found = NULL;
    for (size_t i = 0; i < MAX_KITS && !found; i++)
        if (slots[i].pool == pool && fits(&slots[i], limits))
            found = &slots[i];
    pool->limits = *limits;
    pool_used(pool, monotonic_ms(), found);
    if (found)
        give(found, socket);
    return found;
}

/* Forking one takes less time than starting an interpreter: worth waiting for. */
static bool ask(struct pool *pool, const struct limits *limits, int socket)
{
    if (pool->warm.mode != WARM_FORK || pool->zygote <= 0 || pool->failures > 0 || asker_count == MAX_ASKERS)
        return false;
    askers[asker_count++] = (struct asker){socket, pool, *limits};
    pool->asked++;
    return true;
}

static void take_tickets(int inbox)
{
    struct ticket ticket;
    int passed[PASS_MAX];
    size_t count;
    while (receive_passed(inbox, &ticket, sizeof ticket, passed, &count, MSG_DONTWAIT) == sizeof ticket) {
        if (count != 1)
            continue;
        struct pool *warm = pool_for(&ticket);
        if (warm && serve(warm, &ticket.limits, passed[0])) {
            close(passed[0]);
            continue;
        }
        if (warm && ask(warm, &ticket.limits, passed[0]))
            continue;
        serve(&pools[0], &ticket.limits, passed[0]);
        close(passed[0]);
    }
}

/* ---- The loop --------------------------------------------------------------------------------- */

static void watch_slots(struct pollfd *watched)
{
    for (size_t i = 0; i < MAX_KITS; i++) {
        const struct slot *slot = &slots[i];
        int descriptor = -1;
        if (slot->state == BEGUN)
            descriptor = slot->set_up && slot->kit.ended >= 0 ? slot->kit.parts[KIT_LAUNCH] : slot->kit.control;
        else if (slot->state == READY || slot->state == DOOMED)
            descriptor = slot->kit.ended;
        watched[i] = (struct pollfd){.fd = descriptor, .events = POLLIN};
    }
}

static void look_after(struct slot *slot)
{
    if (slot->state == BEGUN) {
        advance(slot);
    } else if (slot->state == DOOMED) {
        release(slot);
    } else if (slot->state == READY) {
        become(slot, DOOMED);
        release(slot);
    }
}

/* What waits would end with this process; its control groups and directories would not. */
static _Noreturn void leave(void)
{
    struct pollfd watched[MAX_KITS];
    int64_t deadline = monotonic_ms() + FAREWELL_MS;
    doom_all(NULL);
    for (int left = 1; left > 0 && monotonic_ms() < deadline;) {
        watch_slots(watched);
        poll(watched, MAX_KITS, FAREWELL_MS);
        left = 0;
        for (size_t i = 0; i < MAX_KITS; i++) {
            if (watched[i].revents)
                look_after(&slots[i]);
            left += slots[i].state != FREE;
        }
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
    bool left = false, is_short = memory_is_short();
    for (size_t i = 0; i < pool_count; i++) {
        pool_age(&pools[i], now);
        if (is_short || (pools[i].wanted == 0 && pools[i].ready + pools[i].begun > 0)) {
            doom_all(&pools[i]);
            end_zygote(&pools[i]);
        }
        left |= pools[i].wanted > 0;
    }
    for (size_t i = 0; i < MAX_KITS; i++)
        if (slots[i].state == BEGUN && now - slots[i].begun_at > BIRTH_MS)
            fail(&slots[i], "it took too long");
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
    pools[pool_count++] =
        (struct pool){.figure_ready = &figures->plain.ready, .figure_served = &figures->plain.served};
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
        if (watched[MAX_KITS].revents)
            take_tickets(inbox);
        for (size_t i = 0; i < MAX_KITS; i++)
            if (watched[i].revents)
                look_after(&slots[i]);
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
