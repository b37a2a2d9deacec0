/* SPDX-License-Identifier: Apache-2.0 */
/* etc.h - the files of /etc that tell programs of the network. */
#ifndef CORRAL_AGENT_NET_ETC_H
#define CORRAL_AGENT_NET_ETC_H

/* Writes /etc/resolv.conf, and /etc/hosts where there is none. A file system that cannot be written
 * stays as it is. `root` goes before both paths. */
void etc_write(const char *root);

#endif
