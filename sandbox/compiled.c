/* What compilers made, kept by what they made it of: the same source, files, words, variables and compiler give the
 * program of last time.
 *
 * A directory that only the runner can enter holds one file a program, named by a hash of all that matters. A file is
 * there whole or not at all (it is renamed into its place), is never changed, and is found by no other name than its
 * hash; so a run can neither read, change nor plant one, and what it could make its own compiler put here is found by
 * requests that are the same as its own only. The oldest go when there are too many (the time of a file is that of its
 * last use).
 * Not kept: what a compiler said something about, which would have to be said again; and the program of a source that
 * names what no hash sees, as the time or files of the user's home. */
#include "supervisor.h"
#include "sha256.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#define PROGRAM "program" /* {binary} in a runtime's words */

enum { LARGEST_SHARE = 4 /* of the whole, that one program may take */, MOST_ENTRIES = 512 };

/* ---- The directory ---------------------------------------------------------------------------- */

int compiled_open(const struct config *config)
{
    char parent[128];
    struct stat about;
    if (!config->compiled || config->user.uid == geteuid())
        return -1;
    format_into(parent, sizeof parent, "%.120s", config->compiled);
    for (char *slash = parent + 1; (slash = strchr(slash, '/')); *slash++ = '/') {
        *slash = 0;
        mkdir(parent, 0755);
    }
    mkdir(config->compiled, 0700);
    int directory = open(config->compiled, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (directory >= 0 && fstat(directory, &about) == 0 && about.st_uid == geteuid() && !(about.st_mode & 077))
        return directory;
    warn("%s: compiled programs are not kept: %s", config->compiled,
         directory < 0 ? strerror(errno) : "it is not the runner's own");
    close_end(&directory);
    return -1;
}

struct entry {
    char name[65];
    struct timespec used;
    off_t size;
};

static int by_use(const void *left, const void *right)
{
    const struct timespec *one = &((const struct entry *)left)->used, *two = &((const struct entry *)right)->used;
    return one->tv_sec != two->tv_sec ? (one->tv_sec < two->tv_sec ? 1 : -1)
                                      : (one->tv_nsec < two->tv_nsec) - (one->tv_nsec > two->tv_nsec);
}

/* Removes the longest unused beyond the bounds, and what a supervisor left that ended while it wrote. */
static void make_room(int cache, int64_t most_bytes)
{
    static struct entry entries[4 * MOST_ENTRIES];
    size_t count = 0;
    int listing = openat(cache, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = listing < 0 ? NULL : fdopendir(listing);
    for (struct dirent *found; directory && count < 4 * MOST_ENTRIES && (found = readdir(directory));) {
        struct stat about;
        if (found->d_name[0] == '.' || fstatat(cache, found->d_name, &about, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        entries[count].used = about.st_mtim;
        entries[count].size = about.st_size;
        format_into(entries[count++].name, sizeof entries->name, "%.64s", found->d_name);
    }
    if (directory)
        closedir(directory);
    qsort(entries, count, sizeof *entries, by_use);
    int64_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        bytes += entries[i].size;
        if (i >= MOST_ENTRIES || bytes > most_bytes)
            unlinkat(cache, entries[i].name, 0);
    }
}

/* ---- Names ------------------------------------------------------------------------------------ */

/* What makes a program depend on more than its source. */
static const char *const unseen[] = {"__DATE__",     "__TIME__",       "__TIMESTAMP__", "incbin", "#embed",
                                     "include_str!", "include_bytes!", "include!",      "env!"};

static bool is_self_contained(const json_t *text, const char *home)
{
    const char *bytes = json_string_value(text);
    size_t length = json_string_length(text);
    for (size_t i = 0; i < sizeof unseen / sizeof *unseen; i++)
        if (memmem(bytes, length, unseen[i], strlen(unseen[i])))
            return false;
    return !memmem(bytes, length, home + 1, strlen(home + 1)); /* without its slash: "../../home/..." */
}

/* Each with its length, so that no two lists of texts are the same bytes. */
static void add_text(struct sha256 *hash, const char *bytes, size_t length)
{
    uint64_t size = length;
    sha256_add(hash, &size, sizeof size);
    sha256_add(hash, bytes, length);
}

static void add_json(struct sha256 *hash, const json_t *value)
{
    char *text = value ? json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    add_text(hash, text ? text : "", text ? strlen(text) : 0);
    free(text);
}

/* Another file at this path, or the same changed, makes another name. */
static void add_file(struct sha256 *hash, const char *path)
{
    struct stat about = {0};
    if (stat(path, &about) < 0)
        about = (struct stat){0};
    int64_t facts[] = {(int64_t)about.st_dev, (int64_t)about.st_ino, about.st_size, about.st_mtim.tv_sec,
                       about.st_mtim.tv_nsec};
    sha256_add(hash, facts, sizeof facts);
}

static bool home_is_out_of_it(const json_t *rule, const char *home)
{
    size_t index;
    json_t *path;
    json_array_foreach(json_object_get(rule, "unless"), index, path)
    {
        char whole[512];
        format_into(whole, sizeof whole, "%.250s/%.250s", home, json_string_value(path));
        if (access(whole, F_OK) == 0)
            return false;
    }
    return true;
}

static bool is_kept(const struct run *run)
{
    const json_t *spec = run->runtime->spec, *rule = json_object_get(spec, "keep");
    const char *home = run->runner->config.user.home;
    const json_t *json = run->request.json;
    size_t index;
    json_t *file;
    if (run->runner->compiled < 0 || !rule || json_is_false(rule) || !home_is_out_of_it(rule, home) ||
        !is_self_contained(json_object_get(json, "code"), home))
        return false;
    json_array_foreach((json_t *)run->request.files, index,
                       file) if (!is_self_contained(json_object_get(file, "content"), home)) return false;
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)run->request.env, name, value) if (!is_self_contained(value, home)) return false;
    return true;
}

bool compiled_name(const struct run *run, char name[65])
{
    /* Changed by the packages' manager, whatever it changes; where there is none, by who puts something there. */
    static const char *const system_state[] = {"/var/lib/dpkg/status", "/usr/include", "/usr/lib", "/usr/local/lib"};
    if (!is_kept(run))
        return false;
    const json_t *spec = run->runtime->spec, *json = run->request.json;
    const json_t *words = json_object_get(spec, "compile");
    struct sha256 hash;
    sha256_begin(&hash);
    add_text(&hash, MARTLET_VERSION, strlen(MARTLET_VERSION));
    add_json(&hash, words);
    add_json(&hash, json_object_get(spec, "file"));
    add_json(&hash, json_object_get(spec, "env"));
    add_json(&hash, run->request.env);
    add_json(&hash, json_object_get(json, "codeEncoding"));
    add_text(&hash, json_string_value(json_object_get(json, "code")), json_string_length(json_object_get(json, "code")));
    add_json(&hash, run->request.files);
    char *compiler = command_find(json_string_value(json_array_get(words, 0)));
    if (!compiler)
        return false;
    add_text(&hash, compiler, strlen(compiler));
    add_file(&hash, compiler);
    free(compiler);
    for (size_t i = 0; i < sizeof system_state / sizeof *system_state; i++)
        add_file(&hash, system_state[i]);
    sha256_end(&hash, name);
    return true;
}

/* ---- Programs --------------------------------------------------------------------------------- */

static bool copy(int from, int to)
{
    ssize_t moved;
    while ((moved = sendfile(to, from, NULL, 1 << 30)) > 0)
        ;
    return moved == 0;
}

bool compiled_fetch(const struct run *run, const char *name, int directory)
{
    int cache = run->runner->compiled, kept = openat(cache, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (kept < 0)
        return false;
    const struct user *user = &run->runner->config.user;
    int program = openat(directory, PROGRAM, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0755);
    bool fetched = program >= 0 && copy(kept, program) && fchmod(program, 0755) == 0 &&
                   fchown(program, user->uid, user->gid) == 0;
    if (program >= 0 && !fetched)
        unlinkat(directory, PROGRAM, 0);
    futimens(kept, NULL);
    close_end(&program);
    close(kept);
    return fetched;
}

static bool is_silent(void)
{
    int waiting[2] = {0};
    return me.delivered == 0 && ioctl(me.kit.output, FIONREAD, &waiting[0]) == 0 &&
           ioctl(me.kit.error, FIONREAD, &waiting[1]) == 0 && waiting[0] + waiting[1] == 0;
}

void compiled_keep(const struct run *run, const char *name, int directory)
{
    char unfinished[32];
    struct stat about;
    int cache = run->runner->compiled;
    int64_t most = run->runner->config.compiled_bytes;
    int program = is_silent() ? openat(directory, PROGRAM, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC) : -1;
    if (program < 0 || fstat(program, &about) < 0 || !S_ISREG(about.st_mode) || about.st_size > most / LARGEST_SHARE) {
        close_end(&program);
        return;
    }
    format_into(unfinished, sizeof unfinished, "unfinished-%d", (int)getpid());
    int kept = openat(cache, unfinished, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (kept >= 0 && copy(program, kept) && renameat(cache, unfinished, cache, name) == 0)
        make_room(cache, most);
    else if (kept >= 0)
        unlinkat(cache, unfinished, 0);
    close_end(&kept);
    close(program);
}
