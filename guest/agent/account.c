/* SPDX-License-Identifier: Apache-2.0 */
/*
 * account.c - looks accounts up in /etc/passwd and /etc/group.
 *
 * A line with a wrong number of fields, an id out of range or a field that is too long is skipped.
 * Root in the sandbox may write these files, so a bad line must not hide the good ones.
 */
#include "agent/account.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define LINE_MAX_BYTES 4096
#define PASSWD_FIELDS  7
#define GROUP_FIELDS   4
#define DEFAULT_SHELL  "/bin/sh"

/* Splits `line` at colons in place. False unless there are exactly `count` fields. */
static bool split_fields(char *line, char *fields[], size_t count)
{
    line[strcspn(line, "\n")] = '\0';
    for (size_t i = 0; i < count; i++) {
        fields[i] = strsep(&line, ":");
        if (fields[i] == NULL)
            return false;
    }
    return line == NULL;
}

static bool parse_id(const char *s, unsigned int *ret)
{
    char *end;
    errno = 0;
    unsigned long v = strtoul(s, &end, 10);
    if (*s < '0' || *s > '9' || *end != '\0' || errno != 0 || v >= UINT32_MAX)
        return false;
    *ret = (unsigned int)v;
    return true;
}

static bool fill_account(char *fields[PASSWD_FIELDS], struct account *ret)
{
    struct account a = {0};
    if (!parse_id(fields[2], &a.uid) || !parse_id(fields[3], &a.gid))
        return false;
    if (strlen(fields[0]) >= sizeof(a.name) || strlen(fields[5]) >= sizeof(a.home) ||
        strlen(fields[6]) >= sizeof(a.shell))
        return false;
    strcpy(a.name, fields[0]);
    strcpy(a.home, fields[5][0] == '/' ? fields[5] : "/");
    strcpy(a.shell, fields[6][0] == '/' ? fields[6] : DEFAULT_SHELL);
    a.groups[a.group_count++] = a.gid;
    *ret = a;
    return true;
}

static bool is_member(char *members, const char *name)
{
    for (char *m = strsep(&members, ","); m != NULL; m = strsep(&members, ",")) {
        if (strcmp(m, name) == 0)
            return true;
    }
    return false;
}

static void read_groups(struct account *a)
{
    char line[LINE_MAX_BYTES], *fields[GROUP_FIELDS];
    FILE *f = fopen("/etc/group", "re");
    if (f == NULL)
        return;
    /* Groups beyond the limit are left out: the command runs with fewer rights. */
    while (a->group_count < ACCOUNT_GROUPS_MAX && fgets(line, sizeof(line), f) != NULL) {
        gid_t gid;
        if (split_fields(line, fields, GROUP_FIELDS) && parse_id(fields[2], &gid) &&
            gid != a->gid && is_member(fields[3], a->name))
            a->groups[a->group_count++] = gid;
    }
    (void)fclose(f);
}

/* Finds by name, or by uid when `name` is NULL. */
static int account_search(const char *name, uid_t uid, struct account *ret)
{
    char line[LINE_MAX_BYTES], *fields[PASSWD_FIELDS];
    FILE *f = fopen("/etc/passwd", "re");
    if (f == NULL)
        return -ENOENT;
    int rv = -ENOENT;
    while (rv < 0 && fgets(line, sizeof(line), f) != NULL) {
        struct account a;
        if (!split_fields(line, fields, PASSWD_FIELDS) || !fill_account(fields, &a))
            continue;
        if (name != NULL ? strcmp(a.name, name) == 0 : a.uid == uid) {
            *ret = a;
            rv = 0;
        }
    }
    (void)fclose(f);
    if (rv == 0)
        read_groups(ret);
    return rv;
}

int account_find(const char *name, struct account *ret)
{
    return account_search(name, 0, ret);
}

/* A user without an entry runs commands too. */
static void account_unnamed(uid_t uid, gid_t gid, struct account *ret)
{
    *ret = (struct account){.uid = uid, .gid = gid, .group_count = 1};
    ret->groups[0] = ret->gid;
    (void)snprintf(ret->name, sizeof(ret->name), "%u", ret->uid);
    strcpy(ret->home, "/");
    strcpy(ret->shell, DEFAULT_SHELL);
}

int account_find_any(const char *name, struct account *ret)
{
    unsigned int uid;
    if (account_find(name, ret) == 0)
        return 0;
    if (!parse_id(name, &uid))
        return -ENOENT;
    if (account_search(NULL, uid, ret) < 0)
        account_unnamed(uid, uid, ret);
    return 0;
}

void account_self(struct account *ret)
{
    if (account_search(NULL, geteuid(), ret) < 0)
        account_unnamed(geteuid(), getegid(), ret);
}

void account_name_of(uid_t uid, char ret[ACCOUNT_NAME_MAX])
{
    struct account a;
    if (account_search(NULL, uid, &a) == 0)
        strcpy(ret, a.name);
    else
        (void)snprintf(ret, ACCOUNT_NAME_MAX, "%u", uid);
}

/* A line of /etc/group by name, or by `*gid` when `name` is NULL; fills the other one. */
static int account_search_group(const char *name, gid_t *gid, char ret_name[ACCOUNT_NAME_MAX])
{
    char line[LINE_MAX_BYTES], *fields[GROUP_FIELDS];
    FILE *f = fopen("/etc/group", "re");
    int rv = -ENOENT;
    while (f != NULL && rv < 0 && fgets(line, sizeof(line), f) != NULL) {
        gid_t id;
        if (!split_fields(line, fields, GROUP_FIELDS) || !parse_id(fields[2], &id) ||
            strlen(fields[0]) >= ACCOUNT_NAME_MAX)
            continue;
        if (name != NULL ? strcmp(fields[0], name) != 0 : id != *gid)
            continue;
        strcpy(ret_name, fields[0]);
        *gid = id;
        rv = 0;
    }
    if (f != NULL)
        (void)fclose(f);
    return rv;
}

void account_group_name_of(gid_t gid, char ret[ACCOUNT_NAME_MAX])
{
    if (account_search_group(NULL, &gid, ret) < 0)
        (void)snprintf(ret, ACCOUNT_NAME_MAX, "%u", gid);
}

int account_find_group(const char *name, gid_t *ret)
{
    char ignored[ACCOUNT_NAME_MAX];
    if (account_search_group(name, ret, ignored) == 0)
        return 0;
    return parse_id(name, ret) ? 0 : -ENOENT;
}
