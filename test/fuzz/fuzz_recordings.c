/* SPDX-License-Identifier: Apache-2.0 */
/* Two lists of pages joined: a list again, with no more runs than both. The first byte says where
 * the input is cut. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/file.h"
#include "template/recordings.h"
#include "vmm_ctl.h"

#include "t.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char dir[] = "/tmp/fuzz-recordings-XXXXXX";

static void put(const char *name, const uint8_t *data, size_t size)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "%s/%s", dir, name);
    FILE *f = fopen(path, "w");
    if (f == NULL || fwrite(data, 1, size, f) != size || fclose(f) != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool made;
    char path[64];
    if (size == 0)
        return 0;
    if (!made && !t_mkdtemp(dir))
        abort();
    made = true;
    size_t cut = 1 + (size - 1) * data[0] / 255;
    put("set.0", data + 1, cut - 1);
    put("set.1", data + cut, size - cut);
    if (template_recordings_join(dir, "set", 2) < 0)
        return 0;
    cleanup_buf struct buf got = {0};
    (void)snprintf(path, sizeof(path), "%s/set", dir);
    if (file_read(path, size, &got) < 0)
        abort(); /* there, and no larger than both together */
    if (got.len > 0 && cut > 1 && (got.len < CTL_WORKSET_HEAD || got.len % 8 != 0))
        abort();
    return 0;
}
