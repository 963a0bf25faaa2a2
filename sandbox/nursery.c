/* Kits on their way and kits that wait: begun here or forked from a zygote, watched until they are used or dropped. */
#include "keeper.h"
#include "networks.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    BIRTH_MS = 15 * 1000, /* within which a kit has to wait for its launch */
    ZYGOTE_FORKS = 256,   /* they share what an interpreter draws once, as the seed of its hashes */
};

struct slot slots[MAX_KITS];

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

void doom(struct slot *slot)
{
    become(slot, DOOMED);
    if (slot->kit.ended < 0)
        release(slot); /* it never was born */
    else
        kit_kill(&slot->kit, true);
}

void doom_all(struct pool *pool)
{
    for (size_t i = 0; i < MAX_KITS; i++)
        if ((slots[i].state == READY || slots[i].state == BEGUN) && (!pool || slots[i].pool == pool))
            doom(&slots[i]);
}

void give(struct slot *slot, int socket)
{
    *slot->pool->figure_served += 1; /* before the run can end, which somebody may count */
    if (!kit_hand_over(socket, &slot->kit)) { /* whoever asked is gone */
        *slot->pool->figure_served -= 1;
        doom(slot);
        return;
    }
    slot->pool->is_drawn = true;
    become(slot, FREE);
    kit_close(&slot->kit);
}

/* ---- Zygotes ---------------------------------------------------------------------------------- */

void end_zygote(struct pool *pool)
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

static void fail(struct slot *slot, const char *why)
{
    if (slot->pool->failures == 0)
        warn("a kit for %s: %s", slot->pool->name ? slot->pool->name : "any language", why);
    pool_failed(slot->pool, monotonic_ms());
    kits_fail(slot->pool);
    doom(slot);
}

void begin(struct pool *pool)
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
    int egress = -1;
    recipe.network = network_take(runner, pool->network, &egress);
    *slot = (struct slot){.state = BEGUN, .pool = pool, .begun_at = monotonic_ms()};
    count(slot, 1);
    pool->forks++;
    bool begun = kit_begin(&slot->kit, runner, &pool->limits, &recipe);
    slot->kit.egress = egress;
    slot->kit.asked_out = egress >= 0;
    if (!begun) {
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

static void note_ready(struct slot *slot)
{
    slot->kit.cpu_before_ms = processor_time(&slot->kit, &slot->pool->bytes);
    slot->pool->failures = 0;
    become(slot, READY);
    kit_waits(slot);
}

static void advance(struct slot *slot)
{
    struct report report;
    char word;
    int heard;
    while ((heard = kit_receive(&slot->kit, &report)) > 0) {
        if (report.kind == REPORT_READY) {
            slot->set_up = true;
            if (slot->pool->network && slot->kit.egress < 0)
                slot->asks = network_ask(&slot->kit, runner); /* while its program gets ready */
        } else if (report.kind != REPORT_BORN) {
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
    if (!slot->is_up) {
        ssize_t got = recv(slot->kit.parts[KIT_LAUNCH], &word, 1, MSG_DONTWAIT);
        if (got < 0)
            return;
        if (got != 1 || word != PROGRAM_READY) {
            fail(slot, "its program did not wait");
            return;
        }
        slot->is_up = true;
    }
    if (slot->asks) {
        struct pollfd answer = {.fd = slot->kit.egress, .events = POLLIN};
        struct refusal refusal; /* for whoever uses it and asks again */
        if (poll(&answer, 1, 0) <= 0)
            return;
        network_granted(&slot->kit, &refusal);
        slot->asks = false;
    }
    note_ready(slot);
}

void watch_slots(struct pollfd watched[MAX_KITS])
{
    for (size_t i = 0; i < MAX_KITS; i++) {
        const struct slot *slot = &slots[i];
        int descriptor = -1;
        if (slot->state == BEGUN && slot->is_up)
            descriptor = slot->kit.egress; /* it asks */
        else if (slot->state == BEGUN)
            descriptor = slot->set_up && slot->kit.ended >= 0 ? slot->kit.parts[KIT_LAUNCH] : slot->kit.control;
        else if (slot->state == READY) /* has nothing to say: what comes is its end */
            descriptor = slot->kit.parts[KIT_LAUNCH];
        else if (slot->state == DOOMED)
            descriptor = slot->kit.ended;
        watched[i] = (struct pollfd){.fd = descriptor, .events = POLLIN};
    }
}

static void look_after(struct slot *slot)
{
    if (slot->state == BEGUN)
        advance(slot);
    else if (slot->state == DOOMED)
        release(slot);
}

void drop_dead_ones(struct pollfd watched[MAX_KITS])
{
    for (size_t i = 0; i < MAX_KITS; i++)
        if (watched[i].revents && slots[i].state == READY) {
            watched[i].revents = 0;
            fail(&slots[i], "its program was killed while it waited");
        }
}

void look_after_slots(const struct pollfd watched[MAX_KITS])
{
    for (size_t i = 0; i < MAX_KITS; i++)
        if (watched[i].revents)
            look_after(&slots[i]);
}

void give_up_late_ones(int64_t now)
{
    for (size_t i = 0; i < MAX_KITS; i++)
        if (slots[i].state == BEGUN && now - slots[i].begun_at > BIRTH_MS)
            fail(&slots[i], "it took too long");
}
