/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json_check.h"

#include <ctype.h>
#include <string.h>

/* What may come next. */
enum json_want {
    WANT_VALUE,
    WANT_VALUE_OR_END, /* after '[' */
    WANT_KEY,
    WANT_KEY_OR_END, /* after '{' */
    WANT_COMMA,      /* or the end of the container, or of the text */
};

struct json_scan {
    const uint8_t *p, *end;
    enum json_want want;
    unsigned int depth;
    uint64_t objects; /* bit n: the container at depth n is an object */
    bool nul;         /* \u0000 is taken */
    size_t left;      /* values that may still come */
    const char *why;
};

_Static_assert(JSON_CHECK_MAX_DEPTH <= 64, "one bit per level");

static void json_skip_blank(struct json_scan *c)
{
    while (c->p < c->end && (*c->p == ' ' || *c->p == '\t' || *c->p == '\n' || *c->p == '\r'))
        c->p++;
}

static bool json_fail(struct json_scan *c, const char *why)
{
    c->why = why;
    return false;
}

static bool json_scan_escape(struct json_scan *c)
{
    size_t left = (size_t)(c->end - c->p);
    if (left == 0 || memchr("\"\\/bfnrtu", c->p[0], 9) == NULL)
        return json_fail(c, "an escape in a string is unknown");
    if (c->p[0] != 'u') {
        c->p++;
        return true;
    }
    for (size_t i = 1; i <= 4; i++) {
        if (i >= left || !isxdigit(c->p[i]))
            return json_fail(c, "a \\u escape needs four hex digits");
    }
    if (!c->nul && memcmp(c->p + 1, "0000", 4) == 0)
        return json_fail(c, "a string holds the character U+0000");
    c->p += 5;
    return true;
}

/* From the opening quote to behind the closing one. */
static bool json_scan_string(struct json_scan *c)
{
    c->p++;
    while (c->p < c->end && *c->p != '"') {
        if (*c->p < 0x20)
            return json_fail(c, "a string holds a control character");
        if (*c->p++ == '\\' && !json_scan_escape(c))
            return false;
    }
    if (c->p == c->end)
        return json_fail(c, "a string is not closed");
    c->p++;
    return true;
}

static bool json_scan_digits(struct json_scan *c)
{
    const uint8_t *start = c->p;
    while (c->p < c->end && isdigit(*c->p))
        c->p++;
    return c->p > start;
}

static bool json_scan_number(struct json_scan *c)
{
    static const char why[] = "a number is malformed";
    if (*c->p == '-')
        c->p++;
    if (c->p < c->end && *c->p == '0')
        c->p++; /* nothing but a fraction or exponent may follow a leading zero */
    else if (!json_scan_digits(c))
        return json_fail(c, why);
    if (c->p < c->end && *c->p == '.') {
        c->p++;
        if (!json_scan_digits(c))
            return json_fail(c, why);
    }
    if (c->p < c->end && (*c->p == 'e' || *c->p == 'E')) {
        c->p++;
        if (c->p < c->end && (*c->p == '+' || *c->p == '-'))
            c->p++;
        if (!json_scan_digits(c))
            return json_fail(c, why);
    }
    return true;
}

static bool json_scan_word(struct json_scan *c)
{
    static const char *const words[] = {"true", "false", "null"};
    for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
        size_t n = strlen(words[i]);
        if ((size_t)(c->end - c->p) >= n && memcmp(c->p, words[i], n) == 0) {
            c->p += n;
            return true;
        }
    }
    return json_fail(c, "a value is expected");
}

static bool json_scan_open(struct json_scan *c, bool object)
{
    if (c->depth == JSON_CHECK_MAX_DEPTH)
        return json_fail(c, "it is nested too deeply");
    uint64_t bit = (uint64_t)1 << c->depth++;
    c->objects = object ? c->objects | bit : c->objects & ~bit;
    c->want = object ? WANT_KEY_OR_END : WANT_VALUE_OR_END;
    c->p++;
    return true;
}

static bool json_in_object(const struct json_scan *c)
{
    return c->depth > 0 && (c->objects >> (c->depth - 1) & 1) != 0;
}

static bool json_scan_close(struct json_scan *c, bool object)
{
    if (c->depth == 0 || json_in_object(c) != object)
        return json_fail(c, "a bracket does not match");
    c->depth--;
    c->want = WANT_COMMA;
    c->p++;
    return true;
}

static bool json_scan_value(struct json_scan *c)
{
    uint8_t first = *c->p;
    if (c->left-- == 0)
        return json_fail(c, "it holds too many values");
    if (first == '{' || first == '[')
        return json_scan_open(c, first == '{');
    c->want = WANT_COMMA;
    if (first == '"')
        return json_scan_string(c);
    return first == '-' || isdigit(first) ? json_scan_number(c) : json_scan_word(c);
}

static bool json_scan_key(struct json_scan *c)
{
    if (*c->p != '"')
        return json_fail(c, "a name in double quotes is expected");
    if (c->left == 0)
        return json_fail(c, "it holds too many values");
    c->left--;
    if (!json_scan_string(c))
        return false;
    json_skip_blank(c);
    if (c->p == c->end || *c->p != ':')
        return json_fail(c, "a colon is expected");
    c->p++;
    c->want = WANT_VALUE;
    return true;
}

static bool json_scan_comma(struct json_scan *c)
{
    if (c->depth == 0)
        return json_fail(c, "something follows the value");
    if (*c->p == '}' || *c->p == ']')
        return json_scan_close(c, *c->p == '}');
    if (*c->p != ',')
        return json_fail(c, "a comma or a closing bracket is expected");
    c->p++;
    c->want = json_in_object(c) ? WANT_KEY : WANT_VALUE;
    return true;
}

static bool json_scan_next(struct json_scan *c)
{
    if (c->want == WANT_KEY_OR_END && *c->p == '}')
        return json_scan_close(c, true);
    if (c->want == WANT_VALUE_OR_END && *c->p == ']')
        return json_scan_close(c, false);
    if (c->want == WANT_COMMA)
        return json_scan_comma(c);
    return c->want == WANT_KEY || c->want == WANT_KEY_OR_END ? json_scan_key(c)
                                                             : json_scan_value(c);
}

const char *json_check(const uint8_t *s, size_t len, bool nul, size_t *ret_at)
{
    return json_check_most(s, len, nul, SIZE_MAX, ret_at);
}

const char *json_check_most(const uint8_t *s, size_t len, bool nul, size_t most, size_t *ret_at)
{
    struct json_scan c = {.want = WANT_VALUE, .nul = nul, .left = most};
    if (len == 0) {
        *ret_at = 0;
        return "it is empty";
    }
    c.p = s;
    c.end = s + len;
    do {
        json_skip_blank(&c);
    } while (c.p < c.end && json_scan_next(&c));
    if (c.why == NULL && (c.depth > 0 || c.want != WANT_COMMA))
        c.why = "it ends too early";
    *ret_at = (size_t)(c.p - s);
    return c.why;
}
