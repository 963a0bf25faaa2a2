/* The launch of a program: a block of text that tells a waiting process what to become.
 *
 *   15 digits or spaces and LF: the length of the rest, which is texts that each end in NUL:
 *   "run" or "compile", the path to execute, the count of words, the words, the count of variables, NAME=VALUE ...
 *
 * A process that will execute reads it in program.c; an interpreter that is up already reads it in its own language, and minds
 * only the words and variables (runtimes/README.md, "Warm"). */
#include "runner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

json_t *environment_base(const struct runner *runner, const struct runtime *runtime, const char *directory)
{
    const struct user *user = &runner->config.user;
    json_t *all = json_pack("{s:s, s:s, s:s, s:s, s:s}", "PATH", SEARCH_PATH, "HOME", user->home, "USER", user->name,
                            "LANG", "C.UTF-8", "TERM", "dumb");
    if (!runner->confinement.namespaces)
        json_object_set_new(all, "TMPDIR", json_string(directory));
    json_object_update(all, json_object_get(runtime->spec, "env"));
    return all;
}

char **environment_texts(json_t *object)
{
    char **environment = allocate((json_object_size(object) + 1) * sizeof *environment);
    size_t count = 0;
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value) if (json_is_string(value) && asprintf(&environment[count++], "%s=%s", key,
                                                                                  json_string_value(value)) < 0)
        die("out of memory");
    json_decref(object);
    return environment;
}

static void put_list(FILE *out, char *const *texts)
{
    size_t count = 0;
    while (texts[count])
        count++;
    fprintf(out, "%zu%c", count, 0);
    for (size_t i = 0; i < count; i++)
        fprintf(out, "%s%c", texts[i], 0);
}

char *launch_build(const struct run *run, enum stage_kind stage, size_t *length, struct refusal *refusal)
{
    const char *name = stage == STAGE_COMPILE ? "compile" : "run";
    const json_t *more = stage == STAGE_COMPILE ? NULL : run->request.args;
    char **words = runtime_words(&run->runner->runtimes, run->runtime, json_object_get(run->runtime->spec, name),
                                 run->directory, more);
    char *path = command_find(words[0]);
    if (!path && words[0][0] != '.') {
        refuse(refusal, "runtime_unavailable", "%s is not installed.", words[0]);
        free_texts(words);
        return NULL;
    }
    json_t *variables = environment_base(run->runner, run->runtime, run->directory);
    if (run->request.id)
        json_object_set_new(variables, "MARTLET_EXECUTION_ID", json_string(run->request.id));
    json_object_update(variables, (json_t *)run->request.env);
    char **environment = environment_texts(variables);
    char *block = NULL, header[LAUNCH_HEADER + 1];
    size_t size = 0;
    FILE *out = open_memstream(&block, &size);
    if (!out)
        die("out of memory");
    fprintf(out, "%*s", LAUNCH_HEADER, ""); /* room for the length, which is not known yet */
    fprintf(out, "%s%c%s%c", name, 0, path ? path : words[0], 0);
    put_list(out, words);
    put_list(out, environment);
    if (fclose(out) != 0)
        die("out of memory");
    format_into(header, sizeof header, "%*zu\n", LAUNCH_HEADER - 1, size - LAUNCH_HEADER);
    memcpy(block, header, LAUNCH_HEADER);
    free(path);
    free_texts(words);
    free_texts(environment);
    *length = size;
    return block;
}
