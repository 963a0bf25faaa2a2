/* SHA-256, for the names of what is kept by content. */
#ifndef MARTLET_SHA256_H
#define MARTLET_SHA256_H

#include <stddef.h>
#include <stdint.h>

struct sha256 {
    uint32_t state[8];
    uint64_t length;
    uint8_t block[64];
};

void sha256_begin(struct sha256 *hash);
void sha256_add(struct sha256 *hash, const void *bytes, size_t length);
/* Writes 64 digits and a NUL. */
void sha256_end(struct sha256 *hash, char hexadecimal[65]);

#endif
