/* SPDX-License-Identifier: Apache-2.0 */
/* rmtree.h - removing a directory whose contents an enemy made. */
#ifndef CORRAL_ISOLATION_RMTREE_H
#define CORRAL_ISOLATION_RMTREE_H

/* Removes the directory at `path` with everything below it. Never follows a symbolic link, never
 * leaves the file system, and needs two descriptors and no recursion however deep the tree is.
 * Blocking. 0 also when it is not there. */
int rmtree(const char *path);

#endif
