/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/password.h"

#include <errno.h>
#include <mbedtls/md.h>
#include <mbedtls/pkcs5.h>
#include <mbedtls/platform_util.h>
#include <mbedtls/version.h>
#include <string.h>

#include "core/id.h"

static void password_on_work(uv_work_t *work);
static void password_on_done(uv_work_t *work, int status);

/* Release 3 takes the algorithm instead of a prepared context. */
static int password_hash(const char *text, const uint8_t *salt, uint32_t cost, uint8_t *out)
{
    const unsigned char *bytes = (const unsigned char *)text;
#if MBEDTLS_VERSION_MAJOR >= 3
    int rv = mbedtls_pkcs5_pbkdf2_hmac_ext(MBEDTLS_MD_SHA512, bytes, strlen(text), salt,
                                           PASSWORD_SALT_SIZE, cost, PASSWORD_HASH_SIZE, out);
#else
    mbedtls_md_context_t md;
    mbedtls_md_init(&md);
    int rv = mbedtls_md_setup(&md, mbedtls_md_info_from_type(MBEDTLS_MD_SHA512), 1);
    if (rv == 0)
        rv = mbedtls_pkcs5_pbkdf2_hmac(&md, bytes, strlen(text), salt, PASSWORD_SALT_SIZE, cost,
                                       PASSWORD_HASH_SIZE, out);
    mbedtls_md_free(&md);
#endif
    return rv == 0 ? 0 : -EIO;
}

int password_make(struct password *p, const char *text, uint32_t cost)
{
    id_random(p->salt, sizeof(p->salt));
    p->cost = cost;
    return password_hash(text, p->salt, cost, p->hash);
}

bool password_matches(const struct password *p, const char *text)
{
    uint8_t hash[PASSWORD_HASH_SIZE];
    int rv = password_hash(text, p->salt, p->cost, hash);
    bool equal = id_equal(hash, p->hash, sizeof(hash));
    return rv == 0 && equal;
}

void password_queue_init(struct password_queue *q, uv_loop_t *loop)
{
    *q = (struct password_queue){.loop = loop};
    list_init(&q->waiting);
}

static void password_next(struct password_queue *q)
{
    while (q->running < PASSWORD_RUNNING && !list_empty(&q->waiting)) {
        struct password_check *c = list_first(&q->waiting, struct password_check, node);
        list_del(&c->node);
        q->n_waiting--;
        q->running++;
        (void)uv_queue_work(q->loop, &c->work, password_on_work,
                            password_on_done); /* fails without a cb only */
    }
}

int password_check_start(struct password_queue *q, struct password_check *c, const char *text,
                         void (*done)(struct password_check *c))
{
    if (q->n_waiting >= PASSWORD_WAITING)
        return -EAGAIN;
    c->text = strdup(text);
    if (c->text == NULL)
        return -ENOMEM;
    c->done = done;
    c->queue = q;
    list_add_tail(&q->waiting, &c->node);
    q->n_waiting++;
    password_next(q);
    return 0;
}

static void password_on_work(uv_work_t *work)
{
    struct password_check *c = container_of(work, struct password_check, work);
    c->matches = password_matches(&c->password, c->text);
    if (c->matches && c->renew && c->password.cost < PASSWORD_COST) {
        struct password fresh;
        c->renewed = password_make(&fresh, c->text, PASSWORD_COST) == 0;
        if (c->renewed)
            c->password = fresh;
    }
    mbedtls_platform_zeroize(c->text, strlen(c->text));
}

static void password_on_done(uv_work_t *work, int status)
{
    struct password_check *c = container_of(work, struct password_check, work);
    struct password_queue *q = c->queue;
    free(c->text);
    c->text = NULL;
    q->running--;
    password_next(q);
    c->done(c);
}
