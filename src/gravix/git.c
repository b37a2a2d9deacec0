/* SPDX-License-Identifier: Apache-2.0 */
/*
 * git.c - git in the sandbox: one argument vector for each call, and how it ended.
 *
 * A git that fails is a success of the route. Nothing that a client sends is an option of git: what
 * begins with a dash is refused, paths stand behind "--".
 *
 * Credentials never stand in an argument, a variable or a file. They are the command's stdin: a
 * shell moves it out of git's way to descriptor 3, and a credential helper of one line prints it
 * when git asks. It is a pipe, so git gets an answer once; one process of it talks to the server,
 * and that one asks once. What the same git starts before, a hook for one, could read the pipe.
 */
#include <stdio.h>
#include <string.h>

#include "api/command.h"
#include "gravix/internal.h"

#define GIT_TIMEOUT_MAX_S 900
#define GIT_MAX_ARGS      32 /* of a call, without the paths of an add */
#define GIT_MAX_SECRET    4096
#define GIT_TOKEN_USER    "x-access-token" /* forges that take a token ignore the name */

#define GIT_SCRIPT                                                                                 \
    "exec 3<&0 </dev/null\n"                                                                       \
    "exec git -c credential.helper= "                                                              \
    "-c 'credential.helper=!f() { test \"$1\" = get && cat <&3; }; f' \"$@\""

struct git_args {
    const char *list[GIT_MAX_ARGS];
    size_t count;
    char **paths; /* behind the list; owned */
};

/* --- what a body says --- */

static void git_add_arg(struct git_args *a, const char *arg)
{
    if (a->count < GIT_MAX_ARGS)
        a->list[a->count++] = arg;
}

static int git_check(const char *field, const char *value, struct error *err)
{
    if (value[0] == '-')
        return error_set(err, ERROR_INVALID_ARGUMENT, "Field '%s' begins with '-'", field);
    return 0;
}

/* A word of the command line; *ret is NULL when the field is missing or empty. */
static int git_word(struct api_call *call, const char *field, const char **ret, struct error *err)
{
    const char *value = NULL;
    int rv = json_get_str(call->body, field, "", &value, err);
    if (rv == 0)
        rv = git_check(field, value, err);
    *ret = rv == 0 && value[0] != '\0' ? value : NULL;
    return rv;
}

/* Adds the word of each field; one that is missing ends it, unless it is among the first `need`. */
static int git_words(struct api_call *call, struct git_args *a, const char *const *fields,
                     size_t count, size_t need, struct error *err)
{
    for (size_t i = 0; i < count; i++) {
        const char *value = NULL;
        int rv = git_word(call, fields[i], &value, err);
        if (rv < 0)
            return rv;
        if (value == NULL && i < need)
            return error_set(err, ERROR_INVALID_ARGUMENT, "Field '%s' is missing or empty",
                             fields[i]);
        if (value == NULL)
            return 0;
        git_add_arg(a, value);
    }
    return 0;
}

/* "NAME=VALUE" for the option -c, when there is a value. */
static int git_config(struct api_call *call, struct git_args *a, const char *field,
                      const char *name, struct error *err)
{
    const char *value = NULL;
    int rv = json_get_str(call->body, field, "", &value, err);
    if (rv < 0 || value[0] == '\0')
        return rv;
    size_t size = strlen(name) + strlen(value) + 2;
    char *arg = arena_alloc(&call->req->arena, size);
    if (arg == NULL)
        return error_set(err, ERROR_INTERNAL, "Out of memory");
    (void)snprintf(arg, size, "%s=%s", name, value);
    git_add_arg(a, "-c");
    git_add_arg(a, arg);
    return 0;
}

/* --- the calls --- */

/* What these clients may clone: addresses of git's own transports, and "user@host:path". */
static int git_check_url(const char *url, struct error *err)
{
    static const char *const schemes[] = {"http://", "https://", "ssh://", "git://"};
    for (size_t i = 0; i < ARRAY_SIZE(schemes); i++) {
        if (strncmp(url, schemes[i], strlen(schemes[i])) == 0)
            return 0;
    }
    const char *colon = strchr(url, ':'), *at = strchr(url, '@'), *slash = strchr(url, '/');
    if (colon != NULL && colon[1] != ':' && at != NULL && at < colon &&
        (slash == NULL || slash > colon))
        return 0;
    return error_set(err, ERROR_INVALID_ARGUMENT,
                     "Field 'url' must begin with http://, https://, ssh:// or git://, or have the "
                     "form user@host:path");
}

static int git_clone(struct api_call *call, struct git_args *a, struct error *err)
{
    const char *url = NULL, *path = NULL, *branch = NULL;
    int64_t depth = 0;
    int rv = json_need_str(call->body, "url", &url, err);
    if (rv == 0)
        rv = git_check("url", url, err);
    if (rv == 0)
        rv = git_check_url(url, err);
    if (rv == 0)
        rv = json_need_str(call->body, "path", &path, err);
    if (rv == 0)
        rv = git_word(call, "branch", &branch, err);
    if (rv == 0)
        rv = json_get_int(call->body, "depth", 0, 0, INT32_MAX, &depth, err);
    if (rv < 0)
        return rv;
    path = api_path(call, path, err);
    char *number = arena_alloc(&call->req->arena, 32);
    if (path == NULL || number == NULL)
        return path == NULL ? -EINVAL : error_set(err, ERROR_INTERNAL, "Out of memory");
    git_add_arg(a, "clone");
    if (branch != NULL) {
        git_add_arg(a, "--branch");
        git_add_arg(a, branch);
    }
    if (depth > 0) {
        (void)snprintf(number, 32, "--depth=%lld", (long long)depth);
        git_add_arg(a, number);
    }
    git_add_arg(a, "--");
    git_add_arg(a, url);
    git_add_arg(a, path);
    return 0;
}

static int git_status(struct api_call *call, struct git_args *a, struct error *err)
{
    (void)call;
    (void)err;
    git_add_arg(a, "status");
    return 0;
}

static int git_branches(struct api_call *call, struct git_args *a, struct error *err)
{
    static const struct {
        const char *scope, *option;
    } scopes[] = {{"", "--list"}, {"local", "--list"}, {"remote", "-r"}, {"all", "-a"}};
    const char *scope = NULL;
    int rv = json_get_str(call->body, "scope", "", &scope, err);
    if (rv < 0)
        return rv;
    for (size_t i = 0; i < ARRAY_SIZE(scopes); i++) {
        if (strcmp(scope, scopes[i].scope) != 0)
            continue;
        git_add_arg(a, "branch");
        git_add_arg(a, scopes[i].option);
        return 0;
    }
    return error_set(err, ERROR_INVALID_ARGUMENT, "Field 'scope' must be local, remote or all");
}

static int git_checkout(struct api_call *call, struct git_args *a, struct error *err)
{
    static const char *const fields[] = {"ref_name"};
    git_add_arg(a, "checkout");
    int rv = git_words(call, a, fields, 1, 1, err);
    git_add_arg(a, "--"); /* it is not a path */
    return rv;
}

/* A server's name or address, and what of it; the latter alone is git's usual server's. */
static int git_remote(struct api_call *call, struct git_args *a, const char *field,
                      struct error *err)
{
    const char *remote = NULL, *what = NULL;
    int rv = git_word(call, "remote", &remote, err);
    if (rv == 0)
        rv = git_word(call, field, &what, err);
    if (remote != NULL || what != NULL)
        git_add_arg(a, remote != NULL ? remote : "origin");
    if (what != NULL)
        git_add_arg(a, what);
    return rv;
}

static int git_pull(struct api_call *call, struct git_args *a, struct error *err)
{
    git_add_arg(a, "pull");
    return git_remote(call, a, "branch", err);
}

static int git_push(struct api_call *call, struct git_args *a, struct error *err)
{
    git_add_arg(a, "push");
    return git_remote(call, a, "refspec", err);
}

static int git_fetch(struct api_call *call, struct git_args *a, struct error *err)
{
    static const char *const fields[] = {"remote"};
    git_add_arg(a, "fetch");
    return git_words(call, a, fields, ARRAY_SIZE(fields), 0, err);
}

/* Without paths everything. */
static int git_add(struct api_call *call, struct git_args *a, struct error *err)
{
    int rv = json_get_str_list(call->body, "paths", &a->paths, err);
    git_add_arg(a, "add");
    git_add_arg(a, a->paths == NULL || a->paths[0] == NULL ? "--all" : "--");
    return rv;
}

static int git_commit(struct api_call *call, struct git_args *a, struct error *err)
{
    const char *message = NULL;
    bool empty = false;
    int rv = git_config(call, a, "author_name", "user.name", err);
    if (rv == 0)
        rv = git_config(call, a, "author_email", "user.email", err);
    if (rv == 0)
        rv = json_need_str(call->body, "message", &message, err);
    if (rv == 0)
        rv = json_get_bool(call->body, "allow_empty", false, &empty, err);
    git_add_arg(a, "commit");
    git_add_arg(a, "-m");
    git_add_arg(a, message);
    if (empty)
        git_add_arg(a, "--allow-empty");
    return rv;
}

static int git_branch_create(struct api_call *call, struct git_args *a, struct error *err)
{
    static const char *const fields[] = {"branch_name", "start_point"};
    git_add_arg(a, "branch");
    return git_words(call, a, fields, ARRAY_SIZE(fields), 1, err);
}

static int git_branch_delete(struct api_call *call, struct git_args *a, struct error *err)
{
    static const char *const fields[] = {"branch_name"};
    bool force = false;
    int rv = json_get_bool(call->body, "force", false, &force, err);
    git_add_arg(a, "branch");
    git_add_arg(a, force ? "-D" : "-d");
    return rv == 0 ? git_words(call, a, fields, 1, 1, err) : rv;
}

struct git_call {
    const char *name; /* the end of its route */
    int (*args)(struct api_call *call, struct git_args *a, struct error *err);
    bool remote; /* it talks to a server: credentials, and a time-out of the client's */
};

/* Each has its route. */
static const struct git_call git_calls[] = {
    {"clone", git_clone, true},
    {"status", git_status, false},
    {"branches", git_branches, false},
    {"checkout", git_checkout, false},
    {"pull", git_pull, true},
    {"push", git_push, true},
    {"fetch", git_fetch, true},
    {"add", git_add, false},
    {"commit", git_commit, false},
    {"branch/create", git_branch_create, false},
    {"branch/delete", git_branch_delete, false},
};

static const struct git_call *git_find(const struct api_call *call)
{
    const char *name = strstr(call->route->pattern, "/git/") + strlen("/git/");
    size_t i = 0;
    while (strcmp(name, git_calls[i].name) != 0)
        i++;
    return &git_calls[i];
}

/* --- credentials --- */

static int git_secret(struct api_call *call, const char *field, const char **ret, struct error *err)
{
    int rv = json_get_str(call->body, field, "", ret, err);
    if (rv == 0 && (strlen(*ret) > GIT_MAX_SECRET || strpbrk(*ret, "\r\n") != NULL))
        return error_set(err, ERROR_INVALID_ARGUMENT, "Field '%s' has a line break or is too long",
                         field);
    return rv;
}

/* What the credential helper prints; nothing when the body has no credentials. A token goes before
 * a password. */
static int git_credentials(struct api_call *call, struct buf *input, struct error *err)
{
    const char *token = "", *user = "", *password = "";
    int rv = git_secret(call, "auth_token", &token, err);
    if (rv == 0)
        rv = git_secret(call, "username", &user, err);
    if (rv == 0)
        rv = git_secret(call, "password", &password, err);
    if (rv < 0)
        return rv;
    if (token[0] != '\0')
        return buf_printf(input, "username=%s\npassword=%s\n", GIT_TOKEN_USER, token);
    if ((user[0] != '\0') != (password[0] != '\0'))
        return error_set(err, ERROR_INVALID_ARGUMENT,
                         "Fields 'username' and 'password' are given together or not at all");
    return user[0] != '\0' ? buf_printf(input, "username=%s\npassword=%s\n", user, password) : 0;
}

/* --- run --- */

struct git_run {
    const struct git_call *git;
    const char *cwd;
    int64_t timeout_s;
    struct git_args args;
    struct buf input;
};

static int git_read(struct api_call *call, struct git_run *r, struct error *err)
{
    const char *path = NULL;
    int64_t max = MIN((int64_t)GIT_TIMEOUT_MAX_S, api_run_time_max(call));
    int rv = 0;
    r->cwd = GRAVIX_HOME;
    if (r->git->args != git_clone) {
        rv = json_need_str(call->body, "repository_path", &path, err);
        if (rv == 0 && (r->cwd = api_path(call, path, err)) == NULL)
            rv = -EINVAL;
    }
    r->timeout_s = 0;
    if (rv == 0 && r->git->remote)
        rv = json_get_int(call->body, "timeout_seconds", 0, 0, max, &r->timeout_s, err);
    if (r->timeout_s == 0)
        r->timeout_s = MIN(max, (int64_t)GRAVIX_TIMEOUT_S);
    if (rv == 0 && r->git->remote)
        rv = git_credentials(call, &r->input, err);
    return rv == 0 ? r->git->args(call, &r->args, err) : rv;
}

/* The vector behind the program; NULL: out of memory. In one allocation. */
static char **git_vector(const struct git_run *r)
{
    size_t paths = 0, n = 0;
    while (r->args.paths != NULL && r->args.paths[paths] != NULL)
        paths++;
    const char **list = calloc(r->args.count + paths + 4, sizeof(*list));
    if (list == NULL)
        return NULL;
    if (r->input.len > 0) {
        list[n++] = "-c";
        list[n++] = GIT_SCRIPT;
        list[n++] = "git";
    }
    for (size_t i = 0; i < r->args.count; i++)
        list[n++] = r->args.list[i];
    for (size_t i = 0; i < paths; i++)
        list[n++] = r->args.paths[i];
    return (char **)list;
}

static int git_request(struct git_run *r, struct buf *request, struct error *err)
{
    char *env[] = {"GIT_TERMINAL_PROMPT=0", NULL};
    cleanup_free char **args = git_vector(r);
    if (args == NULL)
        return error_set(err, ERROR_INTERNAL, "Out of memory");
    int rv = api_check_list(args, "paths", err);
    if (rv < 0)
        return rv;
    bool secret = r->input.len > 0;
    const struct wire_exec_params params = {.command = secret ? "sh" : "git",
                                            .args = args,
                                            .cwd = r->cwd,
                                            .env = env,
                                            .timeout_ms = (uint32_t)r->timeout_s * 1000,
                                            .has_stdin = secret};
    wire_request_exec(request, &params);
    if (request->len > WIRE_MAX_REQUEST)
        return error_set(err, ERROR_BODY_TOO_LARGE, "The command is too long");
    return 0;
}

static void git_done(struct git_run *r)
{
    free(r->args.paths);
    if (r->input.data != NULL)
        explicit_bzero(r->input.data, r->input.cap);
    buf_done(&r->input);
}

void gravix_git(struct api_call *call)
{
    struct error err;
    struct git_run r = {.git = git_find(call)};
    struct buf request = {0};
    int rv = git_read(call, &r, &err);
    if (rv == 0)
        rv = git_request(&r, &request, &err);
    if (rv < 0) {
        buf_done(&request);
        api_fail(call, &err);
    } else {
        uint64_t timeout_ms = (uint64_t)r.timeout_s * 1000 + COMMAND_GRACE_MS;
        command_start(call, &request, r.input.len > 0 ? &r.input : NULL, timeout_ms,
                      gravix_command_reply);
    }
    git_done(&r);
}
