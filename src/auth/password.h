/* SPDX-License-Identifier: Apache-2.0 */
/*
 * password.h - passwords as PBKDF2-HMAC-SHA-512, and the queue that computes them off the loop.
 *
 * One hash costs some tenths of a second by design: the loop never computes one. A
 * `struct password_queue` runs at most PASSWORD_RUNNING of them on the uv pool, so that commits of
 * the store always find a free thread, and lets PASSWORD_WAITING wait.
 */
#ifndef CORRAL_AUTH_PASSWORD_H
#define CORRAL_AUTH_PASSWORD_H

#include <stdbool.h>
#include <uv.h>

#include "base/base.h"
#include "base/list.h"

#define PASSWORD_SALT_SIZE 16
#define PASSWORD_HASH_SIZE 64
#define PASSWORD_COST      210000 /* rounds of new hashes */
#define PASSWORD_COST_MAX  10000000
#define PASSWORD_MIN       8 /* bytes of a password */
#define PASSWORD_MAX       1024
#define PASSWORD_RUNNING   2
#define PASSWORD_WAITING   32

struct password {
    uint32_t cost; /* rounds */
    uint8_t salt[PASSWORD_SALT_SIZE];
    uint8_t hash[PASSWORD_HASH_SIZE];
};

/* Blocking. A new salt; 0 or -EIO. */
int password_make(struct password *p, const char *text, uint32_t cost);
/* Blocking. Takes the same time for every text. */
bool password_matches(const struct password *p, const char *text);

struct password_queue {
    uv_loop_t *loop;
    struct list waiting; /* struct password_check */
    unsigned int running, n_waiting;
};

/* One check under way; embedded in its owner. */
struct password_check {
    struct password password; /* what is compared with; the new hash when `renewed` */
    char *text;               /* owned; wiped and freed when done */
    bool renew;               /* in: hash anew when it matches and its cost is too low */
    bool matches, renewed;    /* out */
    void (*done)(struct password_check *c);
    struct password_queue *queue;
    struct list node;
    uv_work_t work;
};

void password_queue_init(struct password_queue *q, uv_loop_t *loop);
/* Checks `text` against c->password; c->done is called later, always. The check cannot be taken
 * back. 0, -EAGAIN when too many wait, -ENOMEM. */
int password_check_start(struct password_queue *q, struct password_check *c, const char *text,
                         void (*done)(struct password_check *c));

#endif
