/* Feeds the parser of frames with sense and nonsense in pieces of every size, under the sanitizers when they are on.
 *
 * Well-formed streams must come out as they went in, however they were cut; nonsense must end in a violation or in
 * waiting, never in a piece beyond the buffer. */
#include "runner.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned long state = 4611;

static unsigned chance(unsigned below)
{
    state = state * 6364136223846793005UL + 1442695040888963407UL;
    return (unsigned)(state >> 33) % below;
}

/* Delivers `bytes` in random cuts; appends stdin to `out`; false at a violation. */
static bool feed(struct frame_stream *stream, const uint8_t *bytes, size_t length, uint8_t *out, size_t *out_length,
                 int *signals, int *ends)
{
    for (size_t at = 0; at < length;) {
        uint8_t *where;
        size_t room = frame_stream_room(stream, &where);
        assert(room > 0 && where >= stream->buffer && where + room == stream->buffer + sizeof stream->buffer);
        size_t step = 1 + chance(chance(4) ? 50 : 20000);
        step = step < room ? step : room;
        step = step < length - at ? step : length - at;
        memcpy(where, bytes + at, step);
        stream->end += step;
        at += step;
        for (;;) {
            struct frame_piece piece = frame_stream_next(stream);
            if (piece.kind == PIECE_NONE)
                break;
            if (piece.kind == PIECE_VIOLATION)
                return false;
            if (piece.kind == PIECE_SIGNAL) {
                assert(piece.signal >= 1 && piece.signal <= 64);
                ++*signals;
            }
            *ends += piece.kind == PIECE_STDIN_END;
            if (piece.kind != PIECE_STDIN)
                continue;
            assert(piece.length > 0 && piece.bytes >= stream->buffer);
            assert(piece.bytes + piece.length <= stream->buffer + stream->end);
            size_t taken = 1 + chance((unsigned)piece.length); /* all of it, or only some */
            if (out) {
                memcpy(out + *out_length, piece.bytes, taken);
                *out_length += taken;
            }
            frame_stream_consume(stream, taken);
        }
    }
    return true;
}

static size_t append(uint8_t *bytes, size_t at, uint8_t type, const void *payload, size_t length)
{
    frame_header(bytes + at, type, (uint32_t)length);
    memcpy(bytes + at + FRAME_HEADER, payload, length);
    return at + FRAME_HEADER + length;
}

static void check_sense(void)
{
    static struct frame_stream stream;
    static uint8_t bytes[1 << 20], wanted[1 << 20], got[1 << 20];
    size_t length = 0, wanted_length = 0, got_length = 0;
    int signals = 0, ends = 0, wanted_signals = 0, wanted_ends = 0;
    memset(&stream, 0, sizeof stream);
    for (int i = 0; i < 60; i++) {
        uint8_t payload[8000];
        size_t size = chance(3) ? chance(sizeof payload) : 0;
        for (size_t j = 0; j < size; j++)
            payload[j] = (uint8_t)chance(256);
        uint8_t number[4] = {(uint8_t)(1 + chance(64)), 0, 0, 0};
        switch (chance(4)) {
        case 0: length = append(bytes, length, FRAME_SIGNAL, number, 4), wanted_signals++; break;
        case 1: length = append(bytes, length, FRAME_WINDOW, number, 4); break;
        case 2: length = append(bytes, length, FRAME_STDIN_END, number, 0), wanted_ends++; break;
        default:
            length = append(bytes, length, FRAME_STDIN, payload, size);
            memcpy(wanted + wanted_length, payload, size);
            wanted_length += size;
        }
    }
    bool understood = feed(&stream, bytes, length, got, &got_length, &signals, &ends);
    assert(understood && got_length == wanted_length && !memcmp(got, wanted, got_length));
    assert(signals == wanted_signals && ends == wanted_ends && stream.start == stream.end);
}

static void check_nonsense(void)
{
    static struct frame_stream stream;
    uint8_t bytes[4000];
    int ignored = 0;
    size_t length = 1 + chance(sizeof bytes - 1), none = 0;
    memset(&stream, 0, sizeof stream);
    for (size_t i = 0; i < length; i++)
        bytes[i] = (uint8_t)(chance(3) ? chance(256) : chance(6)); /* often enough a known type and a short length */
    feed(&stream, bytes, length, NULL, &none, &ignored, &ignored);
}

int main(void)
{
    for (int i = 0; i < 300; i++)
        check_sense();
    for (int i = 0; i < 200000; i++)
        check_nonsense();
    puts("ok");
    return 0;
}
