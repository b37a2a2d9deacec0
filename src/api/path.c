/* SPDX-License-Identifier: Apache-2.0 */
/* path.c - see path.h. ".." is resolved in the text, as URLs do it, not through links: this decides
 * what a client meant. What it may touch is decided by the sandbox's kernel. */
#include "api/path.h"

#include <stdbool.h>
#include <string.h>

/* Appends one part to an absolute path that has no trailing slash; "" is the root. */
static size_t path_add(char *out, size_t len, const char *part, size_t part_len)
{
    if (part_len == 0 || (part_len == 1 && part[0] == '.'))
        return len;
    if (part_len == 2 && memcmp(part, "..", 2) == 0) {
        while (len > 0 && out[--len] != '/')
            ;
        return len;
    }
    out[len] = '/';
    memcpy(out + len + 1, part, part_len);
    return len + 1 + part_len;
}

static size_t path_add_all(char *out, size_t len, const char *path)
{
    while (*path != '\0') {
        size_t part = strcspn(path, "/");
        len = path_add(out, len, path, part);
        path += part;
        path += *path == '/';
    }
    return len;
}

static bool path_fits(const char *path, struct error *err)
{
    size_t size = strlen(path);
    if (size > 0 && size <= API_PATH_MAX)
        return true;
    error_set(err, ERROR_INVALID_PATH,
              size == 0 ? "The path is empty" : "The path exceeds %d bytes", API_PATH_MAX);
    return false;
}

const char *api_path_as(struct arena *arena, const char *user, const char *home, const char *path,
                        struct error *err)
{
    if (user == NULL || path[0] == '/')
        return api_path_absolute(arena, home, path, err);
    if (!path_fits(path, err))
        return NULL;
    const char *copy = arena_strndup(arena, path, strlen(path));
    if (copy == NULL)
        error_set(err, ERROR_INTERNAL, "Out of memory");
    return copy;
}

const char *api_path_absolute(struct arena *arena, const char *home, const char *path,
                              struct error *err)
{
    if (!path_fits(path, err))
        return NULL;
    size_t size = strlen(path);
    char *out = arena_alloc(arena, strlen(home) + size + 3);
    if (out == NULL) {
        error_set(err, ERROR_INTERNAL, "Out of memory");
        return NULL;
    }
    size_t len = path[0] == '/' ? 0 : path_add_all(out, 0, home);
    len = path_add_all(out, len, path);
    if (len == 0)
        out[len++] = '/';
    out[len] = '\0';
    return out;
}

const char *api_path_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}
