/* SPDX-License-Identifier: Apache-2.0 */
/* The control socket in front of a machine that has no KVM, and the machine's own pause. */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "control.h"
#include "t.h"

static struct vm vm;
static struct control control;
static struct kvm_run run_pages[LAYOUT_MAX_VCPUS];
static int client;

static const struct irq_line no_irq;
static struct mem mem;

static void turn(void)
{
    T_TRUE(loop_turn(&vm.loop, 0) >= 0);
}

static void setup(void)
{
    int pair[2];
    memset(&vm, 0, sizeof(vm));
    T_EQ(vm_init(&vm), 0);
    T_EQ(control_init(&control, &vm, socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)), 0);
    if (mem.base == NULL)
        T_EQ(mem_init_new(&mem, MEM_MIN_SIZE), 0);
    virtio_balloon_init(&vm.balloon, &mem, &no_irq);
    for (size_t i = 0; i < LAYOUT_VIRTIO_MAX; i++)
        vm.slot[i].dev = &vm.balloon.dev; /* one device stands for all: none has a driver */
    T_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    client = pair[0];
    T_EQ(control_add_client(&control, pair[1]), 0);
}

static void done(void)
{
    (void)close(client);
    turn();
    T_EQ(control.client[0].socket.fd, -1);
    (void)close(control.listener.fd);
    (void)close(vm.wake.fd);
    loop_done(&vm.loop);
}

static unsigned int open_files(void)
{
    unsigned int n = 0;
    for (int fd = 0; fd < 256; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

/* Requests in one call, with files when `n_fds` is not 0. */
static void ask(const enum ctl_type *types, size_t n, const int *fds, size_t n_fds)
{
    cleanup_buf struct buf b = {0};
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int) * CTL_MAX_FDS)];
    } ctl = {0};
    for (size_t i = 0; i < n; i++) {
        uint64_t bytes = 0;
        T_EQ(wire_put_frame(&b, (enum wire_type)types[i], &bytes,
                            types[i] == CTL_BALLOON ? sizeof(bytes) : 0),
             0);
    }
    struct iovec iov = {b.data, b.len};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    if (n_fds > 0) {
        ctl.header = (struct cmsghdr){.cmsg_len = CMSG_LEN(n_fds * sizeof(int)),
                                      .cmsg_level = SOL_SOCKET,
                                      .cmsg_type = SCM_RIGHTS};
        memcpy(CMSG_DATA(&ctl.header), fds, n_fds * sizeof(int));
        msg.msg_control = &ctl;
        msg.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
    }
    T_EQ(sendmsg(client, &msg, 0), (long long)b.len);
}

/* The type of the next frame; an error's text in `text`. */
static unsigned int answer(char *text, size_t cap)
{
    static struct wire_reader reader;
    struct wire_frame f;
    uint8_t data[4096];
    while (wire_reader_next(&reader, &f) == 0) {
        ssize_t n = recv(client, data, sizeof(data), MSG_DONTWAIT);
        T_TRUE(n > 0);
        T_EQ(wire_reader_feed(&reader, data, (size_t)n), 0);
    }
    if (f.type == (enum wire_type)CTL_ERROR && text != NULL) {
        struct cursor c = cursor_on(f.payload, f.len);
        (void)cursor_u32(&c);
        struct span s = wire_get_span(&c);
        (void)snprintf(text, cap, "%.*s", (int)s.len, s.data);
    }
    return (unsigned int)f.type;
}

static void files_are_closed_after_any_request(void)
{
    static const struct {
        enum ctl_type ask;
        unsigned int reply;
    } rows[] = {
        {CTL_STATS, CTL_STATS_REPLY}, {CTL_LOG, CTL_LOG_REPLY},  {CTL_BALLOON, CTL_OK},
        {CTL_PAUSE, CTL_ERROR},       {CTL_SNAPSHOT, CTL_ERROR}, {CTL_DIFF, CTL_ERROR},
        {CTL_FORK, CTL_ERROR},        {CTL_WORKSET, CTL_ERROR},
    };
    int files[CTL_MAX_FDS];
    setup();
    T_EQ(answer(NULL, 0), CTL_HELLO);
    for (size_t i = 0; i < CTL_MAX_FDS; i++)
        files[i] = memfd_create("file", MFD_CLOEXEC);
    unsigned int before = open_files();
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        ask(&rows[i].ask, 1, files, rows[i].reply == CTL_ERROR ? 1 : CTL_MAX_FDS);
        turn();
        T_EQ(answer(NULL, 0), rows[i].reply);
        T_EQ(open_files(), before);
    }
    for (size_t i = 0; i < CTL_MAX_FDS; i++)
        (void)close(files[i]);
    done();
}

/* Two requests that arrive together: the files are those of the second. */
static void files_stay_with_their_request(void)
{
    static const enum ctl_type first[] = {CTL_STATS, CTL_PAUSE}, second[] = {CTL_SNAPSHOT};
    char text[128];
    int files[] = {memfd_create("a", MFD_CLOEXEC), memfd_create("b", MFD_CLOEXEC)};
    setup();
    T_EQ(answer(NULL, 0), CTL_HELLO);
    vm.state = CTL_STATE_EXITED;
    ask(first, ARRAY_SIZE(first), NULL, 0);
    ask(second, ARRAY_SIZE(second), files, ARRAY_SIZE(files));
    turn();
    turn();
    T_EQ(answer(NULL, 0), CTL_STATS_REPLY);
    T_EQ(answer(NULL, 0), CTL_ERROR);
    T_EQ(answer(text, sizeof(text)), CTL_ERROR);
    T_STR(text, "the VM has ended"); /* and not that two files are needed */
    (void)close(files[0]);
    (void)close(files[1]);
    done();
}

/* The first vCPU is at rest at once, the second never comes. */
static void a_pause_that_times_out_is_taken_back(void)
{
    static const enum ctl_type pause_once[] = {CTL_PAUSE}, snapshot[] = {CTL_SNAPSHOT};
    int files[] = {memfd_create("a", MFD_CLOEXEC), memfd_create("b", MFD_CLOEXEC)};
    setup();
    T_EQ(answer(NULL, 0), CTL_HELLO);
    vm.pause_ms = 20;
    vm.state = CTL_STATE_RUNNING;
    for (vm.vcpus = 0; vm.vcpus < 2; vm.vcpus++) {
        struct vcpu *v = &vm.vcpu[vm.vcpus];
        *v = (struct vcpu){.fd = -1, .run = &run_pages[vm.vcpus], .lock = &vm.lock};
        T_EQ(pthread_cond_init(&v->wake, NULL), 0);
        v->want_run = true;
    }
    vm.vcpu[0].parked = true;
    for (int i = 0; i < 2; i++) {
        ask(i == 0 ? pause_once : snapshot, 1, files, i == 0 ? 0 : 2);
        turn();
        T_EQ(answer(NULL, 0), CTL_ERROR);
        T_EQ(vm.state, CTL_STATE_RUNNING);
        T_TRUE(vm.vcpu[0].want_run && vm.vcpu[1].want_run);
        vm.vcpu[0].parked = true;
    }
    /* A guest that ended meanwhile is not started again. */
    vm_end(&vm, CTL_EXIT_STOPPED, "stopped");
    (void)pthread_mutex_lock(&vm.lock);
    T_EQ(vm_pause(&vm), -ETIMEDOUT);
    (void)pthread_mutex_unlock(&vm.lock);
    T_TRUE(!vm.vcpu[0].want_run && !vm.vcpu[1].want_run);
    (void)close(files[0]);
    (void)close(files[1]);
    done();
}

T_MAIN(T_CASE(files_are_closed_after_any_request), T_CASE(files_stay_with_their_request),
       T_CASE(a_pause_that_times_out_is_taken_back))
