/* The wire: frames between the runner and its clients, and of terminals. Their form is in README.md, "The wire". */
#ifndef MARTLET_FRAME_H
#define MARTLET_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    FRAME_HEADER = 5,               /* u8 type, u32 length, little-endian */
    FRAME_OUTPUT_MAX = 64 * 1024,   /* payload of one stdout or stderr frame */
    FRAME_INPUT_MAX = 1024 * 1024,  /* payload of one frame to the runner, but for the request */
    REQUEST_MAX = 16 * 1024 * 1024, /* payload of the request frame */
};

enum frame_type {
    FRAME_REQUEST = 1,
    FRAME_STDIN = 2,
    FRAME_STDIN_END = 3,
    FRAME_SIGNAL = 4,
    FRAME_WINDOW = 5,
    FRAME_TAKEN = 6, /* to a terminal */
    FRAME_STARTED = 16,
    FRAME_STDOUT = 17,
    FRAME_STDERR = 18,
    FRAME_EXIT = 19,
    FRAME_REFUSED = 20,
    FRAME_CREDIT = 21,
};

void frame_header(uint8_t header[FRAME_HEADER], enum frame_type type, uint32_t length);

/* Frames that follow a request, taken apart piece by piece from a bounded buffer. */
struct frame_stream {
    uint8_t buffer[32 * 1024];
    size_t start, end; /* what was received and not yet consumed */
    uint8_t type;
    uint32_t left; /* of the payload of a stdin or window frame */
    bool inside;
};

struct frame_piece {
    enum { PIECE_NONE, PIECE_STDIN, PIECE_STDIN_END, PIECE_SIGNAL, PIECE_VIOLATION } kind;
    const uint8_t *bytes; /* PIECE_STDIN: say how much was taken with frame_stream_consume */
    size_t length;
    int signal;
    const char *problem;
};

/* Where to receive into, and how much: 0 while unconsumed bytes fill the buffer. The caller adds what came to `end`. */
size_t frame_stream_room(struct frame_stream *stream, uint8_t **where);
struct frame_piece frame_stream_next(struct frame_stream *stream);
void frame_stream_consume(struct frame_stream *stream, size_t length);

/* Blocking with a deadline, for the parts of a connection where nothing else can happen. */
bool send_all(int socket, const void *bytes, size_t length, int64_t deadline);
bool send_frame(int socket, enum frame_type type, const void *payload, size_t length, int64_t deadline);
/* Answers with a refused frame. `message` may hold any text. */
void send_refused(int socket, const char *code, const char *message);
/* The request's payload (to be freed). NULL if the peer went away or broke the protocol: `problem` is set for the
 * latter. */
char *receive_request(int socket, size_t *length, const char **problem);
/* Ends the stream so that the peer reads all of it, whatever it still had under way to us. */
void close_gently(int socket);

#endif
