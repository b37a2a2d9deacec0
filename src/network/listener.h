/* SPDX-License-Identifier: Apache-2.0 */
/* listener.h - the socket through which one sandbox reaches corral-egress. */
#ifndef CORRAL_NETWORK_LISTENER_H
#define CORRAL_NETWORK_LISTENER_H

/* Makes the listening socket `name`, which may lie in a directory below `dir`, anew. Who belongs to
 * the group of that directory can connect, nobody else. A descriptor or a negative errno. */
int network_listen(const char *dir, const char *name);

#endif
