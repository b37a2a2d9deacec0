/* SPDX-License-Identifier: Apache-2.0 */
/* sink.c - reads pipes to nowhere. splice() to /dev/null drops whole pages without copying them. */
#include "agent/sink.h"

#include <errno.h>
#include <fcntl.h>

#define SINK_SPLICE (1u << 20) /* bytes dropped per turn */

struct sink {
    struct source source; /* first */
    struct list node;
    struct deferred deferred;
    bool logged;
    size_t log_left; /* bytes that still go to stderr */
};

static void sink_release(struct deferred *d)
{
    free(container_of(d, struct sink, deferred));
}

static void sink_close(struct sinks *s, struct sink *k)
{
    loop_close(s->loop, &k->source);
    list_del(&k->node);
    if (!k->logged)
        s->count--;
    loop_defer(s->loop, &k->deferred, sink_release);
}

void sinks_init(struct sinks *s, struct loop *loop)
{
    *s = (struct sinks){.loop = loop, .null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC)};
    list_init(&s->list);
    list_init(&s->logged);
}

void sinks_done(struct sinks *s)
{
    while (!list_empty(&s->list))
        sink_close(s, list_first(&s->list, struct sink, node));
    while (!list_empty(&s->logged))
        sink_close(s, list_first(&s->logged, struct sink, node));
    if (s->null_fd >= 0)
        (void)close(s->null_fd);
    s->null_fd = -1;
}

static void sink_open(struct sinks *s, int fd, bool logged, size_t log_bytes)
{
    struct sink *k = calloc(1, sizeof(*k));
    if (k == NULL) {
        /* The writer gets SIGPIPE. A pipe that nobody reads would fill up and block it for ever. */
        (void)close(fd);
        return;
    }
    source_init(&k->source, SOURCE_SINK, fd);
    k->logged = logged;
    k->log_left = log_bytes;
    list_add_tail(logged ? &s->logged : &s->list, &k->node);
    if (!logged)
        s->count++;
    if (loop_watch(s->loop, &k->source, EPOLLIN) < 0)
        sink_close(s, k);
}

void sinks_add(struct sinks *s, int fd)
{
    /* Descriptors are limited. The writer of the oldest pipe has had the longest time to end. */
    if (s->count >= SINK_MAX)
        sink_close(s, list_first(&s->list, struct sink, node));
    sink_open(s, fd, false, 0);
}

void sinks_add_logged(struct sinks *s, int fd, size_t bytes)
{
    sink_open(s, fd, true, bytes);
}

static ssize_t sink_read(struct sinks *s, struct sink *k)
{
    static char scratch[65536];
    if (k->log_left == 0 && s->null_fd >= 0)
        return splice(k->source.fd, NULL, s->null_fd, NULL, SINK_SPLICE, SPLICE_F_NONBLOCK);
    /* The first bytes of a logged pipe are copied to the log. Without /dev/null all others come
     * here, too. */
    ssize_t n = read(k->source.fd, scratch,
                     k->log_left > 0 ? MIN(k->log_left, sizeof(scratch)) : sizeof(scratch));
    if (n > 0 && k->log_left > 0) {
        ssize_t ignored = write(STDERR_FILENO, scratch, (size_t)n);
        (void)ignored;
        k->log_left -= (size_t)n;
    }
    return n;
}

void sink_handle_event(struct sinks *s, struct source *source)
{
    struct sink *k = container_of(source, struct sink, source);
    ssize_t n = sink_read(s, k);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        sink_close(s, k);
}
