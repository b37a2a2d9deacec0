/* SPDX-License-Identifier: Apache-2.0 */
#include "egress/answer.h"

#include <assert.h>
#include <llhttp.h>

static int answer_on_head(llhttp_t *ll);
static int answer_on_complete(llhttp_t *ll);

static const llhttp_settings_t answer_settings = {
    .on_headers_complete = answer_on_head,
    .on_message_complete = answer_on_complete,
};

static_assert(sizeof(llhttp_t) <= ANSWER_STATE, "ANSWER_STATE is too small");

static llhttp_t *answer_llhttp(struct answer *a)
{
    return (llhttp_t *)(void *)a->llhttp;
}

static void answer_start(struct answer *a)
{
    llhttp_init(answer_llhttp(a), HTTP_RESPONSE, &answer_settings);
    answer_llhttp(a)->data = a;
}

void answer_begin(struct answer *a, bool is_head, bool may_upgrade)
{
    *a = (struct answer){.is_head = is_head, .may_upgrade = may_upgrade};
    answer_start(a);
}

/* 1 tells llhttp that no body follows. */
static int answer_on_head(llhttp_t *ll)
{
    const struct answer *a = ll->data;
    int status = ll->status_code;
    ll->upgrade = 0;
    return a->is_head || status / 100 == 1 || status == 204 || status == 304 ? 1 : 0;
}

static int answer_on_complete(llhttp_t *ll)
{
    struct answer *a = ll->data;
    int status = ll->status_code;
    a->keep_alive = llhttp_should_keep_alive(ll) != 0;
    if (status == 101)
        a->step = a->may_upgrade ? ANSWER_UPGRADED : ANSWER_BAD;
    else if (status / 100 != 1)
        a->step = ANSWER_DONE;
    return HPE_PAUSED;
}

enum answer_step answer_next(struct answer *a, struct span *in)
{
    llhttp_t *ll = answer_llhttp(a);
    while (in->len > 0 && a->step == ANSWER_MORE) {
        llhttp_errno_t err = llhttp_execute(ll, in->data, in->len);
        if (err != HPE_OK && err != HPE_PAUSED)
            return ANSWER_BAD;
        size_t used = err == HPE_OK ? in->len : (size_t)(llhttp_get_error_pos(ll) - in->data);
        in->data += used;
        in->len -= used;
        if (err == HPE_PAUSED && a->step == ANSWER_MORE)
            answer_start(a); /* an interim answer; the next one begins afresh */
    }
    return a->step;
}

bool answer_end(struct answer *a)
{
    llhttp_t *ll = answer_llhttp(a);
    if (a->step == ANSWER_MORE && llhttp_message_needs_eof(ll) != 0)
        (void)llhttp_finish(ll);
    return a->step == ANSWER_DONE;
}
