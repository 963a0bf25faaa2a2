/* What a runtime says about being started ahead of its requests: the field `warm` of runtime.json. */
#include "runner.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- Requests --------------------------------------------------------------------------------- */

/* What the C library and the loader read when a program starts, whatever its language. */
static const char *const read_at_start[] = {"LD_*",     "GLIBC_*", "MALLOC_*", "LC_*", "LANG*", "LOCPATH",
                                            "OPENSSL_*", "SSL_*",   "TZ*",      "HOME", "PATH"};

static bool matches(const char *name, const char *pattern)
{
    size_t length = strlen(pattern);
    return pattern[length - 1] == '*' ? !strncmp(name, pattern, length - 1) : !strcmp(name, pattern);
}

static bool is_read_at_start(const char *name, const json_t *more)
{
    for (size_t i = 0; i < sizeof read_at_start / sizeof *read_at_start; i++)
        if (matches(name, read_at_start[i]))
            return true;
    size_t index;
    json_t *pattern;
    json_array_foreach((json_t *)more, index, pattern) if (matches(name, json_string_value(pattern))) return true;
    return false;
}

/* A first line that names an interpreter may hold options, and some look for them when they start. */
static bool names_interpreter(const struct request *request)
{
    const char *code = json_string_value(json_object_get(request->json, "code"));
    return !strncmp(code, "#!", 2) || !strncmp(code, "IyE", 3); /* the same in base64 */
}

bool warm_suits(const struct runtime *runtime, const struct request *request)
{
    const json_t *warm = json_object_get(runtime->spec, "warm");
    const char *name;
    json_t *value;
    if (!json_is_object(warm) || names_interpreter(request))
        return false;
    json_object_foreach((json_t *)request->env, name,
                        value) if (is_read_at_start(name, json_object_get(warm, "cold"))) return false;
    return true;
}

/* ---- Runtimes --------------------------------------------------------------------------------- */

static const char *mode_of(const json_t *warm)
{
    const char *mode = json_string_value(json_object_get(warm, "mode"));
    return mode ? mode : "";
}

const char *warm_problem(const json_t *warm)
{
    size_t index;
    json_t *pattern;
    if (!warm || (json_is_string(warm) && !strcmp(json_string_value(warm), "none")))
        return NULL;
    if (strcmp(mode_of(warm), "fork") && strcmp(mode_of(warm), "prespawn"))
        return "\"warm\" is neither \"none\" nor of the mode \"fork\" or \"prespawn\"";
    if (!is_words(json_object_get(warm, "run")))
        return "warm.run is not a list of words";
    json_array_foreach(json_object_get(warm, "cold"), index, pattern) if (json_string_length(pattern) == 0)
        return "warm.cold is not a list of names";
    return NULL;
}

bool warm_load(const struct runner *runner, const struct runtime *runtime, struct warm *warm)
{
    const json_t *spec = json_object_get(runtime->spec, "warm");
    *warm = (struct warm){.mode = WARM_NONE};
    /* Elsewhere a run could reach, and change, what waits for the next one. */
    if (!json_is_object(spec) || !runner->confinement.namespaces || !runner->confinement.switch_user)
        return false;
    bool forks = !strcmp(mode_of(spec), "fork");
    json_t *environment = environment_base(runner, runtime, RUN_DIRECTORY);
    const char *name;
    json_t *value;
    json_object_foreach(json_object_get(spec, "env"), name, value)
    {
        char *expanded = runtime_expand(&runner->runtimes, runtime, json_string_value(value), RUN_DIRECTORY);
        json_object_set_new(environment, name, json_string(expanded));
        free(expanded);
    }
    json_object_set_new(environment, "MARTLET_WARM", json_string(mode_of(spec)));
    if (forks) /* it is root until a run is forked from it, and must not find what users put into their home */
        json_object_set_new(environment, "HOME", json_string("/nonexistent"));
    warm->command = (struct command){
        .words = runtime_words(&runner->runtimes, runtime, json_object_get(spec, "run"), RUN_DIRECTORY, NULL),
        .environment = environment_texts(environment)};
    warm->command.path = command_find(warm->command.words[0]);
    warm->file = json_string_value(json_object_get(runtime->spec, "file"));
    if (warm->command.path)
        warm->mode = forks ? WARM_FORK : WARM_PRESPAWN;
    return warm->command.path != NULL;
}

/* ---- Zygotes ---------------------------------------------------------------------------------- */

/* The library by which an interpreter becomes one: zygote.c and what it uses, in the runner's own file. */
extern const uint8_t zygote_library[], zygote_library_end[];

static int memory_file(const char *name, const void *bytes, size_t length, const void *more, size_t more_length)
{
    int file = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (file < 0 || write(file, bytes, length) != (ssize_t)length ||
        write(file, more, more_length) != (ssize_t)more_length ||
        fcntl(file, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
        die_errno("a file in memory");
    return file;
}

static int write_plan(const struct runner *runner)
{
    struct plan plan = {.config = runner->config, .confinement = runner->confinement, .instructions = runner->filter.len};
    memset(plan.config.secret, 0, sizeof plan.config.secret);
    return memory_file("plan", &plan, sizeof plan, runner->filter.filter,
                       runner->filter.len * sizeof *runner->filter.filter);
}

static void place(int descriptor, int number)
{
    if (dup3(descriptor, number, 0) < 0)
        die_errno("dup3");
}

/* Where a run's interpreter starts too, so that all it finds out beforehand is right (its program's path). */
static void enter_run_directory(void)
{
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=4k") < 0 ||
        mkdir(RUN_DIRECTORY, 0755) < 0 || chdir(RUN_DIRECTORY) < 0)
        die_errno("the zygote's directory");
}

static _Noreturn void zygote_main(const struct runner *runner, const struct warm *warm, int socket)
{
    int streams[3][2];
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
        die_errno("prctl");
    enter_run_directory();
    int plan = write_plan(runner);
    int library =
        memory_file("zygote", zygote_library, (size_t)(zygote_library_end - zygote_library), "", 0);
    /* Pipes, as a run's are: an interpreter looks at its streams when it starts. */
    for (int i = 0; i < 3; i++)
        if (pipe2(streams[i], O_CLOEXEC) < 0)
            die_errno("pipe");
    place(streams[0][0], STDIN_FILENO);
    place(streams[1][1], STDOUT_FILENO);
    place(streams[2][1], STDERR_FILENO);
    place(socket, WARM_DESCRIPTOR);
    place(library, WARM_LIBRARY);
    place(plan, WARM_PLAN);
    for (int number = 1; number < 65; number++)
        signal(number, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    if (sigprocmask(SIG_SETMASK, &none, NULL) < 0)
        die_errno("sigprocmask");
    execve(warm->command.path, warm->command.words, warm->command.environment);
    die_errno(warm->command.path);
}

pid_t zygote_start(const struct runner *runner, const struct warm *warm, int *socket)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return -1;
    pid_t child = (pid_t)syscall(SYS_clone, CLONE_NEWNS | SIGCHLD, NULL, NULL, NULL, NULL);
    if (child == 0)
        zygote_main(runner, warm, ends[1]);
    close(ends[1]);
    if (child < 0)
        close(ends[0]);
    else
        *socket = ends[0];
    return child;
}
