/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control.c - the control socket: up to CTL_MAX_CLIENTS clients, one request at a time from each.
 *
 * Happy path: accept, HELLO, then a reply for each request, and EXITED at the end of the VM.
 * Replies are small and go out in one call, so nothing is ever queued; a client that does not read
 * them is dropped. A request holds the loop until it is done; a snapshot takes long, but the guest
 * is paused for it anyway.
 *
 * Files come with SCM_RIGHTS, are kept for the request that they were sent with, and are closed
 * after it, whatever it was. A client that breaks the protocol is dropped, and the VM runs on.
 */
#include "control.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "snapshot.h"

static void control_accept(struct loop_source *s, uint32_t events);
static void control_ready(struct loop_source *s, uint32_t events);

int control_init(struct control *c, struct vm *vm, int fd)
{
    *c = (struct control){.vm = vm, .listener = {.fd = fd, .ready = control_accept}};
    for (size_t i = 0; i < CTL_MAX_CLIENTS; i++)
        c->client[i].socket.fd = -1;
    return loop_add(&vm->loop, &c->listener, EPOLLIN);
}

static void control_close_fds(struct control_client *cl)
{
    while (cl->fd_count > 0)
        (void)close(cl->fds[--cl->fd_count]);
}

static void control_drop(struct control_client *cl)
{
    if (cl->socket.fd < 0)
        return;
    loop_del(&cl->control->vm->loop, &cl->socket);
    (void)close(cl->socket.fd);
    cl->socket.fd = -1;
    control_close_fds(cl);
    wire_reader_done(&cl->reader);
}

static void control_send(struct control_client *cl, const struct buf *b)
{
    if (cl->socket.fd < 0)
        return;
    ssize_t sent = b->failed ? -1
                             : send(cl->socket.fd, b->data, b->len, MSG_NOSIGNAL | MSG_DONTWAIT);
    /* A socket buffer holds many replies: one that is full belongs to a client that has stopped
     * reading. */
    if (sent != (ssize_t)b->len)
        control_drop(cl);
}

/* The frames are those of the agent's protocol; only the types differ. */
static size_t control_begin(struct buf *b, enum ctl_type type)
{
    return wire_begin(b, (enum wire_type)type);
}

static void control_result(struct control_client *cl, int rv, const struct error *err)
{
    cleanup_buf struct buf b = {0};
    size_t start = control_begin(&b, rv < 0 ? CTL_ERROR : CTL_OK);
    if (rv < 0) {
        (void)buf_u32(&b, (uint32_t)-rv);
        wire_put_str(&b, err != NULL && err->message[0] != '\0' ? err->message : strerror(-rv));
    }
    wire_end(&b, start);
    control_send(cl, &b);
}

int control_add_client(struct control *c, int fd)
{
    struct control_client *cl = NULL;
    for (size_t i = 0; i < CTL_MAX_CLIENTS && cl == NULL; i++) {
        if (c->client[i].socket.fd < 0)
            cl = &c->client[i];
    }
    if (cl == NULL)
        return -EBUSY;
    *cl = (struct control_client){.control = c, .socket = {.fd = fd, .ready = control_ready}};
    cl->reader.max_payload = CTL_MAX_PAYLOAD;
    int rv = loop_add(&c->vm->loop, &cl->socket, EPOLLIN);
    if (rv < 0) {
        cl->socket.fd = -1;
        return rv;
    }
    cleanup_buf struct buf b = {0};
    size_t start = control_begin(&b, CTL_HELLO);
    (void)buf_u32(&b, CTL_VERSION);
    (void)buf_u32(&b, c->vm->state);
    wire_end(&b, start);
    control_send(cl, &b);
    return 0;
}

static void control_accept(struct loop_source *s, uint32_t events)
{
    struct control *c = container_of(s, struct control, listener);
    (void)events;
    cleanup_close int fd = accept4(s->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0 && control_add_client(c, fd) == 0)
        (void)TAKE_FD(fd);
}

/* Requests. Each returns 0 or a negative errno, with `err` where words help. */

static int control_start(struct control_client *cl, struct error *err)
{
    (void)err;
    struct vm *vm = cl->control->vm;
    return vm->state == CTL_STATE_READY ? vm_resume(vm) : -EALREADY;
}

static int control_pause(struct control_client *cl, struct error *err)
{
    (void)err;
    struct vm *vm = cl->control->vm;
    return vm->state == CTL_STATE_RUNNING ? vm_pause(vm) : -EINVAL;
}

static int control_resume(struct control_client *cl, struct error *err)
{
    (void)err;
    struct vm *vm = cl->control->vm;
    int rv = vm->state == CTL_STATE_PAUSED ? vm_resume(vm) : -EINVAL;
    snapshot_drop_room(vm); /* takes its time: the guest does not stand still for it */
    return rv;
}

static int control_stop(struct control_client *cl, struct error *err)
{
    (void)err;
    vm_end(cl->control->vm, CTL_EXIT_STOPPED, "stopped");
    return 0;
}

static int control_workset(struct control_client *cl, struct error *err)
{
    if (cl->fd_count != 1)
        return error_set(err, ERROR_INVALID_ARGUMENT, "the working set needs one file");
    if (!cl->control->vm->record)
        return error_set(err, ERROR_INVALID_STATE, "the VM was started without --record");
    return workset_write(&cl->control->vm->mem, cl->control->vm->pagemap_fd, cl->fds[0]);
}

static int control_prefetch(struct control_client *cl, struct error *err)
{
    struct vm *vm = cl->control->vm;
    bool was_running = vm->state == CTL_STATE_RUNNING;
    reshare_take_back(vm);
    /* A VM without such a list, or one that has used it, has nothing to wait for. */
    if (vm->code.run == NULL || vm->state == CTL_STATE_EXITED)
        return 0;
    int rv = was_running ? vm_pause(vm) : 0;
    if (rv < 0)
        return error_set_errno(err, ERROR_SANDBOX_FAILED, rv, "the vCPUs do not come to rest");
    vm_prefetch(vm, &vm->code);
    vm->clock = 0; /* the pause took milliseconds: the guest may see them pass */
    return was_running ? vm_resume(vm) : 0;
}

static void control_stats(struct control_client *cl)
{
    const struct vm *vm = cl->control->vm;
    cleanup_buf struct buf b = {0};
    uint64_t exits = 0;
    for (unsigned int i = 0; i < vm->vcpus; i++)
        exits += __atomic_load_n(&vm->vcpu[i].exits, __ATOMIC_RELAXED);
    const uint64_t values[] = {
        exits,
        vm->blk.read_bytes,
        vm->blk.written_bytes,
        vm->blk.requests,
        vm->vsock.mux.to_guest,
        vm->vsock.mux.to_host,
        vm->balloon.reclaimed,
        vm->serial.total,
        vm->vsock.mux.count,
        vm->pause_ns / 1000,
        vm->reshare.bytes,
    };
    size_t start = control_begin(&b, CTL_STATS_REPLY);
    for (size_t i = 0; i < ARRAY_SIZE(values); i++)
        (void)buf_u64(&b, values[i]);
    wire_end(&b, start);
    control_send(cl, &b);
}

static void control_log(struct control_client *cl)
{
    cleanup_buf struct buf b = {0};
    size_t start = control_begin(&b, CTL_LOG_REPLY);
    serial_log(&cl->control->vm->serial, &b);
    wire_end(&b, start);
    control_send(cl, &b);
}

static const struct {
    enum ctl_type type;
    int (*run)(struct control_client *cl, struct error *err);
} control_requests[] = {
    {CTL_START, control_start}, {CTL_PAUSE, control_pause},     {CTL_RESUME, control_resume},
    {CTL_STOP, control_stop},   {CTL_WORKSET, control_workset}, {CTL_PREFETCH, control_prefetch},
};

/* `*ret_began` is when the guest came to rest for it, on the clock of loop_now. */
static int control_save(struct control_client *cl, enum snapshot_kind kind,
                        struct snapshot_saved *ret, uint64_t *ret_began, struct error *err)
{
    struct vm *vm = cl->control->vm;
    bool was_running = vm->state == CTL_STATE_RUNNING, fork = kind == SNAPSHOT_FORK;
    if (cl->fd_count != 2)
        return error_set(err, ERROR_INVALID_ARGUMENT, "a snapshot needs two files");
    if (vm->state == CTL_STATE_EXITED)
        return error_set(err, ERROR_INVALID_STATE, "the VM has ended");
    snapshot_drop_room(vm); /* of one whose client has gone */
    if (fork && was_running)
        snapshot_make_room(vm, cl->fds[1]);
    *ret_began = loop_now();
    int rv = was_running ? vm_pause(vm) : 0;
    if (rv == 0)
        rv = snapshot_save(vm, kind, cl->fds[0], cl->fds[1], ret, err);
    /* Also after a failure to save. After a failed pause the VM runs already. Of a fork the overlay
     * is still to be copied. */
    if (was_running && vm->state == CTL_STATE_PAUSED && !(fork && rv == 0)) {
        (void)vm_resume(vm);
        snapshot_drop_room(vm);
    }
    return rv;
}

static const struct {
    enum ctl_type type;
    enum snapshot_kind kind;
} control_saves[] = {
    {CTL_SNAPSHOT, SNAPSHOT_COMPLETE},
    {CTL_DIFF, SNAPSHOT_DIFFERENCE},
    {CTL_FORK, SNAPSHOT_FORK},
};

/* False when the request is none that takes a snapshot. */
static bool control_snapshot_request(struct control_client *cl, uint32_t type)
{
    for (size_t i = 0; i < ARRAY_SIZE(control_saves); i++) {
        struct error err = {0};
        struct snapshot_saved saved = {0};
        uint64_t began = 0;
        if (control_saves[i].type != type)
            continue;
        int rv = control_save(cl, control_saves[i].kind, &saved, &began, &err);
        if (rv < 0 || type == CTL_SNAPSHOT) {
            control_result(cl, rv, &err);
            return true;
        }
        cleanup_buf struct buf b = {0};
        size_t start = control_begin(&b, CTL_SAVED);
        (void)buf_u64(&b, (loop_now() - began) / 1000);
        (void)buf_u64(&b, saved.bytes);
        (void)buf_u32(&b, saved.difference);
        (void)buf_u64(&b, saved.length);
        wire_end(&b, start);
        control_send(cl, &b);
        return true;
    }
    return false;
}

static void control_balloon_request(struct control_client *cl, const struct wire_frame *f)
{
    struct cursor c = cursor_on(f->payload, f->len);
    uint64_t bytes = cursor_u64(&c);
    if (!cursor_end(&c)) {
        control_drop(cl);
        return;
    }
    struct vm *vm = cl->control->vm;
    virtio_balloon_set_target(&vm->balloon, (uint32_t)(MIN(bytes, vm->mem.size) / MEM_PAGE));
    control_result(cl, 0, NULL);
}

static void control_request(struct control_client *cl, const struct wire_frame *f)
{
    uint32_t type = (uint32_t)f->type;
    if (type == CTL_BALLOON) {
        control_balloon_request(cl, f);
        return;
    }
    if (f->len != 0) {
        control_drop(cl);
        return;
    }
    if (type == CTL_STATS) {
        control_stats(cl);
        return;
    }
    if (type == CTL_LOG) {
        control_log(cl);
        return;
    }
    if (control_snapshot_request(cl, type))
        return;
    for (size_t i = 0; i < ARRAY_SIZE(control_requests); i++) {
        struct error err = {0};
        if (control_requests[i].type != type)
            continue;
        int rv = control_requests[i].run(cl, &err);
        control_result(cl, rv, &err);
        return;
    }
    control_drop(cl);
}

/* Files that come along are kept for their request; more than it may have are closed. */
static void control_keep_fds(struct control_client *cl, const struct cmsghdr *cmsg)
{
    if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
        return;
    size_t count = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; i++) {
        int fd;
        memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof(fd), sizeof(fd));
        if (cl->fd_count < CTL_MAX_FDS)
            cl->fds[cl->fd_count++] = fd;
        else
            (void)close(fd);
    }
}

static ssize_t control_receive(struct control_client *cl)
{
    uint8_t data[4096];
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(sizeof(int) * CTL_MAX_FDS)];
    } ctl;
    struct iovec iov = {data, sizeof(data)};
    struct msghdr msg = {
        .msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = &ctl,
        .msg_controllen = sizeof(ctl),
    };
    ssize_t got = recvmsg(cl->socket.fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (got < 0)
        return -errno;
    for (struct cmsghdr *m = CMSG_FIRSTHDR(&msg); m != NULL; m = CMSG_NXTHDR(&msg, m))
        control_keep_fds(cl, m);
    if (got > 0 && wire_reader_feed(&cl->reader, data, (size_t)got) < 0)
        return -ENOMEM;
    return got;
}

static void control_ready(struct loop_source *s, uint32_t events)
{
    struct control_client *cl = container_of(s, struct control_client, socket);
    struct wire_frame f;
    int more;
    (void)events;
    ssize_t got = control_receive(cl);
    if (got == -EAGAIN || got == -EINTR)
        return;
    if (got <= 0) {
        control_drop(cl);
        return;
    }
    /* A request may drop its client, and with it the reader. */
    while (cl->socket.fd >= 0 && (more = wire_reader_next(&cl->reader, &f)) != 0) {
        if (more < 0)
            control_drop(cl);
        else
            control_request(cl, &f);
    }
    /* What came along belongs to the last of these requests: a read ends with the bytes that files
     * were sent with. The request may still be incomplete. */
    if (cl->socket.fd >= 0 && wire_reader_rest(&cl->reader).len == 0)
        control_close_fds(cl);
}

void control_exited(struct control *c)
{
    cleanup_buf struct buf b = {0};
    size_t start = control_begin(&b, CTL_EXITED);
    (void)buf_u32(&b, c->vm->exit);
    wire_put_str(&b, c->vm->exit_text);
    wire_end(&b, start);
    for (size_t i = 0; i < CTL_MAX_CLIENTS; i++)
        control_send(&c->client[i], &b);
}
