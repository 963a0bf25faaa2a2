/* What a client asks for: checked whole before anything is started. */
#include "runner.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_PATH = 512, MAX_ID = 128 };

void refuse(struct refusal *refusal, const char *code, const char *format, ...)
{
    format_into(refusal->code, sizeof refusal->code, "%s", code);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(refusal->message, sizeof refusal->message, format, arguments); /* a name too long may be cut here */
    va_end(arguments);
}

/* ---- Checks ----------------------------------------------------------------------------------- */

static bool has_nul(const json_t *text)
{
    return memchr(json_string_value(text), 0, json_string_length(text)) != NULL;
}

static bool is_plain(const json_t *text)
{
    return json_is_string(text) && !has_nul(text);
}

/* A key with the value null is a key that is not there. */
static json_t *field(const json_t *object, const char *key)
{
    json_t *value = json_object_get(object, key);
    return json_is_null(value) ? NULL : value;
}

/* Every byte is looked at, whatever the first difference. */
static bool secret_matches(const json_t *given, const char *secret)
{
    const volatile char *text = json_string_value(given);
    if (!text || json_string_length(given) != SECRET_LENGTH)
        return false;
    unsigned char difference = 0;
    for (size_t i = 0; i < SECRET_LENGTH; i++)
        difference |= (unsigned char)(text[i] ^ secret[i]);
    return difference == 0;
}

static bool is_relative_path(const char *path)
{
    if (!*path || strlen(path) > MAX_PATH)
        return false;
    for (const char *part = path; part;) {
        size_t length = strcspn(part, "/");
        if (length == 0 || length > 255 || (length == 1 && part[0] == '.') || (length == 2 && !memcmp(part, "..", 2)))
            return false;
        part = part[length] ? part + length + 1 : NULL;
    }
    return true;
}

static bool is_encoding(const json_t *value)
{
    return !value || (json_is_string(value) &&
                      (!strcmp(json_string_value(value), "utf8") || !strcmp(json_string_value(value), "base64")));
}

static bool check_files(const json_t *files, struct refusal *refusal)
{
    size_t index;
    json_t *file;
    if (files && !json_is_array(files)) {
        refuse(refusal, "bad_request", "\"files\" is not a list.");
        return false;
    }
    json_array_foreach((json_t *)files, index, file)
    {
        const json_t *path = field(file, "path");
        if (!is_plain(path) || !is_relative_path(json_string_value(path))) {
            refuse(refusal, "bad_request", "files[%zu].path must be relative, without empty, \".\" or \"..\" parts.",
                   index);
            return false;
        }
        if (!json_is_string(field(file, "content")) || !is_encoding(field(file, "encoding"))) {
            refuse(refusal, "bad_request", "files[%zu] needs a text \"content\", its encoding \"utf8\" or \"base64\".",
                   index);
            return false;
        }
    }
    return true;
}

static bool check_arguments(const json_t *args, const json_t *env, struct refusal *refusal)
{
    size_t index;
    json_t *value;
    const char *key;
    if ((args && !json_is_array(args)) || (env && !json_is_object(env))) {
        refuse(refusal, "bad_request", "\"args\" must be a list and \"env\" an object.");
        return false;
    }
    json_array_foreach((json_t *)args, index, value)
    {
        if (!is_plain(value)) {
            refuse(refusal, "bad_request", "args[%zu] is not a text without NUL.", index);
            return false;
        }
    }
    json_object_foreach((json_t *)env, key, value)
    {
        if (!*key || strchr(key, '=') || !is_plain(value)) {
            refuse(refusal, "bad_request", "env holds a bad name, or a value that is not a text without NUL.");
            return false;
        }
    }
    return true;
}

static bool parse_network(const json_t *value, struct request *request)
{
    static const char *const names[] = {[NETWORK_NONE] = "none", [NETWORK_ANY] = "any", [NETWORK_EGRESS] = "egress"};
    request->network = NETWORK_NONE;
    for (size_t i = 0; value && i < sizeof names / sizeof *names; i++)
        if (json_is_string(value) && !strcmp(json_string_value(value), names[i])) {
            request->network = (unsigned)i;
            return true;
        }
    return !value;
}

static bool check_run(struct request *request, struct refusal *refusal)
{
    const json_t *json = request->json;
    const json_t *language = field(json, "language"), *code = field(json, "code");
    const json_t *id = field(json, "id");
    if (!is_plain(language) || !json_is_string(code) || !is_encoding(field(json, "codeEncoding"))) {
        refuse(refusal, "bad_request",
               "A run needs the texts \"language\" and \"code\" (codeEncoding utf8 or base64).");
        return false;
    }
    if (id && (!is_plain(id) || json_string_length(id) > MAX_ID)) {
        refuse(refusal, "bad_request", "\"id\" is not a text of at most %d bytes.", MAX_ID);
        return false;
    }
    if (!parse_network(field(json, "network"), request)) {
        refuse(refusal, "bad_request", "\"network\" must be \"none\", \"any\" or \"egress\".");
        return false;
    }
    request->language = json_string_value(language);
    request->id = json_string_value(id);
    request->args = field(json, "args");
    request->env = field(json, "env");
    request->files = field(json, "files");

    const json_t *limits = field(json, "limits");
    const char *problem = "limits";
    struct limits outer = {0};
    if ((limits && !json_is_object(limits)) || !limits_parse(limits, &request->limits, &problem) ||
        !limits_parse(json, &outer, &problem)) {
        refuse(refusal, "bad_request", "\"%s\" must be a positive whole number within reason.", problem);
        return false;
    }
    if (outer.timeout_ms) /* said at the top of the request, the other limits below "limits" */
        request->limits.timeout_ms = outer.timeout_ms;
    return check_arguments(request->args, request->env, refusal) && check_files(request->files, refusal);
}

bool request_parse(const char *text, size_t length, const char *secret, struct request *request,
                   struct refusal *refusal)
{
    json_error_t error;
    *request = (struct request){.size = length};
    request->json = json_loadb(text, length, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &error);
    if (!request->json) {
        refuse(refusal, "bad_request", "The request is not JSON: line %d, column %d.", error.line, error.column);
        return false;
    }
    const json_t *given = field(request->json, "secret");
    bool known = secret_matches(given, secret);
    if (given) {
        if (json_is_string(given)) /* the run's init is a copy of this process: it need not know */
            explicit_bzero((char *)json_string_value(given), json_string_length(given));
        json_object_del(request->json, "secret");
    }
    if (!known) {
        refuse(refusal, "unauthorized", "The secret is wrong.");
        return false;
    }

    const json_t *op = field(request->json, "op");
    const char *name = op ? json_string_value(op) : "run";
    if (name && !strcmp(name, "ping")) {
        request->op = OP_PING;
        return true;
    }
    if (name && !strcmp(name, "runtimes")) {
        request->op = OP_RUNTIMES;
        return true;
    }
    if (!name || strcmp(name, "run")) {
        refuse(refusal, "bad_request", "\"op\" must be \"run\", \"ping\" or \"runtimes\".");
        return false;
    }
    return check_run(request, refusal);
}

void request_free(struct request *request)
{
    json_decref(request->json);
    *request = (struct request){0};
}

/* ---- Files ------------------------------------------------------------------------------------ */

/* Opens the directory of `path` below `directory`, making what is missing; `name` is what is left. */
static int open_parent(int directory, char *path, const struct user *user, const char **name)
{
    int at = dup(directory);
    char *part = path;
    for (char *slash; at >= 0 && (slash = strchr(part, '/')); part = slash + 1) {
        *slash = 0;
        if (mkdirat(at, part, 0755) == 0)
            (void)!fchownat(at, part, user->uid, user->gid, AT_SYMLINK_NOFOLLOW);
        int next = openat(at, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        int why = errno;
        close(at);
        errno = why;
        at = next;
    }
    *name = part;
    return at;
}

static bool write_file(int directory, const char *path, const void *bytes, size_t length, bool may_exist,
                       const struct user *user)
{
    char copy[MAX_PATH + 1];
    format_into(copy, sizeof copy, "%s", path);
    const char *name;
    int parent = open_parent(directory, copy, user, &name);
    if (parent < 0)
        return false;
    int file = openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (file < 0 && errno == EEXIST && may_exist)
        file = openat(parent, name, O_WRONLY | O_TRUNC | O_NOFOLLOW | O_CLOEXEC);
    bool done = file >= 0;
    for (size_t written = 0; done && written < length;) {
        ssize_t count = write(file, (const char *)bytes + written, length - written);
        done = count > 0;
        written += count > 0 ? (size_t)count : 0;
    }
    if (done && geteuid() == 0)
        done = fchown(file, user->uid, user->gid) == 0;
    int why = errno;
    if (file >= 0)
        close(file);
    close(parent);
    errno = why;
    return done;
}

static bool write_encoded(int directory, const char *path, const json_t *content, const json_t *encoding,
                          bool may_exist, const struct user *user, struct refusal *refusal)
{
    const void *bytes = json_string_value(content);
    size_t length = json_string_length(content);
    uint8_t *decoded = NULL;
    if (encoding && !strcmp(json_string_value(encoding), "base64")) {
        bytes = decoded = base64_decode(json_string_value(content), length, &length);
        if (!decoded) {
            refuse(refusal, "bad_request", "The content of %.120s is not base64.", path);
            return false;
        }
    }
    bool done = write_file(directory, path, bytes, length, may_exist, user);
    if (!done)
        refuse(refusal, "bad_request", "%.120s cannot be written: %s.", path,
               errno == EEXIST    ? "it is given twice"
               : errno == ENOTDIR ? "one of its folders is a file"
                                  : strerror(errno));
    free(decoded);
    return done;
}

bool request_write_files(const struct request *request, int directory, const char *code_name, bool code_exists,
                         const struct user *user, struct refusal *refusal)
{
    const json_t *json = request->json;
    if (!write_encoded(directory, code_name, field(json, "code"), field(json, "codeEncoding"), code_exists, user,
                       refusal))
        return false;
    size_t index;
    json_t *file;
    json_array_foreach((json_t *)request->files, index,
                       file) if (!write_encoded(directory, json_string_value(field(file, "path")),
                                                field(file, "content"), field(file, "encoding"), false, user,
                                                refusal)) return false;
    return true;
}
