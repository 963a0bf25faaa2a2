/* The decoder of requests, fed the members of a JSON object by libFuzzer; the secret is put before them.
 *
 * What it takes is written into a directory as a run's files are: nothing may appear beside it, and every refusal has
 * a code and a message. */
#include "../runner.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECRET "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char outer[64], inner[80];

static void check(bool holds)
{
    if (!holds)
        abort();
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *place)
{
    (void)status, (void)kind;
    return place->level > 0 ? remove(path) : 0;
}

static void remove_all(void)
{
    nftw(outer, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    rmdir(outer);
}

static void make_directories(void)
{
    if (outer[0])
        return;
    snprintf(outer, sizeof outer, "/tmp/martlet-fuzz-XXXXXX");
    check(mkdtemp(outer) != NULL);
    snprintf(inner, sizeof inner, "%s/run", outer);
    check(mkdir(inner, 0755) == 0);
    atexit(remove_all);
}

static size_t entries(const char *path)
{
    size_t count = 0;
    DIR *directory = opendir(path);
    check(directory != NULL);
    while (readdir(directory))
        count++;
    closedir(directory);
    return count;
}

static void write_files(const struct request *request)
{
    struct refusal refusal = {0};
    struct user user = {.uid = getuid(), .gid = getgid()};
    make_directories();
    int directory = open(inner, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    check(directory >= 0);
    bool written = request_write_files(request, directory, "main.py", false, &user, &refusal);
    check(written || (refusal.code[0] && refusal.message[0]));
    close(directory);
    check(entries(outer) == 3); /* ".", ".." and the run's own */
    nftw(inner, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char start[] = "{\"secret\":\"" SECRET "\",";
    struct request request;
    struct refusal refusal = {0};
    char *text = allocate(sizeof start + size);
    memcpy(text, start, sizeof start - 1);
    memcpy(text + sizeof start - 1, data, size);
    if (request_parse(text, sizeof start - 1 + size, SECRET, &request, &refusal)) {
        check(request.limits.memory_mb >= 0 && request.limits.timeout_ms >= 0 && request.limits.processes >= 0);
        if (request.op == OP_RUN)
            write_files(&request);
    } else {
        check(refusal.code[0] && refusal.message[0]);
    }
    request_free(&request);
    free(text);
    return 0;
}
