/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trust.h - makes the programs of this machine believe one more certificate authority: the one that
 * signs for hosts whose requests corral-egress changes.
 *
 * It is added to Debian's bundle, which OpenSSL, GnuTLS, Go and Debian's Python read, and put where
 * update-ca-certificates(8) finds it when the bundle is made again. Node and packages of Python
 * with a bundle of their own are told by variables.
 */
#ifndef CORRAL_AGENT_TRUST_H
#define CORRAL_AGENT_TRUST_H

/* `root` is "" or a directory that stands for /. `pem` is one certificate. Doing it again changes
 * nothing. 0, and *ret are the variables ("NAME=value", NULL-terminated, static) that processes
 * need; or a negative errno. */
int trust_add(const char *root, const char *pem, const char *const **ret);

#endif
