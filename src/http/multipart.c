/* SPDX-License-Identifier: Apache-2.0 */
#include "http/multipart.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

/* A parameter of a header value, quoted or not, in a copy the caller frees; NULL when absent. In
 * quotes a backslash escapes only a quote or a backslash: browsers send other backslashes raw. */
static char *multipart_param(const char *value, const char *name)
{
    size_t name_len = strlen(name);
    for (const char *p = strchr(value, ';'); p != NULL; p = strchr(p, ';')) {
        p++;
        p += strspn(p, " \t");
        bool found = strncasecmp(p, name, name_len) == 0 && p[name_len] == '=';
        p += strcspn(p, ";=");
        if (*p != '=')
            continue;
        p++;
        char *out = malloc(strlen(p) + 1);
        size_t n = 0;
        if (out == NULL)
            return NULL;
        if (*p == '"') {
            for (p++; *p != '\0' && *p != '"'; p++) {
                if (p[0] == '\\' && (p[1] == '"' || p[1] == '\\'))
                    p++;
                out[n++] = *p;
            }
        } else {
            for (; *p != '\0' && strchr("; \t", *p) == NULL; p++)
                out[n++] = *p;
        }
        out[n] = '\0';
        if (found)
            return out;
        free(out);
    }
    return NULL;
}

int multipart_init(struct multipart *m, const char *content_type,
                   const struct multipart_handler *handler)
{
    static const char type[] = "multipart/form-data";
    *m = (struct multipart){.handler = handler, .state = MULTIPART_PREAMBLE};
    if (strncasecmp(content_type, type, sizeof(type) - 1) != 0)
        return -EINVAL;
    cleanup_free char *boundary = multipart_param(content_type, "boundary");
    size_t len = boundary != NULL ? strlen(boundary) : 0;
    if (len == 0 || len > MULTIPART_MAX_BOUNDARY)
        return -EINVAL;
    memcpy(m->delimiter, "\r\n--", 4);
    memcpy(m->delimiter + 4, boundary, len);
    m->delimiter_len = len + 4;
    m->matched = 2; /* the first boundary may stand at the very start */
    return 0;
}

void multipart_done(struct multipart *m)
{
    buf_done(&m->head);
}

/* The value of one header line of the part, NUL-terminated in place; NULL when absent. */
static const char *multipart_header(char *head, const char *name)
{
    size_t len = strlen(name);
    for (char *line = head; line != NULL && *line != '\0';) {
        char *end = strstr(line, "\r\n");
        if (strncasecmp(line, name, len) == 0 && line[len] == ':') {
            if (end != NULL)
                *end = '\0';
            return line + len + 1;
        }
        line = end != NULL ? end + 2 : NULL;
    }
    return NULL;
}

static int multipart_part(struct multipart *m)
{
    char *head = buf_cstr(&m->head);
    if (head == NULL)
        return -ENOMEM;
    if (strlen(head) != m->head.len)
        return -EPROTO;
    const char *disposition = multipart_header(head, "Content-Disposition");
    cleanup_free char *name = disposition != NULL ? multipart_param(disposition, "name") : NULL;
    if (name == NULL)
        return -EPROTO;
    cleanup_free char *filename = multipart_param(disposition, "filename");
    m->state = MULTIPART_DATA;
    m->matched = 0;
    int rv = m->handler->part(m, name, filename);
    buf_reset(&m->head);
    return rv;
}

/* Collects into `head` until it ends in `end`; 1 when it does. */
static int multipart_collect(struct multipart *m, uint8_t byte, const char *end, size_t end_len)
{
    if (m->head.len == MULTIPART_MAX_HEAD)
        return -EPROTO;
    int rv = buf_append(&m->head, &byte, 1);
    if (rv < 0)
        return rv;
    return m->head.len >= end_len &&
           memcmp(m->head.data + m->head.len - end_len, end, end_len) == 0;
}

/* Behind a boundary: "--" ends the body, anything else up to the line's end is padding. */
static int multipart_after(struct multipart *m, uint8_t byte)
{
    int rv = multipart_collect(m, byte, "\r\n", 2);
    if (rv < 0)
        return rv;
    if (m->head.len == 2 && memcmp(m->head.data, "--", 2) == 0)
        m->state = MULTIPART_EPILOGUE;
    else if (rv == 0)
        return m->head.len > 2 && m->head.data[0] != ' ' && m->head.data[0] != '\t' ? -EPROTO : 0;
    else
        m->state = MULTIPART_HEAD;
    buf_reset(&m->head);
    return 0;
}

static int multipart_head(struct multipart *m, uint8_t byte)
{
    int rv = multipart_collect(m, byte, "\r\n\r\n", 4);
    return rv == 1 ? multipart_part(m) : rv;
}

static int multipart_emit(struct multipart *m, const void *data, size_t len)
{
    if (len == 0 || m->state != MULTIPART_DATA)
        return 0;
    return m->handler->data(m, data, len);
}

static int multipart_boundary(struct multipart *m)
{
    bool in_part = m->state == MULTIPART_DATA;
    m->matched = 0;
    m->state = MULTIPART_AFTER;
    buf_reset(&m->head);
    return in_part ? m->handler->part_end(m) : 0;
}

/* How many bytes come before the next place where the delimiter stands, or may stand with what
 * follows `data`. */
static size_t multipart_plain(const struct multipart *m, const uint8_t *data, size_t len)
{
    size_t at = 0;
    while (at < len) {
        const uint8_t *cr = memchr(data + at, '\r', len - at);
        if (cr == NULL)
            return len;
        at = (size_t)(cr - data);
        if (memcmp(cr, m->delimiter, MIN(m->delimiter_len, len - at)) == 0)
            return at;
        at++;
    }
    return len;
}

/* Preamble or data up to the next boundary: a run of plain bytes, one byte of what may be the
 * delimiter, or the end of a match that failed (nothing is used then). The delimiter holds one CR,
 * its first byte, so a new match begins no earlier than at the byte that did not fit. */
static int multipart_data(struct multipart *m, const uint8_t *data, size_t len, size_t *used)
{
    if (m->matched == 0) {
        *used = multipart_plain(m, data, len);
        if (*used > 0)
            return multipart_emit(m, data, *used);
    }
    if (data[0] == (uint8_t)m->delimiter[m->matched]) {
        *used = 1;
        m->matched++;
        return m->matched == m->delimiter_len ? multipart_boundary(m) : 0;
    }
    size_t held = m->matched;
    *used = 0;
    m->matched = 0;
    return multipart_emit(m, m->delimiter, held);
}

static int multipart_step(struct multipart *m, const uint8_t *data, size_t len, size_t *used)
{
    *used = 1;
    switch (m->state) {
    case MULTIPART_AFTER:
        return multipart_after(m, data[0]);
    case MULTIPART_HEAD:
        return multipart_head(m, data[0]);
    case MULTIPART_EPILOGUE:
        *used = len;
        return 0;
    default:
        return multipart_data(m, data, len, used);
    }
}

ssize_t multipart_feed(struct multipart *m, const uint8_t *data, size_t len)
{
    size_t done = 0;
    while (done < len) {
        size_t used;
        int rv = multipart_step(m, data + done, len - done, &used);
        if (rv < 0)
            return rv;
        done += used;
        if (rv > 0)
            break;
    }
    return (ssize_t)done;
}

bool multipart_complete(const struct multipart *m)
{
    return m->state == MULTIPART_EPILOGUE;
}
