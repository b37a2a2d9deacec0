/* SPDX-License-Identifier: Apache-2.0 */
/* port_path.c - see port_path.h. */
#include "api/port_path.h"

#include <string.h>
#include <strings.h>

#define PORT_PATH_AGENTS    "/v1/agents"
#define PORT_PATH_SANDBOXES "/sandboxes/"
#define PORT_PATH_PORTS     "/ports/"
#define PORT_PATH_RUNTIME   "/v1/agents/runtime/"
#define PORT_PATH_SERVICES  "/services/"
#define PORT_PATH_WEB       "/web"
#define PORT_PATH_SERVICE   "-service" /* behind the port in the cookie */

/* A text that is read from its beginning. */
struct port_text {
    const char *at;
    size_t left;
};

static bool port_text_take(struct port_text *t, const char *word)
{
    size_t len = strlen(word);
    if (t->left < len || memcmp(t->at, word, len) != 0)
        return false;
    t->at += len;
    t->left -= len;
    return true;
}

static bool port_text_id(struct port_text *t, char ret[ID_SIZE])
{
    char id[ID_SIZE] = "";
    if (t->left < ID_SIZE - 1)
        return false;
    memcpy(id, t->at, ID_SIZE - 1);
    t->at += ID_SIZE - 1;
    t->left -= ID_SIZE - 1;
    return id_parse(ret, id) == 0;
}

/* 1 to 65535, without zeros in front. */
static bool port_text_port(struct port_text *t, uint16_t *ret)
{
    unsigned int port = 0;
    size_t digits = 0;
    for (; digits < t->left && digits < 6 && t->at[digits] >= '0' && t->at[digits] <= '9'; digits++)
        port = port * 10 + (unsigned int)(t->at[digits] - '0');
    if (digits == 0 || digits > 5 || t->at[0] == '0' || port > 65535)
        return false;
    *ret = (uint16_t)port;
    t->at += digits;
    t->left -= digits;
    return true;
}

bool port_path_parse(const char *path, size_t len, struct port_path *ret)
{
    struct port_text t = {path, len};
    ret->service = port_text_take(&t, PORT_PATH_RUNTIME);
    if (!ret->service) {
        (void)port_text_take(&t, PORT_PATH_AGENTS);
        if (!port_text_take(&t, PORT_PATH_SANDBOXES))
            return false;
    }
    if (!port_text_id(&t, ret->id) ||
        !port_text_take(&t, ret->service ? PORT_PATH_SERVICES : PORT_PATH_PORTS) ||
        !port_text_port(&t, &ret->port) || (ret->service && !port_text_take(&t, PORT_PATH_WEB)) ||
        (t.left > 0 && t.at[0] != '/'))
        return false;
    ret->prefix = (size_t)(t.at - path);
    return true;
}

bool port_path_of_referer(const char *referer, const char *host, struct port_path *ret)
{
    const char *authority = strstr(referer, "://");
    size_t len = strlen(host);
    if (authority == NULL || len == 0 || strncasecmp(authority + 3, host, len) != 0)
        return false;
    const char *path = authority + 3 + len;
    return port_path_parse(path, strcspn(path, "?#"), ret);
}

/* The next cookie of the header, without blanks around it. False at the end. */
static bool port_path_next_cookie(const char **rest, struct port_text *ret)
{
    const char *p = *rest + strspn(*rest, "; \t");
    size_t len = strcspn(p, ";");
    *rest = p + len;
    while (len > 0 && (p[len - 1] == ' ' || p[len - 1] == '\t'))
        len--;
    *ret = (struct port_text){p, len};
    return len > 0;
}

bool port_path_of_cookies(const char *cookies, struct port_path *ret)
{
    struct port_text t;
    while (port_path_next_cookie(&cookies, &t)) {
        if (port_text_take(&t, PORT_PATH_COOKIE "=") && port_text_id(&t, ret->id) &&
            port_text_take(&t, "-") && port_text_port(&t, &ret->port)) {
            ret->service = port_text_take(&t, PORT_PATH_SERVICE);
            ret->prefix = 0;
            if (t.left == 0)
                return true;
        }
    }
    return false;
}

bool port_path_next_token(const char **cookies, const char *id, uint16_t port,
                          struct port_token *ret)
{
    struct port_text t;
    char of[ID_SIZE];
    uint16_t at;
    while (port_path_next_cookie(cookies, &t)) {
        if (port_text_take(&t, PORT_PATH_TOKEN) && port_text_id(&t, of) && strcmp(of, id) == 0 &&
            port_text_take(&t, "-") && port_text_port(&t, &at) && at == port &&
            port_text_take(&t, "=")) {
            *ret = (struct port_token){t.at, t.left};
            return true;
        }
    }
    return false;
}

void port_path_strip(struct buf *out, const char *cookies)
{
    struct port_text t;
    bool first = true;
    while (port_path_next_cookie(&cookies, &t)) {
        struct port_text name = t;
        if (port_text_take(&name, PORT_PATH_COOKIE "=") || port_text_take(&name, PORT_PATH_TOKEN))
            continue;
        (void)buf_append_str(out, first ? "" : "; ");
        (void)buf_append(out, t.at, t.left);
        first = false;
    }
}
