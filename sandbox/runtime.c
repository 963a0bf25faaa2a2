/* Languages: one folder each below the runtimes directory, described by its runtime.json. */
#include "runner.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { VERSION_MS = 10 * 1000 };

/* Versions as last asked for, shared by the connections' processes. Losing a race only asks again. */
struct version_cache {
    atomic_flag busy;
    struct version {
        char name[64], text[32];
        struct timespec modified; /* of the command that told it */
    } slots[MAX_RUNTIMES];
};

/* ---- Loading ---------------------------------------------------------------------------------- */

bool is_words(const json_t *value)
{
    size_t index;
    json_t *word;
    if (!json_is_array(value) || json_array_size(value) == 0)
        return false;
    json_array_foreach((json_t *)value, index, word) if (!json_is_string(word)) return false;
    return true;
}

static const char *problem_of(const json_t *spec, struct limits *limits)
{
    const json_t *compile = json_object_get(spec, "compile");
    const char *limit = NULL;
    if (!json_is_string(json_object_get(spec, "name")) || !json_is_string(json_object_get(spec, "title")))
        return "no \"name\" or \"title\"";
    if (!json_is_string(json_object_get(spec, "file")) || strchr(json_string_value(json_object_get(spec, "file")), '/'))
        return "\"file\" is not a plain file name";
    if (!is_words(json_object_get(spec, "run")) || !is_words(json_object_get(spec, "version")))
        return "\"run\" or \"version\" is not a list of words";
    if (compile && !json_is_null(compile) && !is_words(compile))
        return "\"compile\" is neither null nor a list of words";
    const char *warm = warm_problem(json_object_get(spec, "warm"));
    if (warm)
        return warm;
    return limits_parse(json_object_get(spec, "limits"), limits, &limit) ? NULL : "a limit is not a positive number";
}

static void load_one(struct runtimes *runtimes, const char *folder)
{
    char path[PATH_MAX];
    json_error_t error;
    struct runtime runtime = {0};
    format_into(path, sizeof path, "%s/%s/runtime.json", runtimes->directory, folder);
    if (access(path, R_OK) < 0 && (errno == ENOENT || errno == ENOTDIR))
        return; /* a README, say */
    runtime.spec = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
    const char *problem = runtime.spec ? problem_of(runtime.spec, &runtime.limits) : error.text;
    if (problem || runtimes->count == MAX_RUNTIMES) {
        warn("%s: left out: %s", path, problem ? problem : "too many runtimes");
        json_decref(runtime.spec);
        return;
    }
    runtime.name = copy_text(json_string_value(json_object_get(runtime.spec, "name")));
    runtimes->items[runtimes->count++] = runtime;
}

static int by_name(const void *left, const void *right)
{
    return strcmp(((const struct runtime *)left)->name, ((const struct runtime *)right)->name);
}

static void load_all(struct runtimes *runtimes)
{
    DIR *directory = opendir(runtimes->directory);
    if (!directory) {
        warn("runtimes %s: %s", runtimes->directory, strerror(errno));
        return;
    }
    for (struct dirent *entry; (entry = readdir(directory));)
        if (entry->d_name[0] != '.')
            load_one(runtimes, entry->d_name);
    closedir(directory);
    qsort(runtimes->items, runtimes->count, sizeof *runtimes->items, by_name);
}

void runtimes_load(struct runtimes *runtimes, const char *directory)
{
    runtimes->directory = copy_text(directory);
    runtimes->versions = shared_zeroes(sizeof *runtimes->versions);
    runtimes_refresh(runtimes, true);
}

bool runtimes_refresh(struct runtimes *runtimes, bool force)
{
    struct stat now;
    if (stat(runtimes->directory, &now) < 0)
        return false;
    bool same = now.st_mtim.tv_sec == runtimes->modified.tv_sec && now.st_mtim.tv_nsec == runtimes->modified.tv_nsec;
    if (same && !force)
        return false;
    for (size_t i = 0; i < runtimes->count; i++) {
        free(runtimes->items[i].name);
        json_decref(runtimes->items[i].spec);
    }
    runtimes->count = 0;
    runtimes->modified = now.st_mtim;
    load_all(runtimes);
    return true;
}

const struct runtime *runtimes_find(const struct runtimes *runtimes, const char *name)
{
    for (size_t i = 0; i < runtimes->count; i++) {
        size_t index;
        json_t *alias;
        if (!strcasecmp(runtimes->items[i].name, name))
            return &runtimes->items[i];
        json_array_foreach(json_object_get(runtimes->items[i].spec, "aliases"), index,
                           alias) if (json_is_string(alias) &&
                                      !strcasecmp(json_string_value(alias), name)) return &runtimes->items[i];
    }
    return NULL;
}

/* ---- Commands --------------------------------------------------------------------------------- */

char *command_find(const char *name)
{
    if (strchr(name, '/'))
        return access(name, X_OK) == 0 ? copy_text(name) : NULL;
    const char *directory = SEARCH_PATH;
    while (*directory) {
        size_t length = strcspn(directory, ":");
        char path[PATH_MAX];
        format_into(path, sizeof path, "%.*s/%s", (int)length, directory, name);
        if (access(path, X_OK) == 0)
            return copy_text(path);
        directory += length + (directory[length] == ':');
    }
    return NULL;
}

bool runtime_available(const struct runtime *runtime)
{
    static const char *const steps[] = {"version", "compile", "run"};
    for (size_t i = 0; i < 3; i++) {
        const char *command = json_string_value(json_array_get(json_object_get(runtime->spec, steps[i]), 0));
        if (!command || command[0] == '{') /* no such step, or the compiled program itself */
            continue;
        char *path = command_find(command);
        if (!path)
            return false;
        free(path);
    }
    return true;
}

char *runtime_expand(const struct runtimes *runtimes, const struct runtime *runtime, const char *word,
                     const char *directory)
{
    char own[PATH_MAX], expanded[PATH_MAX];
    format_into(own, sizeof own, "%s/%s", runtimes->directory, runtime->name);
    const char *const places[][2] = {
        {"{file}", json_string_value(json_object_get(runtime->spec, "file"))},
        {"{binary}", "./program"},
        {"{dir}", directory},
        {"{runtime}", own},
    };
    size_t length = 0, count = sizeof places / sizeof *places;
    while (*word) {
        size_t i = 0;
        while (i < count && strncmp(word, places[i][0], strlen(places[i][0])))
            i++;
        const char *text = i < count ? places[i][1] : word;
        size_t piece = i < count ? strlen(text) : 1;
        if (length + piece >= sizeof expanded)
            die("a runtime's word is too long");
        memcpy(expanded + length, text, piece);
        length += piece;
        word += i < count ? strlen(places[i][0]) : 1;
    }
    expanded[length] = 0;
    return copy_text(expanded);
}

char **runtime_words(const struct runtimes *runtimes, const struct runtime *runtime, const json_t *words,
                     const char *directory, const json_t *more)
{
    size_t count = 0, index;
    json_t *word;
    char **command = allocate((json_array_size(words) + json_array_size(more) + 1) * sizeof *command);
    json_array_foreach((json_t *)words, index, word) command[count++] =
        runtime_expand(runtimes, runtime, json_string_value(word), directory);
    json_array_foreach((json_t *)more, index, word) command[count++] = copy_text(json_string_value(word));
    return command;
}

/* ---- Versions --------------------------------------------------------------------------------- */

/* One command that is being asked, its answer so far. */
struct question {
    pid_t child;
    int pipe;
    size_t length;
    char answer[512];
};

static bool cached(struct version_cache *cache, size_t slot, struct version *version, bool store)
{
    if (atomic_flag_test_and_set(&cache->busy))
        return false;
    struct version *kept = &cache->slots[slot];
    bool same = !strcmp(kept->name, version->name) && kept->modified.tv_sec == version->modified.tv_sec &&
                kept->modified.tv_nsec == version->modified.tv_nsec;
    if (store)
        *kept = *version;
    else if (same)
        *version = *kept;
    atomic_flag_clear(&cache->busy);
    return same;
}

/* "3.11.2" out of "Python 3.11.2": the first digits with a dot among them. */
static bool find_version(const char *text, char *version, size_t size)
{
    for (const char *at = text; *at; at++) {
        size_t length = strspn(at, "0123456789.");
        while (length && at[length - 1] == '.')
            length--;
        if (isdigit((unsigned char)*at) && memchr(at, '.', length) && length < size) {
            memcpy(version, at, length);
            version[length] = 0;
            return true;
        }
        if (length)
            at += length - 1;
    }
    return false;
}

static void ask(struct runner *runner, const struct runtime *runtime, struct question *question)
{
    char **command = runtime_words(&runner->runtimes, runtime, json_object_get(runtime->spec, "version"), "/", NULL);
    char *path = command_find(command[0]);
    int ends[2];
    if (!path || pipe2(ends, O_CLOEXEC) < 0)
        return;
    question->child = fork();
    if (question->child == 0) {
        int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
        if (null < 0 || dup2(null, 0) < 0 || dup2(ends[1], 1) < 0 || dup2(ends[1], 2) < 0 || chdir("/") < 0)
            _exit(70);
        char home[PATH_MAX];
        format_into(home, sizeof home, "HOME=%s", runner->config.user.home);
        char *environment[] = {"PATH=" SEARCH_PATH, "LANG=C.UTF-8", home, NULL};
        confine_program(&runner->config, &runner->confinement, &(struct limits){0}, &runner->filter);
        execve(path, command, environment);
        _exit(70);
    }
    close(ends[1]);
    question->pipe = ends[0];
    free_texts(command);
    free(path);
}

/* Reads all answers at once: a Java machine takes longer to start than the rest together. */
static void listen_for_answers(struct question *questions, size_t count)
{
    struct pollfd ends[MAX_RUNTIMES];
    size_t open = 0;
    for (size_t i = 0; i < count; i++) {
        ends[i] = (struct pollfd){.fd = questions[i].child > 0 ? questions[i].pipe : -1, .events = POLLIN};
        open += questions[i].child > 0;
    }
    int64_t deadline = monotonic_ms() + VERSION_MS;
    while (open > 0) {
        int64_t left = deadline - monotonic_ms();
        if (left <= 0 || (poll(ends, count, (int)left) < 0 && errno != EINTR))
            break;
        for (size_t i = 0; i < count; i++) {
            if (ends[i].fd < 0 || !ends[i].revents)
                continue;
            struct question *question = &questions[i];
            ssize_t got = read(question->pipe, question->answer + question->length,
                               sizeof question->answer - 1 - question->length);
            question->length += got > 0 ? (size_t)got : 0;
            if (got <= 0) { /* the end, or more than a version needs */
                ends[i].fd = -1;
                open--;
            }
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (questions[i].child <= 0)
            continue;
        kill(questions[i].child, SIGKILL);
        waitpid(questions[i].child, NULL, 0);
        close(questions[i].pipe);
    }
}

static bool identify(const struct runtime *runtime, struct version *version)
{
    struct stat about;
    char *path = command_find(json_string_value(json_array_get(json_object_get(runtime->spec, "version"), 0)));
    bool found = path && stat(path, &about) == 0 && strlen(runtime->name) < sizeof version->name;
    free(path);
    if (!found)
        return false;
    *version = (struct version){.modified = about.st_mtim};
    format_into(version->name, sizeof version->name, "%s", runtime->name);
    return true;
}

json_t *runtimes_describe(struct runner *runner)
{
    struct runtimes *runtimes = &runner->runtimes;
    struct question *questions = allocate(MAX_RUNTIMES * sizeof *questions);
    struct version *versions = allocate(MAX_RUNTIMES * sizeof *versions);
    for (size_t i = 0; i < runtimes->count; i++)
        if (runtime_available(&runtimes->items[i]) && identify(&runtimes->items[i], &versions[i]) &&
            !cached(runtimes->versions, i, &versions[i], false))
            ask(runner, &runtimes->items[i], &questions[i]);
    listen_for_answers(questions, runtimes->count);

    json_t *list = json_array(), *none = json_array();
    for (size_t i = 0; i < runtimes->count; i++) {
        const json_t *spec = runtimes->items[i].spec;
        bool available = runtime_available(&runtimes->items[i]);
        if (questions[i].child > 0 && find_version(questions[i].answer, versions[i].text, sizeof versions[i].text))
            cached(runtimes->versions, i, &versions[i], true);
        json_t *aliases = json_object_get(spec, "aliases"), *extensions = json_object_get(spec, "extensions");
        json_t *packages = json_object_get(spec, "packages");
        json_array_append_new(list, json_pack("{s:s, s:O, s:O, s:O, s:s?, s:b, s:O}", "name", runtimes->items[i].name,
                                              "title", json_object_get(spec, "title"), "aliases",
                                              aliases ? aliases : none, "extensions", extensions ? extensions : none,
                                              "version", versions[i].text[0] ? versions[i].text : NULL, "available",
                                              available, "missing", available || !packages ? none : packages));
    }
    json_decref(none);
    free(questions);
    free(versions);
    return json_pack("{s:o}", "runtimes", list);
}
