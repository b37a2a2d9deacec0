/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ca.h - the server's own certificate authority, which signs for hosts under transforms.
 *
 * Its certificate and key are made at the first start and kept in STATE/egress-ca.crt and
 * STATE/egress-ca.key, mode 0600. corral-egress gets both with its SETUP. Only sandboxes whose
 * policy has transforms are made to trust the certificate.
 */
#ifndef CORRAL_AUTH_CA_H
#define CORRAL_AUTH_CA_H

#include "base/error.h"

#define CA_LIFE_S (10LL * 365 * 86400)

struct ca {
    char *cert, *key; /* PEM; owned */
};

/* Blocking; start-up only. `ret` is empty after a failure. */
int ca_load(struct ca *ret, const char *state_dir, struct error *err);
/* Wipes the key. */
void ca_done(struct ca *c);

#endif
