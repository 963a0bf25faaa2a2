/* Failure, clocks and text. */
#include "runner.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/* ---- Failure ---------------------------------------------------------------------------------- */

void (*die_hook)(const char *message);

static void report(const char *format, va_list arguments)
{
    char line[512];
    int length = snprintf(line, sizeof line, "martlet-runner[%d]: ", (int)getpid());
    int more = vsnprintf(line + length, sizeof line - (size_t)length - 1, format, arguments);
    size_t total = (size_t)length + (more < 0 ? 0 : (size_t)more);
    if (total > sizeof line - 2)
        total = sizeof line - 2;
    line[total++] = '\n';
    if (write(STDERR_FILENO, line, total) < 0)
        return; /* a log that cannot be written is no reason to fail */
}

void warn(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    report(format, arguments);
    va_end(arguments);
}

void die(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    if (die_hook) {
        char message[256];
        vsnprintf(message, sizeof message, format, arguments);
        void (*hook)(const char *) = die_hook;
        die_hook = NULL;
        hook(message);
    } else {
        report(format, arguments);
    }
    va_end(arguments);
    _exit(70);
}

void die_errno(const char *what)
{
    die("%s: %s", what, strerror(errno));
}

/* ---- Text and files --------------------------------------------------------------------------- */

void format_into(char *buffer, size_t size, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(buffer, size, format, arguments);
    va_end(arguments);
    if (length < 0 || (size_t)length >= size)
        die("a text of %d bytes does not fit into %zu", length, size);
}

void *allocate(size_t size)
{
    void *memory = calloc(1, size ? size : 1);
    if (!memory)
        die("out of memory");
    return memory;
}

void *shared_zeroes(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        die_errno("mmap");
    return memory;
}

char *copy_text(const char *text)
{
    char *copy = strdup(text);
    if (!copy)
        die("out of memory");
    return copy;
}

void free_texts(char **texts)
{
    for (char **text = texts; *text; text++)
        free(*text);
    free(texts);
}

void close_end(int *end)
{
    if (*end >= 0)
        close(*end);
    *end = -1;
}

bool read_text_at(int directory, const char *path, char *buffer, size_t size)
{
    int file = openat(directory, path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return false;
    size_t length = 0;
    while (length < size - 1) {
        ssize_t got = read(file, buffer + length, size - 1 - length);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            int why = errno;
            close(file);
            errno = why;
            return false;
        }
        if (got == 0)
            break;
        length += (size_t)got;
    }
    buffer[length] = 0;
    close(file);
    return true;
}

bool write_text_at(int directory, const char *path, const char *text)
{
    int file = openat(directory, path, O_WRONLY | O_CLOEXEC);
    if (file < 0)
        return false;
    ssize_t written = write(file, text, strlen(text));
    int why = errno;
    close(file);
    errno = why;
    return written == (ssize_t)strlen(text);
}

/* ---- Clocks ----------------------------------------------------------------------------------- */

int64_t monotonic_ms(void)
{
    struct timespec now;
    if (clock_gettime(CLOCK_MONOTONIC, &now) < 0)
        die_errno("clock_gettime");
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- Base64 ----------------------------------------------------------------------------------- */

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

uint8_t *base64_decode(const char *text, size_t length, size_t *decoded_length)
{
    if (length % 4)
        return NULL;
    size_t padding = length == 0 ? 0 : (size_t)(text[length - 1] == '=') + (text[length - 2] == '=');
    uint8_t *bytes = allocate(length / 4 * 3);
    size_t count = 0;
    for (size_t at = 0; at < length; at += 4) {
        bool last = at + 4 == length;
        uint32_t group = 0;
        for (size_t i = 0; i < 4; i++) {
            bool padded = last && i >= 4 - padding;
            int value = padded ? 0 : base64_value(text[at + i]);
            if (value < 0) {
                free(bytes);
                return NULL;
            }
            group = group << 6 | (uint32_t)value;
        }
        for (size_t i = 0; i < (last ? 3 - padding : 3); i++)
            bytes[count++] = (uint8_t)(group >> (16 - 8 * i));
    }
    *decoded_length = count;
    return bytes;
}

/* ---- Signals ---------------------------------------------------------------------------------- */

const char *signal_name(int number)
{
    static char text[16];
    const char *name = sigabbrev_np(number);
    if (name)
        format_into(text, sizeof text, "SIG%s", name);
    else
        format_into(text, sizeof text, "SIG%d", number);
    return text;
}
