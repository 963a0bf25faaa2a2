/* What the files of the runner share. The theory of operation is at the top of main.c. */
#ifndef MARTLET_RUNNER_H
#define MARTLET_RUNNER_H

#include "frame.h"

#include <jansson.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#ifndef MARTLET_VERSION
#define MARTLET_VERSION "0.0.0"
#endif

enum {
    MAX_RUNS = 1024, /* live runs; one more is refused as too_busy */
    MAX_RUNTIMES = 128,
    SECRET_LENGTH = 64,
};

/* ---- util.c: failure, clocks, text ------------------------------------------------------------ */

/* The runner's own fault: say so on stderr and end this process. Never used for the program's fate. */
_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void die_errno(const char *what);
/* Told the message instead of stderr, where stderr is the program's or a client waits for an answer. */
extern void (*die_hook)(const char *message);
void warn(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* snprintf that refuses to truncate: a cut path or JSON text is a fault, not a shorter text. */
void format_into(char *buffer, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));
char *copy_text(const char *text);
void *allocate(size_t size);
/* Zeroes that all processes forked later share. */
void *shared_zeroes(size_t size);
int64_t monotonic_ms(void);
/* Whole small file into `buffer` as a C string; false (with errno) if it cannot be read. */
bool read_text_at(int directory, const char *path, char *buffer, size_t size);
bool write_text_at(int directory, const char *path, const char *text);
/* Strict base64 (RFC 4648, padding required) into a fresh buffer; NULL if malformed. */
uint8_t *base64_decode(const char *text, size_t length, size_t *decoded_length);
/* "SIGSEGV" for 11; "SIG34" for one without a name of its own. Valid until the next call. */
const char *signal_name(int number);

/* Closes a descriptor that is open and forgets it. */
void close_end(int *end);
void free_texts(char **texts);

/* ---- pass.c: descriptors between processes ---------------------------------------------------- */

enum { PASS_MAX = 16 };

/* False if the peer is gone, or with MSG_DONTWAIT among `flags` has no room. */
bool pass(int socket, const void *bytes, size_t length, const int *descriptors, size_t count, int flags);
/* What recvmsg returns; as many descriptors as came. */
ssize_t receive_passed(int socket, void *bytes, size_t length, int descriptors[PASS_MAX], size_t *count, int flags);

/* ---- config.c: the configuration file --------------------------------------------------------- */

/* 0 means "not said" in every field. */
struct limits {
    int64_t memory_mb, processes, output_bytes, timeout_ms, cpu_ms;
};

struct user {
    char *name;
    uid_t uid;
    gid_t gid;
    char *home;
};

struct cgroup_roots {
    char *memory, *pids, *cpuacct; /* version 1: one directory a controller, each may be missing */
    char *unified;                 /* version 2 */
};

struct config {
    char secret[SECRET_LENGTH + 1];
    uint16_t port;
    char *runtimes;
    struct user user;
    struct limits limits; /* the ceiling: every field is set */
    struct cgroup_roots cgroup;
    bool bounded;   /* something around the VM bounds its processes: RLIMIT_NPROC need not */
    bool warm;      /* kits are made ahead */
    char *compiled; /* the directory of compiled programs; NULL: none are kept */
    int64_t compiled_bytes;
    int64_t home_bytes;  /* that the home may hold; 0: its storage keeps its size, or nobody does */
    bool shared_network; /* runs see the VM's network instead of one of their own */
};

void config_load(struct config *config, const char *path);
/* Reads the known fields of a JSON object of limits. False if one is not a positive integer: `problem` says which. */
bool limits_parse(const json_t *object, struct limits *limits, const char **problem);

/* ---- runtime.c: languages --------------------------------------------------------------------- */

struct runtime {
    char *name;
    json_t *spec;
    struct limits limits;
};

struct runtimes {
    char *directory;
    struct runtime items[MAX_RUNTIMES];
    size_t count;
    struct timespec modified;
    struct version_cache *versions; /* shared by all processes of the runner */
};

#define SEARCH_PATH "/usr/local/bin:/usr/bin:/bin"

void runtimes_load(struct runtimes *runtimes, const char *directory);
/* Loads again if a folder was added or removed since, or if `force`; whether it did. */
bool runtimes_refresh(struct runtimes *runtimes, bool force);
const struct runtime *runtimes_find(const struct runtimes *runtimes, const char *name);
/* Absolute path of a command, looked up in SEARCH_PATH unless it holds a slash; NULL if there is none. */
char *command_find(const char *name);
bool runtime_available(const struct runtime *runtime);
bool is_words(const json_t *value);
/* Words with {file}, {binary}, {dir}, {runtime} replaced, and `more` behind them;
 * NULL-terminated. */
char **runtime_words(const struct runtimes *runtimes, const struct runtime *runtime, const json_t *words,
                     const char *directory, const json_t *more);
char *runtime_expand(const struct runtimes *runtimes, const struct runtime *runtime, const char *word,
                     const char *directory);

/* ---- request.c: what a client asks for -------------------------------------------------------- */

struct request {
    json_t *json; /* owns every string below */
    size_t size;  /* of its text */
    enum { OP_RUN, OP_PING, OP_RUNTIMES } op;
    const char *id, *language;
    const json_t *args, *env, *files;
    struct limits limits;
    enum { NETWORK_NONE, NETWORK_ANY, NETWORK_EGRESS } network; /* ANY: a way out if there is one */
};

struct refusal {
    char code[24];
    char message[232];
};

void refuse(struct refusal *refusal, const char *code, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* False with `refusal` filled. Secrets are compared in constant time. */
bool request_parse(const char *text, size_t length, const char *secret, struct request *request,
                   struct refusal *refusal);
void request_free(struct request *request);
/* Writes the code file (which may be there already, if `code_exists`) and the request's files below `directory`, owned
 * by `user`. */
bool request_write_files(const struct request *request, int directory, const char *code_name, bool code_exists,
                         const struct user *user, struct refusal *refusal);

/* ---- cgroup.c --------------------------------------------------------------------------------- */

struct cgroup {
    const struct cgroup_roots *roots;
    char name[32];
    bool memory, pids, cpu; /* which of them the kernel enforces or counts for this run */
    int procs[3];           /* where the program writes itself into its groups */
    size_t procs_count;
    int oom_event; /* readable once this group or one above it ran out of memory; -1 where the kernel kills the whole
                      group itself */
};

struct cgroup_usage {
    int64_t cpu_ms, peak_bytes; /* -1 where not counted */
    bool out_of_memory, out_of_processes;
};

/* Once, when the runner starts: takes the delegated directories over and removes what an earlier runner left. */
void cgroup_prepare(struct cgroup_roots *roots);
/* Whether runs get a limit of this controller, "memory" or "pids", from the kernel. */
bool cgroup_limits(const struct cgroup_roots *roots, const char *controller);
void cgroup_create(struct cgroup *group, const struct cgroup_roots *roots, const struct limits *limits);
/* Other limits for a group that is there. */
void cgroup_adjust(struct cgroup *group, const struct limits *limits);
void cgroup_enter(const struct cgroup *group);
void cgroup_usage(const struct cgroup *group, struct cgroup_usage *usage);
void cgroup_remove(struct cgroup *group);

/* ---- filter.c: the seccomp filter, as policy.c has made it -------------------------------------- */

struct sock_fprog filter_program(void);
void filter_apply(const struct sock_fprog *program);

/* ---- confine.c: namespaces, mounts, privileges ------------------------------------------------ */

struct confinement {
    bool namespaces;  /* PID, mount, IPC and UTS namespaces; false: process group and subreaper only */
    bool network;     /* a network namespace of its own as well */
    bool switch_user; /* programs run as config.user, not as the runner's own user */
};

/* Finds out what this place allows, by trying, and what a fresh network looks like (networks.h). */
struct confinement confinement_probe(const struct config *config, char fresh_network[]);
int confinement_clone_flags(const struct confinement *confinement);
/* In the fresh namespaces: private /tmp, /var/tmp, /dev/shm and /proc. False with errno. */
bool confine_mounts(int64_t megabytes);
bool loopback_up(void);
/* Takes the IPv4 default routes of this network namespace away, and CAP_NET_ADMIN from this process and all it will
 * start. Dies if either stays. */
void network_unroute(void);
/* Effective and permitted, and none else. */
void set_capabilities(uint64_t mask);
/* Gives up every capability but the one to signal the run's processes. */
void confine_init(void);
/* Last steps before exec: user, limits, descriptors, filter. Dies on any failure. */
void confine_program(const struct config *config, const struct confinement *confinement, const struct limits *limits,
                     const struct sock_fprog *filter);

/* ---- nest.c: a user namespace of the runner's own ---------------------------------------------- */

/* Whether this place allows it, and in it the namespaces of runs; found out by a child that does it. */
bool nest_works(void);
/* Makes a container's root the root of a user namespace, with every right in it and none outside, and fills in the
 * control groups that runs get there. Dies if it cannot. */
void nest_enter(struct config *config);

/* ---- process.c: what the processes of a run use ----------------------------------------------- */

struct tree_usage {
    int64_t cpu_ms, rss_bytes;
    int64_t tasks; /* threads of all processes */
};

/* Sums over one procfs: all of it if `root` is 0, else the descendants of `root` without itself. */
bool tree_usage(int procfs, pid_t root, struct tree_usage *usage);
/* The same memory with shared pages shared out (PSS): slow, exact. */
int64_t tree_proportional_bytes(int procfs, pid_t root);
/* Kills the descendants of `root`; returns how many were found. */
size_t tree_kill(pid_t root);

/* ---- A run before, and without, its request --------------------------------------------------- */

#define RUN_DIRECTORY "/tmp/run" /* where programs start, in their own /tmp */

/* For whoever asks. What is about kits is written by the keeper only. */
struct figures {
    _Atomic int64_t compiled, fetched; /* programs that were compiled, and that were there already */
    int networks;                      /* that are kept (networks.c) */
    struct {
        int ready;      /* kits that wait */
        int64_t served; /* kits that were given to runs */
    } runtimes[MAX_RUNTIMES], plain;
};

struct runner {
    struct config config;
    struct runtimes runtimes;
    struct confinement confinement;
    struct sock_fprog filter;
    pid_t pid; /* of the server */
    int64_t started_at;
    int keeper;              /* where supervisors ask for kits; -1 without a keeper */
    int egress;              /* where supervisors ask for a way out (network.c); -1 where there is none */
    int compiled;            /* the directory of compiled programs; -1 if none are kept */
    char directory[32];      /* of runs' directories, where runs have no /tmp of their own; empty: /tmp */
    char *fresh_network;     /* what it looks like, shared by all processes (networks.c); empty: none are kept */
    struct leftovers *leftovers;
    int leftovers_lock;
    struct figures *figures; /* shared by all processes of the runner */
};

enum stage_kind { STAGE_COMPILE, STAGE_RUN };

/* What a process executes before its request is there. */
struct command {
    char *path, **words, **environment;
};

/* All that an init knows. */
struct stage {
    const struct runner *runner;
    struct limits limits;
    struct cgroup cgroup;
    int control;              /* SOCK_SEQPACKET between supervisor and init; each has its end here */
    int input, output, error; /* the program's ends of the three pipes */
    int launch;               /* the program's end of its channel */
    int network;              /* to enter, or 0: it is born in one of its own */
    char directory[64];       /* where the program starts: RUN_DIRECTORY, or a private one without namespaces */
    const struct command *warm;
    const char *early; /* a file that has to be there, if empty, when `warm` is executed */
    bool zygote;       /* the program goes on in a fork of this process */
    bool unhurried;    /* a fork of a zygote may take the time to be faster later */
    bool dies_with_parent;
    bool final; /* no other program follows */
};

/* From init to supervisor. */
struct report {
    enum { REPORT_BORN, REPORT_READY, REPORT_ENDED, REPORT_REFUSED } kind;
    int status;          /* REPORT_ENDED: as of waitpid */
    pid_t pid;           /* REPORT_BORN, with the pidfd beside it */
    struct rusage usage; /* REPORT_ENDED: of all processes that were waited for */
    struct refusal refusal;
};

/* From supervisor to init. */
struct order {
    enum { ORDER_SIGNAL, ORDER_RESIZE, ORDER_FINAL, ORDER_NEXT, ORDER_LEAVE } kind;
    int value; /* a signal's number, megabytes of /tmp */
};

/* ---- stage.c: the init of a run's namespace --------------------------------------------------- */

/* What its init is cloned with. */
int stage_clone_flags(const struct stage *stage);
/* Sets up, forks the process that will be the program, reaps, reports; as PID 1 of the run's namespace. Returns only in
 * a fork of a zygote, where the program is to begin. */
void stage_main(struct stage *stage);

/* ---- program.c: a process that waits to be the program ---------------------------------------- */

enum {
    WARM_DESCRIPTOR = 900, /* where an interpreter that is up reads its launch */
    LAUNCH_HEADER = 16,    /* bytes of a launch before its texts */
    PROGRAM_READY = 'R',   /* sent on the channel by a process that waits */
    PROGRAM_BEGINS = 'S',  /* sent by one that knows what to become, but cannot close the channel */
};

/* Confines itself and waits, or executes what waits. Returns only in a fork of a zygote. */
void program_main(const struct stage *stage);

/* ---- kit.c: runs made ahead ------------------------------------------------------------------- */

/* What an init passes on; the last four only where there are namespaces. */
enum kit_part { KIT_DIRECTORY, KIT_LAUNCH, KIT_PROCFS, KIT_TMPFS, KIT_MOUNTS, KIT_NETWORK, KIT_PARTS };

struct kit {
    pid_t init;
    int ended; /* pidfd of the init */
    int control, input, output, error;
    int parts[KIT_PARTS]; /* by `enum kit_part`; holding on to the namespaces keeps their end off the critical path */
    int egress; /* its network has a way out as long as this is held; -1: none */
    struct cgroup cgroup;
    struct limits limits; /* that it was made for */
    char path[64];
    bool namespaced;
    bool is_warm;          /* an interpreter is up */
    bool asked_out;        /* its network was to have a way out, whatever came of it */
    int64_t cpu_before_ms; /* used before it was handed over */
};

struct recipe {
    const struct command *warm; /* NULL: the process waits before it executes anything */
    const char *early;
    int zygote;  /* 0, or a socket: the init is a fork of that process */
    int network; /* 0, or one that is as good as new */
    bool unhurried;
    bool dies_with_parent;
};

/* No descriptors, no process. */
void kit_clear(struct kit *kit);
/* False if the zygote is gone. Otherwise the kit is usable once a REPORT_READY was received. */
bool kit_begin(struct kit *kit, const struct runner *runner, const struct limits *limits, const struct recipe *recipe);
/* 1 with a report, 0 if there is none, -1 if there will be none. Descriptors go into their places. */
int kit_receive(struct kit *kit, struct report *report);
bool kit_order(const struct kit *kit, int kind, int value);
/* Has the run end. `at_once`: by killing its init, which without namespaces may leave something. */
void kit_kill(const struct kit *kit, bool at_once);
bool kit_hand_over(int socket, struct kit *kit);
bool kit_take_over(int socket, struct kit *kit, const struct runner *runner);
void kit_close(struct kit *kit);
void kit_remove_directory(const struct kit *kit, const struct runner *runner);

/* ---- network.c: a way out --------------------------------------------------------------------- */

/* Asks for one for the kit's network. False where there is nobody to ask. */
bool network_ask(struct kit *kit, const struct runner *runner);
/* Waits for the answer. False with why in `refusal`, and the kit has none. */
bool network_granted(struct kit *kit, struct refusal *refusal);
/* Whether the kit has one that was granted and still is there. */
bool network_lasts(const struct kit *kit);

/* ---- leftovers.c: what programs leave in places that they share -------------------------------- */

/* All of these do nothing where runs have namespaces of their own, or no user of their own. */
void leftovers_prepare(struct runner *runner);
/* Before and after a run's program. */
void leftovers_begin(const struct runner *runner);
void leftovers_end(const struct runner *runner);
/* Removes what a directory of the programs' user holds, as that user. */
void leftovers_empty(const struct runner *runner, const char *path);

/* ---- warm.c: what a runtime says about running ahead of its requests -------------------------- */

enum {
    WARM_LIBRARY = WARM_DESCRIPTOR + 1, /* what makes a zygote of an interpreter */
    WARM_PLAN,                          /* struct plan */
};

struct warm {
    enum { WARM_NONE, WARM_PRESPAWN, WARM_FORK } mode;
    struct command command;
    const char *file;
};

/* What a zygote has to know of the runner; the filter's instructions follow. Pointers in `config` mean nothing. */
struct plan {
    struct config config;
    struct confinement confinement;
    unsigned short instructions;
};

/* What is wrong with this value of the field; NULL if nothing is. */
const char *warm_problem(const json_t *warm);
/* False where the runtime, or this place, has no warm mode. */
bool warm_load(const struct runner *runner, const struct runtime *runtime, struct warm *warm);
/* Starts an interpreter that forks kits; its pid, or -1. `socket` is what recipes take. */
pid_t zygote_start(const struct runner *runner, const struct warm *warm, int *socket);

/* Whether this request can be served by an interpreter that is up: it asks for nothing that is read at its start. */
bool warm_suits(const struct runtime *runtime, const struct request *request);

/* ---- keeper.c: kits made ahead ---------------------------------------------------------------- */

/* Answers tickets that come to `inbox`, until SIGTERM. */
_Noreturn void keeper_main(struct runner *runner, int inbox);

/* What a supervisor asks for; the socket for the answer comes beside it. */
struct ticket {
    char runtime[64];
    struct limits limits;
    bool warm;    /* an interpreter that is up will do */
    bool network; /* a way out is wanted */
    bool returns_network; /* nothing is: a network comes beside, and its way out if it has one */
};

/* ---- launch.c --------------------------------------------------------------------------------- */

struct run {
    const struct runner *runner;
    struct request request;
    const struct runtime *runtime;
    struct limits limits;
    const char *directory; /* as the program sees it */
};

/* The variables of every run of a runtime, as an object. */
json_t *environment_base(const struct runner *runner, const struct runtime *runtime, const char *directory);
/* NAME=VALUE texts, NULL-terminated; takes the object over. */
char **environment_texts(json_t *object);
/* The block that makes a waiting process this step's program (to be freed); NULL with `refusal` filled. */
char *launch_build(const struct run *run, enum stage_kind stage, size_t *length, struct refusal *refusal);

/* ---- compiled.c: what compilers made ---------------------------------------------------------- */

/* The directory, made if it is missing; -1 if there is to be none. */
int compiled_open(const struct config *config);
/* The name of what a request's source is compiled to; false if it is not to be kept. */
bool compiled_name(const struct run *run, char name[65]);
/* Puts the program of that name into the run's directory; false if it was not kept. */
bool compiled_fetch(const struct run *run, const char *name, int directory);
/* Keeps the program that was just compiled there, unless its compiler said anything. */
void compiled_keep(const struct run *run, const char *name, int directory);

/* ---- run.c: the supervisor of one connection -------------------------------------------------- */

/* Serves one connection from first byte to close; the process ends with it. */
_Noreturn void supervise(struct runner *runner, int socket, bool busy, unsigned live_runs);

/* ---- home.c: the size of the home ------------------------------------------------------------- */

/* Forgets the size where the storage keeps it. */
void home_prepare(struct config *config);
/* Watches the home until it is killed. */
_Noreturn void home_main(const struct config *config);

/* ---- init.c, server.c ------------------------------------------------------------------------- */

struct ssh {
    int listener; /* -1: none */
    const char *program, *config;
    bool nested; /* what belongs to the container's root looks like nobody's */
};

/* A listening socket that does not block; `host` in host byte order. Dies if it cannot be had. */
int listen_on(in_addr_t host, uint16_t port);
int server_main(struct runner *runner, const struct ssh *ssh);
/* Forks an sshd for one accepted connection; its pid, or -1. Takes the socket over. */
pid_t ssh_hand_off(const struct ssh *ssh, int socket);
/* One step's --version output, for `runtimes`; in runtime.c. */
json_t *runtimes_describe(struct runner *runner);

/* ---- terminal.c: shells that outlive connections ---------------------------------------------- */

int terminal_main(int count, char **words);

#endif
