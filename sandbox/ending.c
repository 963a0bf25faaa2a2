/* How a Python program ended, known before its interpreter takes itself apart.
 *
 * That takes longer than most programs run, and nearly all of it is memory given back that the kernel takes anyway. An
 * exit function written in Python could leave earlier, but the exit status is known to none: it lies in a variable of
 * the interpreter's main. So the one evaluation that decides it is watched: what runs next once the interpreter has
 * said that it runs its file (audit events "cpython.run_file" and "exec", in CPython's documentation, "Audit events
 * table") is the module `__main__`, evaluated through PEP 523's hook, which is taken back at once. If that evaluation
 * returned, the status is 0; whatever else happened is left to the interpreter.
 *
 * Part of zygote.c's library, never of the runner. */
#include "ending.h"
#include "runner.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

typedef void *(*evaluation)(void *thread, void *frame, int throwing);

extern int PySys_AddAuditHook(int (*hook)(const char *event, void *arguments, void *data), void *data)
    __attribute__((weak));
extern void *PyInterpreterState_Get(void) __attribute__((weak));
extern void *PyThreadState_Get(void) __attribute__((weak));
extern void _PyInterpreterState_SetEvalFrameFunc(void *interpreter, evaluation function) __attribute__((weak));
extern evaluation _PyInterpreterState_GetEvalFrameFunc(void *interpreter) __attribute__((weak));
extern void *PyImport_AddModule(const char *name) __attribute__((weak));
extern void *PyModule_GetDict(void *module) __attribute__((weak));
extern int PyDict_SetItemString(void *dictionary, const char *key, void *value) __attribute__((weak));
extern void *PyBool_FromLong(long value) __attribute__((weak));
extern void Py_DecRef(void *object) __attribute__((weak));

/* CPython's own (its C API, "Implementing functions and methods"). */
struct PyMethodDef {
    const char *name;
    void *(*function)(void *self, void *arguments);
    int flags;
    const char *documentation;
};
enum { METH_NOARGS = 4 };
extern void *PyCFunction_NewEx(struct PyMethodDef *definition, void *self, void *module) __attribute__((weak));

static enum { UNSEEN, FILE_OPENED, WATCHED, RETURNED } program;
static void *program_thread;
static pid_t process;
static evaluation usual;

static void *evaluate(void *thread, void *frame, int throwing)
{
    if (thread != program_thread || program != FILE_OPENED)
        return usual(thread, frame, throwing);
    _PyInterpreterState_SetEvalFrameFunc(PyInterpreterState_Get(), usual);
    program = WATCHED;
    void *result = usual(thread, frame, throwing);
    if (result)
        program = RETURNED;
    return result;
}

static int audit(const char *event, void *arguments, void *data)
{
    (void)arguments;
    (void)data;
    if (program >= WATCHED)
        return 0;
    if (program == UNSEEN && strcmp(event, "cpython.run_file") == 0) {
        program = FILE_OPENED;
    } else if (program == FILE_OPENED && !program_thread && strcmp(event, "exec") == 0) {
        void *interpreter = PyInterpreterState_Get();
        usual = _PyInterpreterState_GetEvalFrameFunc(interpreter);
        program_thread = PyThreadState_Get();
        _PyInterpreterState_SetEvalFrameFunc(interpreter, evaluate);
    }
    return 0;
}

static void *has_returned(void *self, void *arguments)
{
    (void)self;
    (void)arguments;
    return PyBool_FromLong(program == RETURNED);
}

/* Tells the init that this was the end, and is not heard of again; or goes on. */
static void say_end(int status)
{
    char name[16];
    if (getpid() != process || gettid() != process)
        return; /* another process's, or another thread's name: the init does not look at them */
    fflush(NULL);
    for (int stream = STDIN_FILENO; stream <= STDERR_FILENO; stream++)
        close(stream); /* their readers need not wait either */
    snprintf(name, sizeof name, ENDING_NAME, status);
    prctl(PR_SET_NAME, name);
    kill(process, SIGSTOP);
}

static void *leave(void *self, void *arguments)
{
    (void)self;
    (void)arguments;
    say_end(EXIT_SUCCESS);
    exit(EXIT_SUCCESS);
}

void watch_program(const char *module, bool may_stop)
{
    static struct PyMethodDef functions[] = {
        {"program_has_returned", has_returned, METH_NOARGS, NULL},
        {"leave", leave, METH_NOARGS, NULL},
    };
    if (!PySys_AddAuditHook || !_PyInterpreterState_SetEvalFrameFunc || !_PyInterpreterState_GetEvalFrameFunc)
        return; /* another interpreter, or another version of this one */
    void *loader = PyImport_AddModule(module), *names = loader ? PyModule_GetDict(loader) : NULL;
    for (size_t i = 0; names && i < sizeof functions / sizeof *functions; i++) {
        void *function = PyCFunction_NewEx(&functions[i], NULL, NULL);
        if (!function || PyDict_SetItemString(names, functions[i].name, function) < 0)
            return;
        Py_DecRef(function);
    }
    process = may_stop ? getpid() : -1;
    PySys_AddAuditHook(audit, NULL);
}
