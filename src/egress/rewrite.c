/* SPDX-License-Identifier: Apache-2.0 */
#include "egress/rewrite.h"

#include <assert.h>
#include <errno.h>
#include <llhttp.h>
#include <string.h>
#include <strings.h>

#include "base/num.h"

#define REWRITE_MAX_DIGITS 18    /* of a Content-Length */
#define REWRITE_FREE       16384 /* bytes of chunk lines and trailers, and 8 for each of the body */

struct rewrite_field {
    struct span name, value;
};

/* A head as it was read; views of it. */
struct rewrite_head {
    struct span method, target, path;
    unsigned int minor;
    struct rewrite_field fields[REWRITE_FIELDS];
    size_t n_fields;
    struct span host, length, coding, upgrade;
    unsigned int hosts, lengths, codings;
    bool close, keep, upgrades;
};

static int rewrite_on_body(llhttp_t *ll, const char *at, size_t len);
static int rewrite_on_complete(llhttp_t *ll);

static const llhttp_settings_t rewrite_settings = {
    .on_body = rewrite_on_body,
    .on_message_complete = rewrite_on_complete,
};

static_assert(sizeof(llhttp_t) <= REWRITE_STATE, "REWRITE_STATE is too small");

static llhttp_t *rewrite_llhttp(struct rewrite *r)
{
    return (llhttp_t *)(void *)r->llhttp;
}

void rewrite_done(struct rewrite *r)
{
    buf_done(&r->head);
    buf_done(&r->payload);
}

void rewrite_reset(struct rewrite *r)
{
    rewrite_done(r);
    *r = (struct rewrite){.keep_alive = true};
}

bool rewrite_begun(const struct rewrite *r)
{
    return r->in_body || r->head.len > 0;
}

static enum rewrite_step rewrite_refuse(struct rewrite *r, int status, const char *reason)
{
    r->status = status;
    r->reason = reason;
    return REWRITE_BAD;
}

static int rewrite_on_body(llhttp_t *ll, const char *at, size_t len)
{
    struct rewrite *r = ll->data;
    return buf_append(&r->payload, at, len) < 0 ? HPE_USER : HPE_OK;
}

static int rewrite_on_complete(llhttp_t *ll)
{
    struct rewrite *r = ll->data;
    r->done = true;
    return HPE_PAUSED;
}

/* --- reading a head --- */

static bool rewrite_is(struct span s, const char *word)
{
    return s.len == strlen(word) && strncasecmp(s.data, word, s.len) == 0;
}

/* Takes what stands before `end` off the text; everything when it does not occur. */
static struct span rewrite_cut(struct span *text, char end)
{
    if (text->len == 0) /* there may be no text at all, and no adding to its address */
        return *text;
    const char *at = memchr(text->data, end, text->len);
    struct span piece = {text->data, at != NULL ? (size_t)(at - text->data) : text->len};
    size_t used = piece.len + (at != NULL ? 1 : 0);
    text->data += used;
    text->len -= used;
    return piece;
}

static struct span rewrite_trim(struct span s)
{
    while (s.len > 0 && (s.data[0] == ' ' || s.data[0] == '\t')) {
        s.data++;
        s.len--;
    }
    while (s.len > 0 && (s.data[s.len - 1] == ' ' || s.data[s.len - 1] == '\t'))
        s.len--;
    return s;
}

static bool rewrite_is_visible(struct span s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.data[i] <= ' ' || s.data[i] >= 0x7f)
            return false;
    return s.len > 0;
}

static bool rewrite_read_line(struct rewrite_head *h, struct span line)
{
    h->method = rewrite_cut(&line, ' ');
    h->target = rewrite_cut(&line, ' ');
    h->path = h->target;
    struct span path = h->target;
    h->path = rewrite_cut(&path, '?');
    if (line.len != 8 || memcmp(line.data, "HTTP/1.", 7) != 0 ||
        (line.data[7] != '0' && line.data[7] != '1'))
        return false;
    h->minor = (unsigned int)(line.data[7] - '0');
    bool star = rewrite_is(h->target, "*") && rewrite_is(h->method, "OPTIONS");
    return transform_is_token(h->method.data, h->method.len) && rewrite_is_visible(h->target) &&
           (h->target.data[0] == '/' || star);
}

/* What a field says about the message itself. */
static void rewrite_note(struct rewrite_head *h, const struct rewrite_field *f)
{
    struct span list = f->value;
    if (rewrite_is(f->name, "host")) {
        h->host = f->value;
        h->hosts++;
    } else if (rewrite_is(f->name, "content-length")) {
        h->length = f->value;
        h->lengths++;
    } else if (rewrite_is(f->name, "transfer-encoding")) {
        h->coding = f->value;
        h->codings++;
    } else if (rewrite_is(f->name, "upgrade")) {
        h->upgrade = f->value;
    } else if (rewrite_is(f->name, "connection")) {
        while (list.len > 0) {
            struct span word = rewrite_trim(rewrite_cut(&list, ','));
            h->close = h->close || rewrite_is(word, "close");
            h->keep = h->keep || rewrite_is(word, "keep-alive");
            h->upgrades = h->upgrades || rewrite_is(word, "upgrade");
        }
    }
}

static const char *rewrite_read_field(struct rewrite_head *h, struct span line)
{
    if (line.data[0] == ' ' || line.data[0] == '\t')
        return "a folded line";
    if (memchr(line.data, ':', line.len) == NULL)
        return "a line without a colon";
    if (h->n_fields == REWRITE_FIELDS)
        return "too many header fields";
    struct rewrite_field *f = &h->fields[h->n_fields++];
    f->name = rewrite_cut(&line, ':');
    f->value = rewrite_trim(line);
    if (!transform_is_token(f->name.data, f->name.len))
        return "the name of a header field is malformed";
    for (size_t i = 0; i < f->value.len; i++) {
        unsigned char c = (unsigned char)f->value.data[i];
        if ((c < ' ' && c != '\t') || c == 0x7f)
            return "a control character in a header field";
    }
    rewrite_note(h, f);
    return NULL;
}

/* NULL, or what is wrong. `text` ends with the empty line; its line ends were checked. */
static const char *rewrite_read(struct rewrite_head *h, struct span text)
{
    struct span line = rewrite_cut(&text, '\r');
    if (!rewrite_read_line(h, line))
        return "the request line is malformed, or its target is no path";
    while (text.len > 3) {
        text.data++; /* the line feed */
        text.len--;
        line = rewrite_cut(&text, '\r');
        if (line.len == 0)
            break;
        const char *wrong = rewrite_read_field(h, line);
        if (wrong != NULL)
            return wrong;
    }
    return NULL;
}

/* --- judging it --- */

static const char *rewrite_check_framing(const struct rewrite_head *h)
{
    if (h->lengths + h->codings > 1)
        return "more than one length of the body";
    if (h->codings == 1 && (!rewrite_is(h->coding, "chunked") || h->minor == 0))
        return "a transfer coding other than chunked";
    if (h->lengths == 0)
        return NULL;
    for (size_t i = 0; i < h->length.len; i++)
        if (h->length.data[i] < '0' || h->length.data[i] > '9')
            return "a length that is no number";
    return h->length.len == 0 || h->length.len > REWRITE_MAX_DIGITS ? "a length that is no number"
                                                                    : NULL;
}

/* Host is the name asked for, and its port that of the flow. */
static bool rewrite_host_fits(const struct rewrite_head *h, const struct rewrite_target *t)
{
    char name[NAME_SIZE], digits[8] = "";
    struct span port = h->host;
    struct span host = rewrite_cut(&port, ':');
    int64_t number = t->tls ? 443 : 80;
    if (h->hosts != 1 || name_read(host.data, host.len, name) < 0 || port.len >= sizeof(digits))
        return false;
    if (host.len < h->host.len) {
        memcpy(digits, port.data, port.len);
        if (num_parse(digits, 1, 65535, &number) < 0)
            return false;
    }
    return strcmp(name, t->name) == 0 && number == t->port;
}

static enum rewrite_step rewrite_judge(struct rewrite *r, const struct rewrite_target *t,
                                       const struct rewrite_head *h)
{
    const char *wrong = rewrite_check_framing(h);
    if (wrong != NULL)
        return rewrite_refuse(r, 400, wrong);
    if (rewrite_is(h->method, "CONNECT") || rewrite_is(h->method, "TRACE"))
        return rewrite_refuse(r, 405, "the method is not carried to this host");
    if (!rewrite_host_fits(h, t))
        return rewrite_refuse(r, 421, "Host is not the name that the connection was opened for");
    return REWRITE_MORE;
}

/* --- writing it anew --- */

/* Fields that this hop writes itself or that end with it. */
static bool rewrite_ends_here(const struct rewrite_head *h, const struct rewrite_field *f)
{
    if (rewrite_is(f->name, "host"))
        return false;
    if (rewrite_is(f->name, "expect"))
        return !rewrite_is(f->value, "100-continue");
    /* "Close" is no field: the option of that name, which this hop may write, would end it at the
     * next (RFC 9110, section 9.6). */
    if (transform_is_reserved(f->name.data, f->name.len) ||
        rewrite_is(f->name, "proxy-authorization") || rewrite_is(f->name, "close"))
        return true;
    for (size_t i = 0; i < h->n_fields; i++) {
        struct span list = h->fields[i].value;
        if (!rewrite_is(h->fields[i].name, "connection"))
            continue;
        while (list.len > 0) {
            struct span word = rewrite_trim(rewrite_cut(&list, ','));
            if (word.len == f->name.len && strncasecmp(word.data, f->name.data, word.len) == 0)
                return true;
        }
    }
    return false;
}

/* The last of the transforms that apply and set the field, or NULL. */
static const struct transform_field *rewrite_setter(const struct rewrite_target *t,
                                                    const struct rewrite_head *h, struct span name)
{
    const struct transform_field *found = NULL;
    for (size_t i = 0; i < t->transforms->count; i++) {
        const struct transform *tr = &t->transforms->items[i];
        if (!transform_applies(tr, t->name, t->port, h->method, h->path))
            continue;
        for (size_t k = 0; k < tr->n_fields; k++)
            if (rewrite_is(name, tr->fields[k].name))
                found = &tr->fields[k];
    }
    return found;
}

static void rewrite_put(struct buf *out, struct span name, struct span value)
{
    (void)buf_append(out, name.data, name.len);
    (void)buf_append_str(out, ": ");
    (void)buf_append(out, value.data, value.len);
    (void)buf_append_str(out, "\r\n");
}

static struct span rewrite_span(const char *text)
{
    return (struct span){text, strlen(text)};
}

static void rewrite_put_transforms(const struct rewrite_target *t, const struct rewrite_head *h,
                                   struct buf *out)
{
    for (size_t i = 0; i < t->transforms->count; i++) {
        const struct transform *tr = &t->transforms->items[i];
        for (size_t k = 0; k < tr->n_fields; k++) {
            struct span name = rewrite_span(tr->fields[k].name);
            if (rewrite_setter(t, h, name) == &tr->fields[k] && tr->fields[k].value[0] != '\0')
                rewrite_put(out, name, rewrite_span(tr->fields[k].value));
        }
    }
}

static void rewrite_write(struct rewrite *r, const struct rewrite_target *t,
                          const struct rewrite_head *h, struct buf *out)
{
    (void)buf_append(out, h->method.data, h->method.len);
    (void)buf_append_str(out, " ");
    (void)buf_append(out, h->target.data, h->target.len);
    (void)buf_printf(out, " HTTP/1.%u\r\n", h->minor);
    for (size_t i = 0; i < h->n_fields; i++) {
        const struct rewrite_field *f = &h->fields[i];
        if (!rewrite_ends_here(h, f) && rewrite_setter(t, h, f->name) == NULL)
            rewrite_put(out, f->name, f->value);
    }
    rewrite_put_transforms(t, h, out);
    if (h->lengths == 1)
        rewrite_put(out, rewrite_span("Content-Length"), h->length);
    if (r->chunked)
        (void)buf_append_str(out, "Transfer-Encoding: chunked\r\n");
    if (r->upgrade)
        (void)buf_append_str(out, "Upgrade: websocket\r\nConnection: Upgrade\r\n");
    else if (!r->keep_alive)
        (void)buf_append_str(out, "Connection: close\r\n");
    (void)buf_append_str(out, "\r\n");
}

/* Lets llhttp read the head as it is sent. */
static enum rewrite_step rewrite_second_opinion(struct rewrite *r, const struct buf *out,
                                                size_t from)
{
    llhttp_t *ll = rewrite_llhttp(r);
    llhttp_init(ll, HTTP_REQUEST, &rewrite_settings);
    ll->data = r;
    llhttp_errno_t err = llhttp_execute(ll, (const char *)out->data + from, out->len - from);
    if (err == HPE_INVALID_METHOD)
        return rewrite_refuse(r, 501, "the method is not known");
    if (err != HPE_OK && err != HPE_PAUSED && err != HPE_PAUSED_UPGRADE)
        return rewrite_refuse(r, 400, "the head is malformed");
    return r->done ? REWRITE_DONE : REWRITE_MORE;
}

static enum rewrite_step rewrite_head(struct rewrite *r, const struct rewrite_target *t,
                                      struct buf *out)
{
    struct rewrite_head h = {.n_fields = 0};
    size_t from = out->len;
    const char *wrong = rewrite_read(&h, (struct span){(const char *)r->head.data, r->head.len});
    if (wrong != NULL)
        return rewrite_refuse(r, 400, wrong);
    enum rewrite_step step = rewrite_judge(r, t, &h);
    if (step == REWRITE_BAD)
        return step;
    r->chunked = h.codings == 1;
    r->is_head = rewrite_is(h.method, "HEAD");
    r->keep_alive = h.minor == 1 && !h.close;
    r->upgrade = h.minor == 1 && h.upgrades && rewrite_is(h.upgrade, "websocket") &&
                 rewrite_is(h.method, "GET") && h.lengths + h.codings == 0;
    rewrite_write(r, t, &h, out);
    if (out->failed)
        return rewrite_refuse(r, 502, "out of memory");
    r->in_body = true;
    buf_done(&r->head);
    return rewrite_second_opinion(r, out, from);
}

/* --- the steps --- */

/* Collects the head. 1 when it is complete, 0 when more is needed, or -EINVAL. */
static int rewrite_collect(struct rewrite *r, struct span *in)
{
    while (in->len > 0) {
        char c = *in->data;
        const char *last = r->head.len > 0 ? (const char *)r->head.data + r->head.len - 1 : "";
        if (c == '\0' || (c == '\n') != (*last == '\r'))
            return -EINVAL;
        in->data++;
        in->len--;
        if (buf_u8(&r->head, (uint8_t)c) < 0 || r->head.len > REWRITE_MAX_HEAD)
            return -ENOBUFS;
        if (r->head.len == 2 && c == '\n')
            buf_reset(&r->head); /* an empty line before a request is no part of it */
        else if (c == '\n' && r->head.len >= 4 &&
                 memcmp(r->head.data + r->head.len - 4, "\r\n\r\n", 4) == 0)
            return 1;
    }
    return 0;
}

static void rewrite_put_payload(struct rewrite *r, struct buf *out)
{
    if (r->chunked && r->payload.len > 0)
        (void)buf_printf(out, "%zx\r\n", r->payload.len);
    (void)buf_append(out, r->payload.data, r->payload.len);
    if (r->chunked && r->payload.len > 0)
        (void)buf_append_str(out, "\r\n");
    if (r->chunked && r->done)
        (void)buf_append_str(out, "0\r\n\r\n");
}

static enum rewrite_step rewrite_body(struct rewrite *r, struct span *in, struct buf *out)
{
    llhttp_t *ll = rewrite_llhttp(r);
    buf_reset(&r->payload);
    llhttp_errno_t err = llhttp_execute(ll, in->data, in->len);
    if (err != HPE_OK && err != HPE_PAUSED)
        return rewrite_refuse(r, 400, "the body is malformed");
    size_t used = err == HPE_OK ? in->len : (size_t)(llhttp_get_error_pos(ll) - in->data);
    in->data += used;
    in->len -= used;
    r->paid += r->payload.len;
    r->framing += used - MIN(used, r->payload.len);
    if (r->framing > REWRITE_FREE + 8 * r->paid)
        return rewrite_refuse(r, 400, "too many bytes between those of the body");
    rewrite_put_payload(r, out);
    if (out->failed)
        return rewrite_refuse(r, 502, "out of memory");
    return r->done ? REWRITE_DONE : REWRITE_MORE;
}

enum rewrite_step rewrite_next(struct rewrite *r, const struct rewrite_target *t, struct span *in,
                               struct buf *out)
{
    if (!r->in_body) {
        int rv = rewrite_collect(r, in);
        if (rv == -EINVAL)
            return rewrite_refuse(r, 400, "a line does not end with CR and LF");
        if (rv < 0)
            return rewrite_refuse(r, 431, "the head is too long");
        if (rv == 0)
            return REWRITE_MORE;
        enum rewrite_step step = rewrite_head(r, t, out);
        if (step != REWRITE_MORE)
            return step;
    }
    return in->len > 0 ? rewrite_body(r, in, out) : REWRITE_MORE;
}
