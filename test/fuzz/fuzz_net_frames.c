/* SPDX-License-Identifier: Apache-2.0 */
/* Input: what the host sends on a flow, behind one byte that says how it is cut. Nothing comes
 * before OPENED or after the end, and cutting changes nothing. */
#include <stdlib.h>
#include <string.h>

#include "agent/net/frames.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
    int last;
    size_t events, bytes;
};

static void check(struct seen *s, int event)
{
    bool opened = s->events > 0;
    if (opened == (event == FRAMES_OPENED) && event != FRAMES_REFUSED)
        abort();
    if (opened && event == FRAMES_REFUSED)
        abort();
    if (s->last == FRAMES_REFUSED || s->last == FRAMES_RST)
        abort();
    if (s->last == FRAMES_FIN && event != FRAMES_RST)
        abort();
    s->last = event;
    s->events++;
}

static struct seen read_all(const uint8_t *data, size_t size, size_t step)
{
    struct frames f = {0};
    struct seen s = {0};
    while (size > 0) {
        size_t left = step < size ? step : size;
        const uint8_t *p = data;
        data += left;
        size -= left;
        int event;
        while ((event = frames_next(&f, &p, &left)) != FRAMES_MORE) {
            if (event < 0)
                return s;
            if (event == FRAMES_DATA) {
                if (s.events == 0 || f.data_len == 0 || f.data_len > left)
                    abort();
                s.bytes += f.data_len;
                frames_take(&f, &p, &left, f.data_len);
            } else {
                check(&s, event);
            }
        }
    }
    return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    struct seen whole = read_all(data + 1, size - 1, size);
    struct seen cut = read_all(data + 1, size - 1, (size_t)data[0] + 1);
    if (whole.events != cut.events || whole.bytes != cut.bytes || whole.last != cut.last)
        abort();
    return 0;
}
