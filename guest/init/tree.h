/* SPDX-License-Identifier: Apache-2.0 */
/* tree.h - copies and empties small trees of plain files and directories. */
#ifndef CORRAL_INIT_TREE_H
#define CORRAL_INIT_TREE_H

/* Copies what is in directory `from` into the existing directory `to`, with modes and times; owned
 * by the caller. -EINVAL for anything but a plain file or a directory. */
int tree_copy(const char *from, const char *to);

/* Removes the contents of a directory that are on its file system. An entry that cannot be removed
 * stays. */
void tree_remove_contents(const char *path);

#endif
