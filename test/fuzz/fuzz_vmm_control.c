/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a client of the control socket may send: frames in pieces, with files, of any type and size,
 * to a machine that has ended. The input's bytes are: pieces, each with a byte that says how many
 * files come with it, and a length. Nothing that was sent stays open.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct vm vm;
static struct control control;
static struct mem mem;
static int client;

static void require(bool what)
{
    if (!what)
        abort();
}

static void start(void)
{
    static const struct irq_line no_irq;
    int pair[2];
    memset(&vm, 0, sizeof(vm));
    require(vm_init(&vm) == 0);
    vm.state = CTL_STATE_EXITED; /* what needs a machine is refused, after its frame was judged */
    require(control_init(&control, &vm, socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) == 0);
    if (mem.base == NULL)
        require(mem_init_new(&mem, MEM_MIN_SIZE) == 0);
    virtio_balloon_init(&vm.balloon, &mem, &no_irq);
    for (size_t i = 0; i < LAYOUT_VIRTIO_MAX; i++)
        vm.slot[i].dev = &vm.balloon.dev;
    require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
    client = pair[0];
    require(control_add_client(&control, pair[1]) == 0);
}

/* A piece, with up to three files: one more than a request may have. */
static void put(const uint8_t *data, size_t len, unsigned int n_fds)
{
    int fds[CTL_MAX_FDS + 1];
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(fds))];
    } ctl = {0};
    uint8_t copy[256];
    memcpy(copy, data, len);
    struct iovec iov = {copy, len};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    for (unsigned int i = 0; i < n_fds; i++)
        require((fds[i] = memfd_create("sent", MFD_CLOEXEC)) >= 0);
    if (n_fds > 0) {
        ctl.header = (struct cmsghdr){.cmsg_len = CMSG_LEN(n_fds * sizeof(int)),
                                      .cmsg_level = SOL_SOCKET,
                                      .cmsg_type = SCM_RIGHTS};
        memcpy(CMSG_DATA(&ctl.header), fds, n_fds * sizeof(int));
        msg.msg_control = &ctl;
        msg.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
    }
    (void)sendmsg(client, &msg, MSG_NOSIGNAL); /* it may have hung up */
    for (unsigned int i = 0; i < n_fds; i++)
        (void)close(fds[i]);
}

static void take_answers(void)
{
    uint8_t data[4096];
    while (recv(client, data, sizeof(data), MSG_DONTWAIT) > 0)
        continue;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cursor c = cursor_on(data, size);
    start();
    while (cursor_ok(&c) && c.left > 1) {
        uint8_t how = cursor_u8(&c), len = cursor_u8(&c);
        len = (uint8_t)MIN((size_t)len, c.left);
        if (len > 0)
            put(cursor_bytes(&c, len), len, how & 3);
        require(loop_turn(&vm.loop, 0) >= 0);
        if ((how & 4) != 0)
            take_answers();
    }
    (void)close(client);
    for (int i = 0; i < 4 && control.client[0].socket.fd >= 0; i++)
        (void)loop_turn(&vm.loop, 0);
    require(control.client[0].socket.fd == -1);
    (void)close(control.listener.fd);
    (void)close(vm.wake.fd);
    loop_done(&vm.loop);
    int probe = dup(0);
    require(probe >= 0 && probe < 64); /* no file that was sent is open still */
    (void)close(probe);
    return 0;
}
