/* The wire: frames of `u8 type, u32 length, payload`, little-endian. */
#include "runner.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    REQUEST_IDLE_MS = 15 * 1000,   /* longest silence within a request */
    REQUEST_TOTAL_MS = 120 * 1000, /* a request of 16 MiB over a slow line takes a while */
    CLOSE_MS = 2000,               /* how long a peer may take to notice the end of the stream */
};

static uint32_t little_endian(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

void frame_header(uint8_t header[FRAME_HEADER], enum frame_type type, uint32_t length)
{
    header[0] = (uint8_t)type;
    for (int i = 0; i < 4; i++)
        header[1 + i] = (uint8_t)(length >> (8 * i));
}

/* ---- Frames after the request ----------------------------------------------------------------- */

static struct frame_piece violation(const char *problem)
{
    return (struct frame_piece){.kind = PIECE_VIOLATION, .problem = problem};
}

size_t frame_stream_room(struct frame_stream *stream, uint8_t **where)
{
    if (stream->end == sizeof stream->buffer && stream->start > 0) {
        memmove(stream->buffer, stream->buffer + stream->start, stream->end - stream->start);
        stream->end -= stream->start;
        stream->start = 0;
    }
    *where = stream->buffer + stream->end;
    return sizeof stream->buffer - stream->end;
}

void frame_stream_consume(struct frame_stream *stream, size_t length)
{
    stream->start += length;
    stream->left -= (uint32_t)length;
    if (stream->left == 0)
        stream->inside = false;
    if (stream->start == stream->end)
        stream->start = stream->end = 0;
}

/* Checks a header and enters its frame. */
static struct frame_piece enter_frame(struct frame_stream *stream)
{
    const uint8_t *header = stream->buffer + stream->start;
    uint32_t length = little_endian(header + 1);
    if (length > FRAME_INPUT_MAX)
        return violation("a frame is longer than 1 MiB");
    switch (header[0]) {
    case FRAME_STDIN: break;
    case FRAME_STDIN_END:
        if (length != 0)
            return violation("a stdin-end frame has a payload");
        break;
    case FRAME_SIGNAL:
    case FRAME_WINDOW:
        if (length != 4)
            return violation("a signal or window frame is not 4 bytes long");
        break;
    case FRAME_REQUEST: return violation("a second request on one connection");
    default: return violation("a frame of unknown type");
    }
    stream->type = header[0];
    stream->inside = true;
    stream->left = length + FRAME_HEADER;
    frame_stream_consume(stream, FRAME_HEADER); /* leaves an empty frame at once */
    return (struct frame_piece){.kind = PIECE_NONE};
}

struct frame_piece frame_stream_next(struct frame_stream *stream)
{
    for (;;) {
        size_t available = stream->end - stream->start;
        if (!stream->inside) {
            if (available < FRAME_HEADER)
                return (struct frame_piece){.kind = PIECE_NONE};
            struct frame_piece piece = enter_frame(stream);
            if (piece.kind == PIECE_VIOLATION)
                return piece;
            if (stream->type == FRAME_STDIN_END)
                return (struct frame_piece){.kind = PIECE_STDIN_END};
            continue;
        }
        if (available == 0)
            return (struct frame_piece){.kind = PIECE_NONE};
        const uint8_t *bytes = stream->buffer + stream->start;
        if (stream->type == FRAME_STDIN)
            return (struct frame_piece){
                .kind = PIECE_STDIN, .bytes = bytes, .length = available < stream->left ? available : stream->left};
        if (available < stream->left)
            return (struct frame_piece){.kind = PIECE_NONE};
        int number = (int)little_endian(bytes);
        bool is_signal = stream->type == FRAME_SIGNAL;
        frame_stream_consume(stream, stream->left);
        if (is_signal && (number < 1 || number > 64))
            return violation("a signal frame names no signal");
        if (is_signal)
            return (struct frame_piece){.kind = PIECE_SIGNAL, .signal = number};
    }
}

/* ---- Blocking, with a deadline ---------------------------------------------------------------- */

static bool wait_until(int socket, short events, int64_t deadline)
{
    for (;;) {
        int64_t left = deadline - monotonic_ms();
        if (left <= 0)
            return false;
        struct pollfd one = {.fd = socket, .events = events};
        int ready = poll(&one, 1, (int)left);
        if (ready > 0)
            return true;
        if (ready < 0 && errno != EINTR)
            die_errno("poll");
    }
}

bool send_all(int socket, const void *bytes, size_t length, int64_t deadline)
{
    for (size_t sent = 0; sent < length;) {
        ssize_t count = send(socket, (const char *)bytes + sent, length - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (count >= 0)
            sent += (size_t)count;
        else if (errno == EAGAIN) {
            if (!wait_until(socket, POLLOUT, deadline))
                return false;
        } else if (errno != EINTR)
            return false;
    }
    return true;
}

bool send_frame(int socket, enum frame_type type, const void *payload, size_t length, int64_t deadline)
{
    uint8_t *frame = allocate(FRAME_HEADER + length); /* one piece, so that it leaves as one packet */
    frame_header(frame, type, (uint32_t)length);
    memcpy(frame + FRAME_HEADER, payload, length);
    bool sent = send_all(socket, frame, FRAME_HEADER + length, deadline);
    free(frame);
    return sent;
}

void send_refused(int socket, const char *code, const char *message)
{
    json_t *json = json_pack("{s:s, s:s+}", "code", code, "message", message, "");
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    if (!text) /* the message was not UTF-8 */
        text = copy_text("{\"code\":\"internal\",\"message\":\"The request was refused.\"}");
    send_frame(socket, FRAME_REFUSED, text, strlen(text), monotonic_ms() + CLOSE_MS);
    free(text);
    json_decref(json);
}

/* True once `length` bytes are there; false at the end of the stream or of the time. */
static bool receive_exactly(int socket, void *bytes, size_t length, int64_t deadline)
{
    for (size_t have = 0; have < length;) {
        ssize_t count = recv(socket, (char *)bytes + have, length - have, MSG_DONTWAIT);
        if (count > 0) {
            have += (size_t)count;
        } else if (count == 0) {
            return false;
        } else if (errno == EAGAIN) {
            int64_t idle = monotonic_ms() + REQUEST_IDLE_MS;
            if (!wait_until(socket, POLLIN, idle < deadline ? idle : deadline))
                return false;
        } else if (errno != EINTR) {
            return false;
        }
    }
    return true;
}

char *receive_request(int socket, size_t *length, const char **problem)
{
    int64_t deadline = monotonic_ms() + REQUEST_TOTAL_MS;
    uint8_t header[FRAME_HEADER];
    *problem = NULL;
    if (!receive_exactly(socket, header, sizeof header, deadline))
        return NULL;
    uint32_t total = little_endian(header + 1);
    if (header[0] != FRAME_REQUEST)
        *problem = "the first frame is not a request";
    else if (total > REQUEST_MAX)
        *problem = "the request is longer than 16 MiB";
    if (*problem)
        return NULL;

    /* The buffer follows what has really arrived: a header alone buys no memory. */
    char *text = NULL;
    for (size_t have = 0; have < total || !text;) {
        size_t step = have < 64 * 1024 ? 64 * 1024 : have;
        if (step > total - have)
            step = total - have;
        char *grown = realloc(text, have + step + 1);
        if (!grown)
            die("out of memory");
        text = grown;
        if (!receive_exactly(socket, text + have, step, deadline)) {
            free(text);
            return NULL;
        }
        have += step;
    }
    *length = total;
    return text;
}

void close_gently(int socket)
{
    /* Closing with unread bytes resets the connection, and a reset can overtake the exit frame. */
    int64_t deadline = monotonic_ms() + CLOSE_MS;
    char sink[4096];
    if (shutdown(socket, SHUT_WR) == 0)
        while (wait_until(socket, POLLIN, deadline) && recv(socket, sink, sizeof sink, MSG_DONTWAIT) > 0)
            ;
    close(socket);
}
