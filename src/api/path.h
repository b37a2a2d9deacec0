/* SPDX-License-Identifier: Apache-2.0 */
/* path.h - paths of files in a sandbox, as clients give and see them. Pure. */
#ifndef CORRAL_API_PATH_H
#define CORRAL_API_PATH_H

#include "base/arena.h"
#include "base/error.h"

#define API_PATH_HOME "/home/user" /* of the sandbox's user */
#define API_PATH_MAX  4095         /* bytes */

/* The absolute form of `path`, which starts from `home` when it is relative, without empty, "." and
 * ".." parts, in the arena. NULL with `err` filled for a path that cannot be one (empty, too long).
 * ".." at the root stays there. */
const char *api_path_absolute(struct arena *arena, const char *home, const char *path,
                              struct error *err);
/* The same for the files of `user`. NULL is the usual one, with `home`; of another only the sandbox
 * knows the home, so a relative path stays as it is. */
const char *api_path_as(struct arena *arena, const char *user, const char *home, const char *path,
                        struct error *err);
/* What follows the last slash. */
const char *api_path_name(const char *path);

#endif
