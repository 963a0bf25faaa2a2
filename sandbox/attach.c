/* The connection by which a terminal is used: who may have it, what it is sent, what it types. */
#include "terminal.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    FIRST_FRAME = 4096,
    LINE = 8192, /* that is looked through for its end */
    WINDOW_MIN = 4 * 1024,
    WINDOW_MAX = 1024 * 1024,
};

/* ---- Sending ---------------------------------------------------------------------------------- */

void client_clear(struct client *client)
{
    close_end(&client->socket);
    client->start = client->end = client->sent = client->filled = 0;
    client->told_end = client->welcome = false;
    client->window = client->untaken = 0;
}

static void stage_frame(struct client *client, enum frame_type type, const void *bytes, size_t length)
{
    frame_header(client->output, type, (uint32_t)length);
    memcpy(client->output + FRAME_HEADER, bytes, length);
    client->sent = 0;
    client->filled = FRAME_HEADER + length;
}

static void stage_text(struct client *client, enum frame_type type, json_t *object)
{
    char *text = json_dumps(object, JSON_COMPACT);
    if (text)
        stage_frame(client, type, text, strlen(text));
    free(text);
    json_decref(object);
}

static void stage_end(struct holder *holder)
{
    if (WIFSIGNALED(holder->status))
        stage_text(&holder->client, FRAME_EXIT, json_pack("{s:s}", "signal", signal_name(WTERMSIG(holder->status))));
    else
        stage_text(&holder->client, FRAME_EXIT, json_pack("{s:i}", "exitCode", WEXITSTATUS(holder->status)));
    holder->client.told_end = true;
}

bool client_send(struct holder *holder)
{
    struct client *client = &holder->client;
    while (true) {
        while (client->sent < client->filled) {
            ssize_t count = send(client->socket, client->output + client->sent, client->filled - client->sent,
                                 MSG_NOSIGNAL | MSG_DONTWAIT);
            if (count < 0)
                return errno == EAGAIN || errno == EINTR;
            client->sent += (size_t)count;
        }
        uint64_t left = holder->printed - client->place;
        if (left > 0) {
            size_t from = (size_t)(client->place % RING), length = left < CHUNK ? (size_t)left : CHUNK;
            if (length > RING - from)
                length = RING - from;
            if (client->window && length > client->window - client->untaken)
                length = (size_t)(client->window - client->untaken);
            if (length == 0)
                return true;
            stage_frame(client, FRAME_STDOUT, holder->ring + from, length);
            client->place += length;
            client->untaken += length;
        } else if (holder->dry && !client->told_end) {
            stage_end(holder);
        } else {
            return true;
        }
    }
}

/* ---- Receiving -------------------------------------------------------------------------------- */

static bool same_secret(const char *left, const char *right)
{
    unsigned char difference = strlen(left) != SECRET_LENGTH;
    for (size_t i = 0; !difference && i < SECRET_LENGTH; i++)
        difference |= (unsigned char)(left[i] ^ right[i]);
    return !difference;
}

static size_t frame_length(const uint8_t *header)
{
    return header[1] | (size_t)header[2] << 8 | (size_t)header[3] << 16 | (size_t)header[4] << 24;
}

bool client_receive(struct client *client)
{
    if (client->start > 0) {
        memmove(client->input, client->input + client->start, client->end - client->start);
        client->end -= client->start;
        client->start = 0;
    }
    if (client->end == sizeof client->input)
        return true;
    ssize_t count = recv(client->socket, client->input + client->end, sizeof client->input - client->end, MSG_DONTWAIT);
    if (count > 0)
        client->end += (size_t)count;
    return count > 0 || (count < 0 && (errno == EAGAIN || errno == EINTR));
}

bool guest_greet(struct holder *holder)
{
    struct client *guest = &holder->guest;
    if (guest->end < FRAME_HEADER)
        return true;
    size_t length = frame_length(guest->input);
    if (guest->input[0] != FRAME_REQUEST || length > FIRST_FRAME)
        return false;
    if (guest->end < FRAME_HEADER + length)
        return true;
    json_t *said = json_loadb((const char *)guest->input + FRAME_HEADER, length, 0, NULL);
    const char *secret = json_string_value(json_object_get(said, "secret"));
    bool good = secret && same_secret(secret, holder->secret);
    unsigned rows = (unsigned)json_integer_value(json_object_get(said, "rows"));
    unsigned columns = (unsigned)json_integer_value(json_object_get(said, "columns"));
    json_int_t window = json_integer_value(json_object_get(said, "window"));
    json_decref(said);
    if (window != 0 && (window < WINDOW_MIN || window > WINDOW_MAX))
        good = false;
    if (!good)
        return false;
    struct client *client = &holder->client;
    if (client->socket >= 0) {
        if (client->sent == client->filled) { /* else it is in the middle of a frame, and slow */
            stage_text(client, FRAME_REFUSED,
                       json_pack("{s:s, s:s}", "code", "taken", "message", "The terminal was opened elsewhere."));
            if (send(client->socket, client->output, client->filled, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
                client->sent = 0;
        }
        client_clear(client);
    }
    client->socket = guest->socket;
    client->welcome = true;
    client->end = guest->end - FRAME_HEADER - length;
    memcpy(client->input, guest->input + FRAME_HEADER + length, client->end);
    guest->socket = -1;
    client_clear(guest);
    client->window = (uint64_t)window;
    client->untaken = 0;
    client->place = holder->printed > RING ? holder->printed - RING : 0;
    if (client->place > 0) { /* its beginning is in the middle of something: of a line, at least */
        uint64_t place = client->place;
        while (place < client->place + LINE && holder->ring[place % RING] != '\n')
            place++;
        client->place = place;
    }
    stage_text(client, FRAME_STARTED, json_pack("{s:I, s:I}", "replayed", (json_int_t)(holder->printed - client->place),
                                                "window", window));
    shell_resize(holder, rows, columns, true);
    return true;
}

bool client_type(struct holder *holder)
{
    struct client *client = &holder->client;
    holder->stuck = false;
    while (client->end - client->start >= FRAME_HEADER) {
        uint8_t *frame = client->input + client->start;
        size_t length = frame_length(frame), here = client->end - client->start - FRAME_HEADER;
        if (length > INPUT - FRAME_HEADER)
            return false;
        if (frame[0] == FRAME_WINDOW) {
            if (length != 4)
                return false;
            if (here < length)
                return true;
            shell_resize(holder, frame[5] | frame[6] << 8, frame[7] | frame[8] << 8, false);
        } else if (frame[0] == FRAME_TAKEN) {
            if (length != 4)
                return false;
            if (here < length)
                return true;
            uint32_t taken = (uint32_t)(frame[5] | frame[6] << 8 | frame[7] << 16) | (uint32_t)frame[8] << 24;
            if (!client->window || taken > client->untaken)
                return false;
            client->untaken -= taken;
        } else if (frame[0] == FRAME_STDIN) {
            if (here < length)
                return true;
            ssize_t count = length ? write(holder->master, frame + FRAME_HEADER, length) : 0;
            if (count < 0 && (errno == EAGAIN || errno == EINTR)) {
                holder->stuck = true;
                return true;
            }
            if (count >= 0 && (size_t)count < length) { /* the rest becomes a frame of its own */
                client->start += (size_t)count;
                frame_header(client->input + client->start, FRAME_STDIN, (uint32_t)(length - (size_t)count));
                holder->stuck = true;
                return true;
            }
        } else {
            return false;
        }
        client->start += FRAME_HEADER + length;
    }
    return true;
}
