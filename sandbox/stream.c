/* Bytes between the client and the program: output frames one way, stdin, its credit and signals the other. */
#include "supervisor.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { REST_NS = 60 * 1000 };

/* ---- Output ----------------------------------------------------------------------------------- */

bool frame_pending(void)
{
    return me.frame_start < me.frame_end;
}

void flush_frame(void)
{
    while (frame_pending()) {
        const uint8_t *bytes = me.frame + me.frame_start;
        int flags = MSG_NOSIGNAL | MSG_DONTWAIT | (me.held_until ? MSG_MORE : 0);
        ssize_t sent = send(me.socket, bytes, me.frame_end - me.frame_start, flags);
        if (sent >= 0) {
            me.frame_start += (size_t)sent;
            me.last_progress = monotonic_ms();
        } else if (errno == EAGAIN) {
            return;
        } else if (errno != EINTR) {
            lose_client();
            return;
        }
    }
}

void release_frames(void)
{
    int one = 1;
    me.held_until = 0;
    if (setsockopt(me.socket, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) < 0) /* which it is: that sends, tcp(7) */
        lose_client();
}

/* Sends the frame whose payload is already in its place. */
static void send_framed(enum frame_type type, size_t length)
{
    frame_header(me.frame, type, (uint32_t)length);
    me.frame_start = 0;
    me.frame_end = FRAME_HEADER + length;
    flush_frame();
}

void start_frame(enum frame_type type, const void *payload, size_t length)
{
    memcpy(me.frame + FRAME_HEADER, payload, length);
    send_framed(type, length);
}

static void pass_the_cap(void)
{
    me.truncated = true;
    kill_run(OUTPUT_LIMIT);
    close_end(&me.kit.output);
    close_end(&me.kit.error);
}

/* Text that stops within a line is nearly always followed by its rest, in a call of its own: both go in one frame if that
 * comes at once. Each frame wakes everybody on its way, and takes the processor from the program that prints. */
static size_t with_the_rest(int pipe, size_t length, size_t most)
{
    if (!me.alive || length == most || me.frame[FRAME_HEADER + length - 1] == '\n')
        return length;
    nanosleep(&(struct timespec){.tv_nsec = REST_NS}, NULL);
    ssize_t more = read(pipe, me.frame + FRAME_HEADER + length, most - length);
    return more > 0 ? length + (size_t)more : length;
}

void pump_output(int *pipe, enum frame_type type)
{
    while (*pipe >= 0 && !frame_pending() && !me.client_gone) {
        int64_t allowed = me.run.limits.output_bytes - me.delivered;
        size_t most = allowed == 0 ? 1 : allowed < FRAME_OUTPUT_MAX ? (size_t)allowed : FRAME_OUTPUT_MAX;
        ssize_t got = read(*pipe, me.frame + FRAME_HEADER, most);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            if (got == 0 || errno != EAGAIN || !me.alive) /* nobody is left to write */
                close_end(pipe);
            return;
        }
        if (allowed == 0) { /* the byte after the last one allowed */
            pass_the_cap();
            return;
        }
        size_t length = with_the_rest(*pipe, (size_t)got, most);
        me.held_until = 0;
        me.delivered += (int64_t)length;
        send_framed(type, length);
        if (me.alive && length < most)
            return; /* it was all there was: poll tells when there is more */
    }
}

/* ---- Stdin ------------------------------------------------------------------------------------ */

void grant_credit(void)
{
    bool due = me.credit_owed >= CREDIT_STEP || (me.credit_owed > 0 && me.waiting_start == me.waiting_end);
    if (!due || !me.announced || !me.alive || frame_pending())
        return;
    uint8_t bytes[4];
    for (int i = 0; i < 4; i++)
        bytes[i] = (uint8_t)(me.credit_owed >> (8 * i));
    me.credit_owed = 0;
    start_frame(FRAME_CREDIT, bytes, sizeof bytes);
}

/* Counts bytes as taken by the program, or as dropped for it. */
static void settle(size_t length)
{
    me.credit += length;
    me.credit_owed += length;
}

void pump_input(void)
{
    while (me.waiting_start < me.waiting_end) {
        size_t length = me.waiting_end - me.waiting_start;
        ssize_t written =
            me.kit.input < 0 ? (ssize_t)length : write(me.kit.input, me.waiting + me.waiting_start, length);
        if (written >= 0) {
            me.waiting_start += (size_t)written;
            settle((size_t)written);
        } else if (errno == EAGAIN) {
            break;
        } else if (errno != EINTR) {
            close_end(&me.kit.input); /* the program closed its stdin: the rest is dropped */
        }
    }
    if (me.waiting_start == me.waiting_end) {
        me.waiting_start = me.waiting_end = 0;
        if (me.input_ending)
            close_end(&me.kit.input);
    }
    grant_credit();
}

static void violate(const char *problem)
{
    refuse(&me.refusal, "bad_request", "The connection broke the protocol: %s.", problem);
    kill_run(FAULT);
}

/* Keeps one piece until the program takes it. The credit is what bounds the buffer. */
static bool keep(const struct frame_piece *piece)
{
    if (piece->length > me.credit)
        return false;
    me.credit -= piece->length;
    if (piece->length > sizeof me.waiting - me.waiting_end) {
        memmove(me.waiting, me.waiting + me.waiting_start, me.waiting_end - me.waiting_start);
        me.waiting_end -= me.waiting_start;
        me.waiting_start = 0;
    }
    memcpy(me.waiting + me.waiting_end, piece->bytes, piece->length);
    me.waiting_end += piece->length;
    frame_stream_consume(&me.inbound, piece->length);
    return true;
}

static void take_pieces(void)
{
    for (;;) {
        struct frame_piece piece = frame_stream_next(&me.inbound);
        switch (piece.kind) {
        case PIECE_NONE: return;
        case PIECE_VIOLATION: violate(piece.problem); return;
        case PIECE_STDIN_END: me.input_ending = true; break;
        case PIECE_SIGNAL: /* a full socket means thousands of signals that nobody has looked at: one less */
            kit_order(&me.kit, ORDER_SIGNAL, piece.signal);
            break;
        case PIECE_STDIN:
            if (!keep(&piece)) {
                violate("more stdin than was credited");
                return;
            }
            break;
        }
    }
}

void receive(void)
{
    uint8_t *where;
    size_t room = frame_stream_room(&me.inbound, &where); /* never 0: what came before was taken apart */
    ssize_t got = recv(me.socket, where, room, MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
        lose_client();
    } else if (got > 0) {
        me.inbound.end += (size_t)got;
        take_pieces();
        pump_input();
    }
}
