/* SPDX-License-Identifier: Apache-2.0 */
/* sparse.h - copying files with holes. */
#ifndef CORRAL_BASE_SPARSE_H
#define CORRAL_BASE_SPARSE_H

/* Makes the empty file `to` a copy of `from` from its start: holes stay holes, and the files share
 * their blocks where the file system can. Blocking. 0 or a negative errno. */
int sparse_copy(int from, int to);

#endif
