/* SPDX-License-Identifier: Apache-2.0 */
/* host.c - options that depend on the machine: where programs are, which addresses are local. */
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/num.h"
#include "config/config.h"
#include "config/types.h"

#ifndef CORRAL_GUEST_DIR
#define CORRAL_GUEST_DIR "/usr/local/libexec/corral"
#endif

/* Cuts the last component off; a path without one becomes empty. */
static void config_cut(char *path)
{
    char *slash = strrchr(path, '/');
    if (slash != NULL)
        *slash = '\0';
}

char *config_find_guest_dir(void)
{
    char exe[PATH_MAX];
    char *path = NULL;
    if (access(CORRAL_GUEST_DIR, F_OK) == 0)
        return strdup(CORRAL_GUEST_DIR);
    ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
    exe[MAX(n, 0)] = '\0';
    config_cut(exe); /* BUILD/src */
    config_cut(exe); /* BUILD */
    return asprintf(&path, "%s/guest/tree", exe) < 0 ? NULL : path;
}

static char *config_find_beside(const char *program, const char *in_build)
{
    char exe[PATH_MAX], beside[PATH_MAX + 16];
    char *path = NULL;
    ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
    exe[MAX(n, 0)] = '\0';
    config_cut(exe);
    (void)snprintf(beside, sizeof(beside), "%s/%s", exe, program);
    if (access(beside, X_OK) == 0)
        return strdup(beside);
    config_cut(exe); /* BUILD/src */
    return asprintf(&path, "%s/%s/%s", exe, in_build, program) < 0 ? NULL : path;
}

char *config_find_vmm(void)
{
    return config_find_beside("corral-vmm", "vmm");
}

char *config_find_egress(void)
{
    return config_find_beside("corral-egress", "src/egress");
}

static bool config_is_ipv4_loopback(const char *host)
{
    int64_t part;
    char digits[4];
    if (strncmp(host, "127.", 4) != 0)
        return false;
    const char *p = host + 4;
    for (int i = 0; i < 3; i++) {
        size_t len = strspn(p, "0123456789");
        if (len == 0 || len >= sizeof(digits))
            return false;
        memcpy(digits, p, len);
        digits[len] = '\0';
        if (num_parse(digits, 0, 255, &part) < 0 || p[len] != (i < 2 ? '.' : '\0'))
            return false;
        p += len + 1;
    }
    return true;
}

bool config_is_loopback(const struct config_listen *l)
{
    return strcasecmp(l->host, "localhost") == 0 || strcmp(l->host, "::1") == 0 ||
           config_is_ipv4_loopback(l->host);
}
