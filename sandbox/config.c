/* The configuration file: JSON, readable by root only, checked whole before anything starts. */
#include "runner.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_COMPILED_BYTES = 64 << 20 };

static const struct limits built_in_ceiling = {
    .memory_mb = 4096,
    .processes = 512,
    .output_bytes = 1LL << 30,
    .timeout_ms = 24LL * 3600 * 1000,
    .cpu_ms = 24LL * 3600 * 1000,
};

bool limits_parse(const json_t *object, struct limits *limits, const char **problem)
{
    const struct {
        const char *name;
        int64_t *value;
    } fields[] = {
        {"memoryMb", &limits->memory_mb},   {"processes", &limits->processes}, {"outputBytes", &limits->output_bytes},
        {"timeoutMs", &limits->timeout_ms}, {"cpuMs", &limits->cpu_ms},
    };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        const json_t *value = json_object_get(object, fields[i].name);
        if (!value || json_is_null(value))
            continue;
        if (!json_is_integer(value) || json_integer_value(value) <= 0 || json_integer_value(value) > INT64_MAX >> 21) {
            *problem = fields[i].name;
            return false;
        }
        *fields[i].value = json_integer_value(value);
    }
    return true;
}

static char *text_of(const json_t *object, const char *key, bool required)
{
    const json_t *value = json_object_get(object, key);
    if (required && !json_is_string(value))
        die("configuration: \"%s\" must be a text", key);
    return json_is_string(value) ? copy_text(json_string_value(value)) : NULL;
}

static int64_t number_of(const json_t *object, const char *key, int64_t low, int64_t high)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_integer(value) || json_integer_value(value) < low || json_integer_value(value) > high)
        die("configuration: \"%s\" must be a number from %lld to %lld", key, (long long)low, (long long)high);
    return json_integer_value(value);
}

void config_load(struct config *config, const char *path)
{
    json_error_t error;
    json_t *json = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
    if (!json)
        die("configuration %s, line %d: %s", path, error.line, error.text);

    char *secret = text_of(json, "secret", true);
    if (strlen(secret) != SECRET_LENGTH || strspn(secret, "0123456789abcdef") != SECRET_LENGTH)
        die("configuration: \"secret\" must be %d lower-case hexadecimal digits", SECRET_LENGTH);
    memcpy(config->secret, secret, sizeof config->secret);
    explicit_bzero(secret, SECRET_LENGTH);
    free(secret);

    config->port = (uint16_t)number_of(json, "port", 0, 65535);
    config->runtimes = text_of(json, "runtimes", true);

    const json_t *user = json_object_get(json, "user");
    config->user.name = text_of(user, "name", true);
    config->user.home = text_of(user, "home", true);
    config->user.uid = (uid_t)number_of(user, "uid", 1, INT32_MAX);
    config->user.gid = (gid_t)number_of(user, "gid", 1, INT32_MAX);

    config->limits = built_in_ceiling;
    const char *problem;
    if (!limits_parse(json_object_get(json, "limits"), &config->limits, &problem))
        die("configuration: limits.%s must be a positive whole number", problem);

    const json_t *cgroup = json_object_get(json, "cgroup");
    config->cgroup.memory = text_of(cgroup, "memory", false);
    config->cgroup.pids = text_of(cgroup, "pids", false);
    config->cgroup.cpuacct = text_of(cgroup, "cpuacct", false);
    config->cgroup.unified = text_of(cgroup, "unified", false);

    const json_t *bounded = json_object_get(json, "bounded");
    if (bounded && !json_is_boolean(bounded))
        die("configuration: \"bounded\" must be true or false");
    config->bounded = json_is_true(bounded);

    const json_t *compiled = json_object_get(json, "compiled");
    if (compiled && !json_is_string(compiled) && !json_is_false(compiled))
        die("configuration: \"compiled\" must be a directory or false");
    if (!json_is_false(compiled))
        config->compiled = copy_text(compiled ? json_string_value(compiled) : "/run/martlet/compiled");
    config->compiled_bytes = (config->limits.memory_mb << 20) / 32;
    if (config->compiled_bytes > MOST_COMPILED_BYTES)
        config->compiled_bytes = MOST_COMPILED_BYTES;

    if (json_object_get(json, "homeMb"))
        config->home_bytes = number_of(json, "homeMb", 1, INT64_MAX >> 21) << 20;

    const json_t *warm = json_object_get(json, "warm");
    if (warm && !json_is_boolean(warm))
        die("configuration: \"warm\" must be true or false");
    config->warm = !json_is_false(warm);

    char *network = text_of(json, "network", false);
    if (network && strcmp(network, "private") && strcmp(network, "shared"))
        die("configuration: \"network\" must be \"private\" or \"shared\"");
    config->shared_network = network && !strcmp(network, "shared");
    free(network);
    json_decref(json);
}
