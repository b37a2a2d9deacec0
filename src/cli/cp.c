/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cp.c - files and directories between this machine and a sandbox, as `cp -r` names them: what
 * exists as a directory is copied into, otherwise the destination is the new name.
 *
 * The happy path up is: a child of ours packs an archive into a pipe, the request's body is what
 * comes out of it, and the agent unpacks. Down: a directory comes as an archive, which is unpacked
 * as it comes and may not lead out of its directory, whatever the sandbox says; a file comes as it
 * is, under another name until it is whole.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/tar_pack.h"
#include "base/tar_unpack.h"
#include "cli/job.h"

#define CP_TAR "application/x-tar"

/* One side of a copy. */
struct cp_place {
    char *sandbox; /* owned; NULL: this machine */
    const char *path;
};

#define cleanup_place __attribute__((cleanup(cp_place_done)))

static void cp_place_done(struct cp_place *p)
{
    free(p->sandbox);
}

/* "ID:PATH" is in a sandbox; a path with a slash before the colon is not, as in `scp`. */
static struct cp_place cp_place_of(const char *word)
{
    const char *colon = strchr(word, ':'), *slash = strchr(word, '/');
    if (colon == NULL || colon == word || (slash != NULL && slash < colon))
        return (struct cp_place){.path = word};
    return (struct cp_place){.sandbox = strndup(word, (size_t)(colon - word)), .path = colon + 1};
}

/* The last name of a path, without slashes behind it; "" when there is none. */
static void cp_base(const char *path, char ret[NAME_MAX + 1])
{
    size_t len = strlen(path);
    while (len > 0 && path[len - 1] == '/')
        len--;
    size_t start = len;
    while (start > 0 && path[start - 1] != '/')
        start--;
    (void)snprintf(ret, NAME_MAX + 1, "%.*s", (int)(len - start), path + start);
    if (strcmp(ret, ".") == 0 || strcmp(ret, "..") == 0)
        ret[0] = '\0';
}

/* --- what is in the sandbox --- */

enum cp_kind { CP_NOTHING, CP_FILE, CP_DIRECTORY };

/* The kind of what a path leads to. 0, or an exit status after a message. */
static int cp_ask(struct cli *cli, const struct cp_place *p, enum cp_kind *ret)
{
    cleanup_json json *body = cJSON_CreateObject(), *answer = NULL;
    cleanup_free char *route = cli_path(CLI_SANDBOXES, p->sandbox, "/files/info");
    cli_add_text(body, "path", p->path[0] != '\0' ? p->path : ".");
    int status = route != NULL ? cli_request(cli, "POST", route, body, &answer) : -CLI_FAILED;
    if (status < 0)
        return -status;
    if (status != 200)
        return cli_refused(status, answer);
    const json *info = cJSON_GetObjectItemCaseSensitive(answer, "info");
    const char *kind = cli_text(info, "type"), *target = cli_text(info, "target_type");
    bool directory = strcmp(kind, "directory") == 0 || strcmp(target, "directory") == 0;
    *ret = info == NULL ? CP_NOTHING : directory ? CP_DIRECTORY : CP_FILE;
    return 0;
}

/* --- up --- */

struct cp_up {
    struct tar_pack tar;
    int pipe;
};

static int cp_put(struct tar_pack *p, const uint8_t *data, size_t len)
{
    const struct cp_up *u = container_of(p, struct cp_up, tar);
    while (len > 0) {
        ssize_t n = write(u->pipe, data, len);
        if (n < 0)
            return -errno;
        data += n;
        len -= (size_t)n;
    }
    return 0;
}

static void cp_left_out(struct tar_pack *p, const char *path, int errnum)
{
    (void)p;
    (void)cli_error("%s is left out: %s", path,
                    errnum != 0 ? strerror(errnum) : "it is no file, directory or link");
}

static _Noreturn void cp_pack(int pipe, int fd, bool directory, const char *name)
{
    static struct cp_up u;
    (void)signal(SIGINT, SIG_DFL);
    (void)signal(SIGPIPE, SIG_DFL);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    u.tar.put = cp_put;
    u.tar.left_out = cp_left_out;
    u.pipe = pipe;
    int rv = directory ? tar_pack_directory(&u.tar, fd) : tar_pack_file(&u.tar, fd, name);
    if (rv < 0)
        (void)cli_error("%s cannot be read: %s", u.tar.path, strerror(-rv));
    _exit(rv < 0 || u.tar.skipped > 0 ? CLI_FAILED : CLI_OK);
}

static ssize_t cp_give(void *ctx, char *data, size_t size)
{
    const int *fd = ctx;
    ssize_t n = -1;
    do {
        n = read(*fd, data, size);
    } while (n < 0 && errno == EINTR && !cli_http_interrupted());
    return n;
}

/* Sends `fd` as an archive to be unpacked at `path`: a directory, or a file to be called `name`. */
static int cp_send(struct cli *cli, const char *sandbox, const char *path, int fd, bool directory,
                   const char *name)
{
    int fds[2], status = 0;
    cleanup_json json *answer = NULL;
    cleanup_free char *route = cli_query_path(sandbox, "/upload", path);
    if (route == NULL || pipe2(fds, O_CLOEXEC) < 0)
        return cli_error("out of memory");
    pid_t child = fork();
    if (child == 0)
        cp_pack(fds[1], fd, directory, name);
    (void)close(fds[1]);
    const struct cli_transfer t = {
        .path = route, .type = CP_TAR, .give = cp_give, .ctx = &fds[0], .progress = true};
    int rv = child > 0 ? cli_transfer(cli, &t, &answer) : cli_error("fork: %s", strerror(errno));
    (void)close(fds[0]);
    if (child > 0 && waitpid(child, &status, 0) == child && rv == 0 && status != 0)
        rv = CLI_FAILED;
    if (rv == 0 && cli->raw)
        cli_print_json(answer);
    return rv;
}

/* Where the archive of `from` is unpacked, and what a file in it is called. */
static void cp_target(const char *from, const struct cp_place *to, bool into, bool directory,
                      char path[PATH_MAX], char name[NAME_MAX + 1])
{
    char base[NAME_MAX + 1];
    const char *slash = strrchr(to->path, '/');
    cp_base(from, base);
    if (into)
        (void)snprintf(path, PATH_MAX, "%s%s%s", to->path[0] != '\0' ? to->path : ".",
                       directory ? "/" : "", directory ? base : "");
    else if (directory)
        (void)snprintf(path, PATH_MAX, "%s", to->path);
    else if (slash == NULL)
        (void)snprintf(path, PATH_MAX, ".");
    else
        (void)snprintf(path, PATH_MAX, "%.*s", MAX((int)(slash - to->path), 1), to->path);
    if (into)
        (void)snprintf(name, NAME_MAX + 1, "%s", base);
    else
        cp_base(to->path, name);
}

static int cp_up(struct cli *cli, const char *from, const struct cp_place *to)
{
    char name[NAME_MAX + 1], path[PATH_MAX];
    enum cp_kind kind = CP_NOTHING;
    struct stat st;
    cleanup_close int fd = open(from, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return cli_error("%s: %s", from, strerror(errno));
    size_t len = strlen(to->path);
    bool into = len == 0 || to->path[len - 1] == '/', directory = S_ISDIR(st.st_mode);
    int rv = into ? 0 : cp_ask(cli, to, &kind);
    if (rv != 0)
        return rv;
    cp_target(from, to, into || kind == CP_DIRECTORY, directory, path, name);
    return cp_send(cli, to->sandbox, path, fd, directory, name);
}

/* --- down --- */

static bool cp_take_archive(void *ctx, const char *data, size_t len)
{
    struct tar_unpack *u = ctx;
    if (tar_unpack_feed(u, (const uint8_t *)data, len) == 0)
        return true;
    (void)cli_error("%s", u->reader.why);
    return false;
}

static int cp_get_directory(struct cli *cli, const char *route, const char *to)
{
    static struct tar_unpack u;
    if (mkdir(to, 0777) < 0 && errno != EEXIST)
        return cli_error("%s: %s", to, strerror(errno));
    cleanup_close int fd = open(to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return cli_error("%s: %s", to, strerror(errno));
    tar_unpack_init(&u, fd);
    const struct cli_transfer t = {
        .path = route, .type = CP_TAR, .take = cp_take_archive, .ctx = &u, .progress = true};
    int rv = cli_transfer(cli, &t, NULL);
    if (rv == 0 && tar_unpack_end(&u) < 0)
        rv = cli_error("%s", u.reader.why);
    tar_unpack_done(&u);
    return rv;
}

static bool cp_take_file(void *ctx, const char *data, size_t len)
{
    FILE *f = ctx;
    if (fwrite(data, 1, len, f) == len)
        return true;
    (void)cli_error("the file cannot be written: %s", strerror(errno));
    return false;
}

static int cp_get_file(struct cli *cli, const char *route, const char *to)
{
    char temp[PATH_MAX];
    (void)snprintf(temp, sizeof(temp), "%.4080s.XXXXXX", to);
    int fd = mkostemp(temp, O_CLOEXEC);
    FILE *f = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (f == NULL)
        return cli_error("%s: %s", to, strerror(errno));
    const struct cli_transfer t = {.path = route, .take = cp_take_file, .ctx = f, .progress = true};
    mode_t mask = umask(0);
    (void)umask(mask);
    int rv = cli_transfer(cli, &t, NULL);
    (void)fchmod(fd, 0666 & ~mask);
    if (fclose(f) != 0 && rv == 0)
        rv = cli_error("%s: %s", to, strerror(errno));
    if (rv == 0 && rename(temp, to) < 0)
        rv = cli_error("%s: %s", to, strerror(errno));
    if (rv != 0)
        (void)unlink(temp);
    return rv;
}

static int cp_down(struct cli *cli, const struct cp_place *from, const char *to)
{
    char base[NAME_MAX + 1], target[PATH_MAX];
    struct stat st;
    enum cp_kind kind = CP_NOTHING;
    int rv = cp_ask(cli, from, &kind);
    if (rv == 0 && kind == CP_NOTHING)
        rv = cli_error("there is no %s in the sandbox", from->path);
    if (rv != 0)
        return rv;
    cp_base(from->path, base);
    bool into = stat(to, &st) == 0 && S_ISDIR(st.st_mode);
    (void)snprintf(target, sizeof(target), "%s%s%s", to, into && base[0] != '\0' ? "/" : "",
                   into ? base : "");
    cleanup_free char *route = cli_query_path(from->sandbox, "/download", from->path);
    if (route == NULL)
        return cli_error("out of memory");
    return kind == CP_DIRECTORY ? cp_get_directory(cli, route, target)
                                : cp_get_file(cli, route, target);
}

int cli_cp(struct cli *cli, int argc, char **argv)
{
    bool recursive = false; /* directories are copied in any case */
    const struct cli_opt opts[] = {{"recursive", CLI_FLAG, &recursive}, {NULL, CLI_FLAG, NULL}};
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "-r") == 0 || strcmp(argv[i], "-R") == 0)
            argv[i] = (char *)"--recursive";
    }
    int rv = cli_parse(cli, &argc, argv, opts, false);
    if (rv == 0)
        rv = cli_expect(argc, 2, 2);
    if (rv != 0)
        return rv;
    cleanup_place struct cp_place from = cp_place_of(argv[0]);
    cleanup_place struct cp_place to = cp_place_of(argv[1]);
    if ((from.sandbox == NULL) == (to.sandbox == NULL)) {
        (void)cli_error("one of the two is in a sandbox, as ID:PATH");
        return CLI_USAGE;
    }
    return to.sandbox != NULL ? cp_up(cli, from.path, &to) : cp_down(cli, &from, to.path);
}
