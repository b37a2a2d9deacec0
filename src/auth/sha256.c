/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/sha256.h"

#include <mbedtls/sha256.h>
#include <mbedtls/version.h>

/* Release 3 gave the plain name to the function that returns an error; 2.28 calls it _ret. */
#if MBEDTLS_VERSION_MAJOR >= 3
#define SHA256_FUNCTION mbedtls_sha256
#else
#define SHA256_FUNCTION mbedtls_sha256_ret
#endif

void sha256(const void *data, size_t len, uint8_t out[SHA256_SIZE])
{
    /* Fails only where the hash runs on hardware. A hash that is not one must not be compared. */
    if (SHA256_FUNCTION(data, len, out, 0) != 0)
        abort();
}
