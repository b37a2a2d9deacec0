/* SPDX-License-Identifier: Apache-2.0 */
/*
 * identity.c - writes the host name and the ids.
 *
 * The machine id is a file. The boot id belongs to the kernel and cannot be written, so a file with
 * another id is mounted over it, read-only; a later call writes to that file.
 */
#include "agent/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/random.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "base/base.h"
#include "base/buf.h"
#include "base/log.h"

#define HOSTS        "/etc/hosts"
#define HOSTS_OWN    "127.0.1.1" /* the address that Debian gives a machine's own name */
#define HOSTS_MAX    16384       /* bytes */
#define MACHINE_ID   "/etc/machine-id"
#define BOOT_ID      "/proc/sys/kernel/random/boot_id"
#define BOOT_ID_FILE "/run/corral.boot_id" /* what BOOT_ID shows */
#define UUID_BYTES   16
#define UUID_TEXT    40 /* with dashes, a newline and NUL */

/* A UUID of version 4, as systemd and the kernel use. */
static int make_uuid(const char *separator, char text[UUID_TEXT])
{
    uint8_t id[UUID_BYTES];
    char *at = text;
    if (getrandom(id, sizeof(id), 0) != (ssize_t)sizeof(id))
        return -errno;
    id[6] = (uint8_t)((id[6] & 0x0f) | 0x40);
    id[8] = (uint8_t)((id[8] & 0x3f) | 0x80);
    for (size_t i = 0; i < sizeof(id); i++) {
        bool group = i == 4 || i == 6 || i == 8 || i == 10;
        at += sprintf(at, "%s%02x", group ? separator : "", id[i]);
    }
    (void)strcpy(at, "\n");
    return 0;
}

/* Writes in place, so that a bind mount of the file shows the new text. */
static int replace_text(const char *path, const char *text)
{
    size_t len = strlen(text);
    cleanup_close int fd = open(path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0444);
    if (fd < 0)
        return -errno;
    if (pwrite(fd, text, len, 0) != (ssize_t)len || ftruncate(fd, (off_t)len) < 0)
        return -EIO;
    return 0;
}

/* The hosts file without an earlier name of this machine, and with the new one. -E2BIG for a file
 * that is somebody's collection. */
static int read_hosts(struct buf *text, const char *hostname)
{
    char old[HOSTS_MAX + 1];
    cleanup_close int fd = open(HOSTS, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : pread(fd, old, sizeof(old), 0);
    if (n < 0 || n > HOSTS_MAX)
        return n < 0 ? -errno : -E2BIG;
    old[n] = '\0';
    for (const char *line = old; *line != '\0';) {
        size_t len = strcspn(line, "\n");
        if (strncmp(line, HOSTS_OWN " ", strlen(HOSTS_OWN " ")) != 0)
            buf_printf(text, "%.*s\n", (int)len, line);
        line += len + (line[len] == '\n');
    }
    buf_printf(text, HOSTS_OWN " %s\n", hostname);
    return text->failed ? -ENOMEM : 0;
}

void identity_set_name(const char *hostname)
{
    cleanup_buf struct buf text = {0};
    if (getpid() != 1)
        return;
    (void)!sethostname(hostname, strlen(hostname));
    /* Programs look their own name up. Without a line it is a question to a name server. */
    int rv = read_hosts(&text, hostname);
    if (rv == 0)
        rv = replace_text(HOSTS, buf_cstr(&text));
    if (rv < 0)
        log_warn("cannot write the own name to hosts, ignoring", "error=\"%s\"", strerror(-rv));
}

static void renew_machine_id(void)
{
    char text[UUID_TEXT];
    int rv = make_uuid("", text);
    if (rv == 0)
        rv = replace_text(MACHINE_ID, text);
    if (rv < 0)
        log_warn("cannot write the machine id, ignoring", "error=\"%s\"", strerror(-rv));
}

static bool boot_id_is_ours(void)
{
    struct statfs fs;
    return statfs(BOOT_ID, &fs) == 0 && fs.f_type != PROC_SUPER_MAGIC;
}

static void renew_boot_id(void)
{
    char text[UUID_TEXT];
    const unsigned long flags = MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC;
    /* Once the file is mounted over the kernel's, its new text is the new id. */
    if (make_uuid("-", text) < 0 || replace_text(BOOT_ID_FILE, text) < 0 || boot_id_is_ours())
        return;
    if (mount(BOOT_ID_FILE, BOOT_ID, NULL, MS_BIND, NULL) < 0) {
        if (errno != EPERM)
            log_warn("cannot set the boot id, ignoring", "error=\"%s\"", strerror(errno));
        (void)unlink(BOOT_ID_FILE);
        return;
    }
    (void)mount(NULL, BOOT_ID, NULL, MS_REMOUNT | flags, NULL);
}

void identity_renew(void)
{
    if (getpid() != 1)
        return;
    renew_machine_id();
    renew_boot_id();
}
