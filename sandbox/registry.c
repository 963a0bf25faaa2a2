/* Which terminals of the user live: a file of each in ~/.martlet/terminals, with a lock that its holder keeps. */
#include "terminal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TEXT = 8192 }; /* what a file says, at most */

bool is_terminal_id(const char *text)
{
    size_t length = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-");
    return length >= 1 && length <= 64 && !text[length] && text[0] != '-';
}

int terminals_open(void)
{
    const char *home = getenv("HOME");
    int at = open(home && *home ? home : "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    for (const char *const *name = (const char *const[]){".martlet", "terminals", NULL}; at >= 0 && *name; name++) {
        if (mkdirat(at, *name, 0700) < 0 && errno != EEXIST)
            refuse_command(errno == ENOSPC || errno == EDQUOT ? "disk_full" : "no_directory", strerror(errno));
        int next = openat(at, *name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        close(at);
        at = next;
    }
    if (at < 0)
        refuse_command("no_directory", strerror(errno));
    return at;
}

int terminal_take(int directory, const char *id, int flags, bool *lives)
{
    *lives = false;
    while (true) {
        int file = openat(directory, id, O_RDWR | O_NOFOLLOW | O_CLOEXEC | flags, 0600);
        if (file < 0)
            return -1;
        if (flock(file, LOCK_EX | LOCK_NB) < 0) {
            *lives = errno == EWOULDBLOCK;
            close(file);
            return -1;
        }
        struct stat seen;
        if (fstat(file, &seen) == 0 && seen.st_nlink > 0)
            return file;
        close(file); /* its holder went in between */
    }
}

json_t *terminal_living(int directory, const char *id)
{
    for (int tries = 0; tries < 200; tries++) {
        bool lives;
        int file = terminal_take(directory, id, 0, &lives);
        if (file >= 0) { /* left by one that was killed */
            unlinkat(directory, id, 0);
            close(file);
        }
        if (!lives)
            return NULL;
        char text[TEXT];
        json_t *said = read_text_at(directory, id, text, sizeof text) ? json_loads(text, 0, NULL) : NULL;
        if (said)
            return said;
        poll(NULL, 0, 10);
    }
    return NULL;
}

size_t terminals_count(int directory)
{
    int copy = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *entries = copy < 0 ? NULL : fdopendir(copy);
    size_t count = 0;
    for (struct dirent *entry; entries && (entry = readdir(entries));)
        count += is_terminal_id(entry->d_name);
    if (entries)
        closedir(entries);
    return count;
}

void terminal_write(int directory, int file, const char *id, json_t *said)
{
    char *text = json_dumps(said, JSON_COMPACT);
    if (!text || write(file, text, strlen(text)) != (ssize_t)strlen(text)) {
        int error = errno;
        unlinkat(directory, id, 0);
        refuse_command(error == ENOSPC || error == EDQUOT ? "disk_full" : "internal", strerror(error));
    }
    free(text);
}
