/* SPDX-License-Identifier: Apache-2.0 */
#include "egress/random.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

int random_get(void *ctx, unsigned char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = getrandom(data, len, 0);
        if (n < 0 && errno != EINTR)
            abort(); /* nothing that follows would be secret */
        if (n > 0) {
            data += n;
            len -= (size_t)n;
        }
    }
    return 0;
}
