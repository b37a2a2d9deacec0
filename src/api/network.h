/* SPDX-License-Identifier: Apache-2.0 */
/* network.h - the network fields of a create. */
#ifndef CORRAL_API_NETWORK_H
#define CORRAL_API_NETWORK_H

#include "api/api.h"

/* `network` and `internet_access` of the body as the text of a policy, in `text`. *ret is left
 * alone when the body says nothing of it. 0 or a negative errno with `err`. */
int api_network_parse(struct api_call *call, struct buf *text, const char **ret, struct error *err);
/* The text of the policy that allows the internet, or nothing, whatever the server's default is. On
 * a server without a network *ret is left alone, and the internet is ERROR_UNSUPPORTED. 0 or a
 * negative errno with `err`. */
int api_network_switch(struct api_call *call, bool internet, struct buf *text, const char **ret,
                       struct error *err);

#endif
