/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/trust.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/base.h"
#include "base/buf.h"

#define TRUST_DIR    "/usr/local/share/ca-certificates"
#define TRUST_FILE   TRUST_DIR "/corral-egress.crt"
#define TRUST_BUNDLE "/etc/ssl/certs/ca-certificates.crt"
#define TRUST_MAX    (4u << 20) /* bytes of a bundle */

/* Without a bundle these would have programs believe nobody else. */
static const char *const trust_without_bundle[] = {"NODE_EXTRA_CA_CERTS=" TRUST_FILE, NULL};
static const char *const trust_with_bundle[] = {
    "NODE_EXTRA_CA_CERTS=" TRUST_FILE,
    "SSL_CERT_FILE=" TRUST_BUNDLE,
    "REQUESTS_CA_BUNDLE=" TRUST_BUNDLE,
    "CURL_CA_BUNDLE=" TRUST_BUNDLE,
    NULL,
};

/* The files are the user's to change: what is opened may be a pipe that nobody reads. */
static int trust_open(const char *path, int flags)
{
    struct stat st;
    int fd = open(path, flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0644);
    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size <= TRUST_MAX)
        return fd;
    (void)close(fd);
    return -EINVAL;
}

static int trust_read(int fd, struct buf *ret)
{
    ssize_t n = 1;
    while (n > 0 && ret->len <= TRUST_MAX) {
        if (buf_reserve(ret, 65536) < 0)
            return -ENOMEM;
        n = read(fd, ret->data + ret->len, 65536);
        ret->len += n > 0 ? (size_t)n : 0;
    }
    return n < 0 ? -errno : 0;
}

static int trust_write(int fd, const struct buf *text)
{
    if (text->failed)
        return -ENOMEM;
    ssize_t n = write(fd, text->data, text->len);
    return n < 0 ? -errno : (size_t)n == text->len ? 0 : -ENOSPC;
}

static int trust_add_to_bundle(const char *path, const char *pem)
{
    cleanup_buf struct buf have = {0}, more = {0};
    cleanup_close int fd = trust_open(path, O_RDWR | O_APPEND);
    if (fd < 0)
        return fd;
    int rv = trust_read(fd, &have);
    if (rv < 0 || memmem(have.data, have.len, pem, strlen(pem)) != NULL)
        return rv;
    bool open_line = have.len > 0 && have.data[have.len - 1] != '\n';
    (void)buf_printf(&more, "%s%s\n", open_line ? "\n" : "", pem);
    return trust_write(fd, &more);
}

static int trust_put(const char *root, const char *pem)
{
    static const char *const dirs[] = {"/usr/local", "/usr/local/share", TRUST_DIR};
    char path[4096];
    struct buf text = {.data = (uint8_t *)(uintptr_t)pem, .len = strlen(pem)};
    for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
        (void)snprintf(path, sizeof(path), "%s%s", root, dirs[i]);
        if (mkdir(path, 0755) < 0 && errno != EEXIST)
            return -errno;
    }
    (void)snprintf(path, sizeof(path), "%s" TRUST_FILE, root);
    cleanup_close int fd = trust_open(path, O_WRONLY | O_CREAT | O_TRUNC);
    return fd < 0 ? fd : trust_write(fd, &text);
}

int trust_add(const char *root, const char *pem, const char *const **ret)
{
    char bundle[4096];
    (void)snprintf(bundle, sizeof(bundle), "%s" TRUST_BUNDLE, root);
    int rv = trust_put(root, pem);
    if (rv < 0)
        return rv;
    rv = trust_add_to_bundle(bundle, pem);
    if (rv < 0 && rv != -ENOENT)
        return rv;
    *ret = rv == 0 ? trust_with_bundle : trust_without_bundle;
    return 0;
}
