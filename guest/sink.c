/* SPDX-License-Identifier: Apache-2.0 */
#include "sink.h"

#include <errno.h>
#include <fcntl.h>

#define SINK_SPLICE (1u << 20) /* bytes dropped per turn */

struct sink {
    struct source source; /* first */
    struct list node;
    struct deferred deferred;
};

static void sink_release(struct deferred *d)
{
    free(container_of(d, struct sink, deferred));
}

static void sink_close(struct sinks *s, struct sink *k)
{
    loop_close(s->loop, &k->source);
    list_del(&k->node);
    s->count--;
    loop_defer(s->loop, &k->deferred, sink_release);
}

void sinks_init(struct sinks *s, struct loop *loop)
{
    *s = (struct sinks){.loop = loop, .null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC)};
    list_init(&s->list);
}

void sinks_done(struct sinks *s)
{
    while (!list_empty(&s->list))
        sink_close(s, list_first(&s->list, struct sink, node));
    if (s->null_fd >= 0)
        (void)close(s->null_fd);
    s->null_fd = -1;
}

void sinks_add(struct sinks *s, int fd)
{
    struct sink *k = calloc(1, sizeof(*k));
    if (k == NULL) {
        (void)close(fd);
        return;
    }
    if (s->count >= SINK_MAX)
        sink_close(s, list_first(&s->list, struct sink, node));
    source_init(&k->source, SOURCE_SINK, fd);
    list_add_tail(&s->list, &k->node);
    s->count++;
    if (loop_watch(s->loop, &k->source, EPOLLIN) < 0)
        sink_close(s, k);
}

void sink_handle_event(struct sinks *s, struct source *source)
{
    struct sink *k = container_of(source, struct sink, source);
    static char scratch[65536];
    ssize_t n = s->null_fd >= 0
                    ? splice(source->fd, NULL, s->null_fd, NULL, SINK_SPLICE, SPLICE_F_NONBLOCK)
                    : read(source->fd, scratch, sizeof(scratch));
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        sink_close(s, k);
}
