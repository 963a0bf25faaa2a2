/* The parser of frames, fed what libFuzzer makes up: its first bytes say how the rest is cut into pieces.
 *
 * However a stream is cut, it must come out the same, and no piece may lie outside the buffer. */
#include "../runner.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
    if (!holds)
        abort();
}

/* What came of a stream, as a sum that depends on the order. */
struct account {
    uint64_t sum;
    size_t stdin_bytes;
    bool violated;
};

static void note(struct account *account, uint64_t value)
{
    account->sum = (account->sum ^ value) * 1099511628211u;
}

/* True while more can come. */
static bool take(struct frame_stream *stream, struct account *account, size_t most)
{
    for (;;) {
        struct frame_piece piece = frame_stream_next(stream);
        switch (piece.kind) {
        case PIECE_NONE: return true;
        case PIECE_VIOLATION:
            check(piece.problem && *piece.problem);
            account->violated = true;
            return false;
        case PIECE_SIGNAL:
            check(piece.signal >= 1 && piece.signal <= 64);
            note(account, 0x100u + (unsigned)piece.signal);
            break;
        case PIECE_STDIN_END: note(account, 0x200); break;
        case PIECE_STDIN:
            check(piece.length > 0 && piece.bytes >= stream->buffer &&
                  piece.bytes + piece.length <= stream->buffer + stream->end);
            size_t taken = piece.length < most ? piece.length : most;
            for (size_t i = 0; i < taken; i++)
                note(account, piece.bytes[i]);
            account->stdin_bytes += taken;
            frame_stream_consume(stream, taken);
        }
    }
}

static struct account run(const uint8_t *bytes, size_t length, size_t step, size_t most)
{
    static struct frame_stream stream;
    struct account account = {.sum = 14695981039346656037u};
    memset(&stream, 0, sizeof stream);
    for (size_t at = 0; at < length;) {
        uint8_t *where;
        size_t room = frame_stream_room(&stream, &where);
        check(room > 0 && where >= stream.buffer && where + room == stream.buffer + sizeof stream.buffer);
        size_t piece = step < room ? step : room;
        piece = piece < length - at ? piece : length - at;
        memcpy(where, bytes + at, piece);
        stream.end += piece;
        at += piece;
        if (!take(&stream, &account, most))
            break;
    }
    return account;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    size_t step = 1 + data[0], most = 1 + data[1];
    struct account whole = run(data + 2, size - 2, size, size), cut = run(data + 2, size - 2, step, most);
    check(whole.violated == cut.violated && whole.stdin_bytes == cut.stdin_bytes && whole.sum == cut.sum);
    return 0;
}
