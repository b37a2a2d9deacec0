/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gravix.h - the server as clients of gravixlayer 0.1 see it: their names parsed, their names
 * printed.
 *
 * They call a sandbox a runtime. Their routes stand below prefixes that nobody else uses, so the
 * path alone says that a request is theirs (dispatch.c). What each does stands in the layers below.
 */
#ifndef CORRAL_GRAVIX_GRAVIX_H
#define CORRAL_GRAVIX_GRAVIX_H

#include "api/api.h"

/* For api->dispatch. */
bool gravix_dispatch(struct api_call *call);

#endif
