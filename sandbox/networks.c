/* Networks of runs that sent nothing, for the runs after them.
 *
 * To make a network namespace and to take it apart again is a fifth of the work of a short run. One that nobody is in any
 * more, without sockets, whose counters are those of a fresh one, has had no packet in it and no attempt at one: whoever
 * comes next finds in it what a new one has. Addresses, routes and settings need rights in it that programs never have.
 * One that differs in anything is not kept, but for what IPv6 itself reports of groups, at times of its own: such reports can
 * be counted from one run to the next. Its way out (network.c), if it has one, is kept with it.
 *
 * A supervisor looks when all of its run is dead, and gives the namespace to the keeper, whose kits then begin in it. */
#include "networks.h"

#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MOST_KEPT = 16 };

static const char *read_net(const char *name, char *text, size_t size)
{
    char path[64];
    format_into(path, sizeof path, "/proc/self/net/%s", name);
    return read_text_at(AT_FDCWD, path, text, size) ? text : NULL;
}

/* Labels of flows outlive the socket that took them, for up to a minute, and need no packet (RFC 6437). */
static bool has_labels(void)
{
    char text[256];
    const char *heading = read_net("ip6_flowlabel", text, sizeof text) ? strchr(text, '\n') : NULL;
    return heading && heading[1];
}

/* Counters that IPv6's own reports of groups raise at some time (RFC 9777). What a program does raises others too. */
static bool is_of_reports(const char *line)
{
    static const char *const names[] = {"Ip6OutRequests ",     "Ip6OutMcastPkts ", "Ip6OutOctets ",
                                        "Ip6OutMcastOctets ",  "Ip6OutTransmits ", "Icmp6OutMsgs ",
                                        "Icmp6OutMLDv2Reports", "Icmp6OutType143 "};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strncmp(line, names[i], strlen(names[i])))
            return true;
    return false;
}

/* What was counted in the network this process is in; empty if that cannot be told, or somebody is there. A tap is a
 * socket to whoever counts them. */
static void take_picture(bool has_tap, char picture[PICTURE_SIZE])
{
    char text[PICTURE_SIZE], sockets[32];
    picture[0] = 0;
    format_into(sockets, sizeof sockets, "sockets: used %d\n", has_tap);
    bool is_empty = read_net("sockstat", text, sizeof text) && !strncmp(text, sockets, strlen(sockets)) && !has_labels();
    if (!is_empty || !read_net("snmp", text, PICTURE_SIZE / 2))
        return;
    size_t length = strlen(text);
    memcpy(picture, text, length + 1);
    char *line = read_net("snmp6", text, sizeof text) ? text : NULL; /* not there where IPv6 is turned off */
    for (char *end; line && (end = strchr(line, '\n')); line = end + 1) {
        *end = 0;
        if (!is_of_reports(line) && length + (size_t)(end - line) < PICTURE_SIZE) {
            memcpy(picture + length, line, (size_t)(end - line) + 1);
            length += (size_t)(end - line);
        }
    }
}

void network_remember(char fresh[PICTURE_SIZE])
{
    int mine = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    if (mine < 0)
        return;
    if (setns(mine, CLONE_NEWNET) == 0) /* or kits could not enter one */
        take_picture(false, fresh);
    close(mine);
}

void network_return(const struct kit *kit, const struct runner *runner)
{
    int returned[] = {kit->parts[KIT_NETWORK], kit->egress};
    bool is_whole = kit->asked_out == network_lasts(kit);
    char picture[PICTURE_SIZE];
    if (returned[0] < 0 || !is_whole || runner->keeper < 0 || !runner->fresh_network[0] ||
        setns(returned[0], CLONE_NEWNET) < 0)
        return;
    take_picture(kit->asked_out, picture);
    struct ticket ticket = {.returns_network = true};
    if (!strcmp(picture, runner->fresh_network))
        pass(runner->keeper, &ticket, sizeof ticket, returned, kit->egress < 0 ? 1 : 2, MSG_DONTWAIT);
}

/* ---- In the keeper ---------------------------------------------------------------------------- */

static struct kept {
    int network, egress;
} kept[MOST_KEPT];
static int kept_count;

static struct kept take(int index, const struct runner *runner)
{
    struct kept one = kept[index];
    kept[index] = kept[--kept_count];
    runner->figures->networks = kept_count;
    return one;
}

static void drop(int index, const struct runner *runner)
{
    struct kept one = take(index, runner);
    close_end(&one.network);
    close_end(&one.egress);
}

void network_keep(const struct runner *runner, int network, int egress)
{
    if (kept_count == MOST_KEPT)
        drop(0, runner);
    kept[kept_count++] = (struct kept){network, egress};
    runner->figures->networks = kept_count;
}

int network_take(const struct runner *runner, bool way_out, int *egress)
{
    int found = -1;
    for (int i = 0; i < kept_count; i++)
        if (kept[i].egress < 0 ? found < 0 : way_out)
            found = i;
    if (found < 0)
        return 0;
    struct kept one = take(found, runner);
    *egress = one.egress;
    return one.network;
}

void networks_forget(const struct runner *runner, bool ways_out_only)
{
    for (int i = kept_count; i-- > 0;)
        if (kept[i].egress >= 0 || !ways_out_only)
            drop(i, runner);
}
