/* SPDX-License-Identifier: Apache-2.0 */
/* Texts that say they are access tokens: nothing that the key did not sign is accepted. */
#include <string.h>

#include "auth/jws.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct jws_key key;
    struct jws_claims claims;
    if (key.id[0] == '\0' && jws_key_make(&key) < 0)
        abort();
    if (jws_read((const char *)data, size, &claims) < 0)
        return 0;
    if (jws_verify(&key, (const char *)data, size, &claims) == 0)
        abort();
    return 0;
}
