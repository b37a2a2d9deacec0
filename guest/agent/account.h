/* SPDX-License-Identifier: Apache-2.0 */
/* account.h - the user that a command runs as. The agent reads /etc/passwd and /etc/group by
 * itself, because a static binary cannot load the name service modules of an unknown root file
 * system. */
#ifndef CORRAL_AGENT_ACCOUNT_H
#define CORRAL_AGENT_ACCOUNT_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/base.h"

#define ACCOUNT_NAME_MAX   64
#define ACCOUNT_PATH_MAX   1024
#define ACCOUNT_GROUPS_MAX 64

struct account {
    char name[ACCOUNT_NAME_MAX];
    char home[ACCOUNT_PATH_MAX];
    char shell[ACCOUNT_PATH_MAX];
    uid_t uid;
    gid_t gid;
    gid_t groups[ACCOUNT_GROUPS_MAX]; /* supplementary, gid included */
    size_t group_count;
};

/* Fills *ret from the files. -ENOENT: no such user. */
int account_find(const char *name, struct account *ret);
/* By name or, when there is none of that name, by number; a number without an entry is an account
 * with no name, no home and the group of the same number. -ENOENT: neither. */
int account_find_any(const char *name, struct account *ret);
/* Names of ids, or the numbers. */
void account_name_of(uid_t uid, char ret[ACCOUNT_NAME_MAX]);
void account_group_name_of(gid_t gid, char ret[ACCOUNT_NAME_MAX]);
/* By name or by number. -ENOENT. */
int account_find_group(const char *name, gid_t *ret);
/* The account of the calling process. */
void account_self(struct account *ret);

#endif
