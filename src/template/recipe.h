/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recipe.h - what a template can be built of. A recipe is a file NAME.recipe of KEY="value" lines,
 * in the operator's own directory or among those that the server ships; one of the operator's own
 * hides a shipped one of the same name. guest/templates/python-base-v1.recipe lists the keys. Here
 * only what a list of templates shows is read; templates/tools/build reads the rest.
 */
#ifndef CORRAL_TEMPLATE_RECIPE_H
#define CORRAL_TEMPLATE_RECIPE_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define RECIPE_MAX      65536 /* bytes of the file */
#define RECIPE_NAME_MAX 64    /* bytes */
#define RECIPES_MAX     256   /* of one directory; further ones are not read */

struct recipe {
    char *name; /* owned, as are the strings below */
    char *description;
    char **aliases; /* NULL-terminated, one allocation; NULL: none */
    unsigned int vcpus, memory_mb, disk_mb;
    int64_t changed_ms; /* of the file */
};

/* Where recipes are. */
struct recipe_places {
    const char *own;       /* the operator's directory; it may be missing */
    const char *guest_dir; /* the shipped ones are in its folder templates/ */
};

#define cleanup_recipe __attribute__((cleanup(recipe_done)))

/* The name becomes a directory's and is part of commands that a person types. */
bool recipe_name_ok(const char *name);

/* Takes the text of a recipe apart. 0, or -EINVAL with `err` filled, which names the line. */
int recipe_parse(struct recipe *ret, const char *text, size_t len, struct error *err);
/* Reads a file. Blocks. 0, or a negative errno with `err` filled. */
int recipe_read(struct recipe *ret, const char *path, struct error *err);
void recipe_done(struct recipe *r); /* contents only */

/* The path of the recipe of that name. 0, or -ENOENT. */
int recipe_find(const struct recipe_places *places, const char *name, char ret[PATH_MAX]);
/* Calls `visit` for each recipe, the operator's own first; one that cannot be read is passed as
 * NULL with the reason. Blocks for some small files. */
void recipe_each(const struct recipe_places *places,
                 void (*visit)(void *ctx, const struct recipe *r, const struct error *err),
                 void *ctx);

#endif
