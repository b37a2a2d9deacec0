/* SPDX-License-Identifier: Apache-2.0 */
/* The vCPU thread with a few bytes of guest code. Needs /dev/kvm, even one that interprets. */
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <time.h>

#include "base/base.h"
#include "base/buf.h"
#include "cpuid.h"
#include "state.h"
#include "t.h"
#include "vcpu.h"

#define CODE 0x8000u

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t rest = PTHREAD_COND_INITIALIZER;
static struct kvm kvm;
static struct mem mem;
static struct vcpu v;
static unsigned int pio_count, mmio_count, ended;
static uint8_t last_out;
static uint64_t last_mmio;

static void on_mmio(void *ctx, uint64_t addr, void *data, uint32_t len, bool write)
{
    (void)ctx;
    if (write)
        last_mmio = addr;
    else
        memset(data, 0x5a, len);
    __atomic_add_fetch(&mmio_count, 1, __ATOMIC_SEQ_CST);
}

static void on_pio(void *ctx, uint16_t port, void *data, uint32_t len, bool write)
{
    (void)ctx;
    (void)port;
    (void)len;
    if (write)
        last_out = *(uint8_t *)data;
    else
        *(uint8_t *)data = 0x33;
    __atomic_add_fetch(&pio_count, 1, __ATOMIC_SEQ_CST);
}

static void on_ended(void *ctx, enum vcpu_end end, uint64_t detail)
{
    (void)ctx;
    (void)detail;
    __atomic_store_n(&ended, 1 + end, __ATOMIC_SEQ_CST);
}

static void on_parked(void *ctx)
{
    (void)ctx;
    pthread_cond_broadcast(&rest);
}

static const struct vcpu_ops ops = {
    .mmio = on_mmio, .pio = on_pio, .ended = on_ended, .parked = on_parked};

/* Real mode at CODE: small enough to need no tables. */
static void setup(const void *code, size_t len)
{
    struct kvm_sregs s;
    struct kvm_regs r = {.rip = CODE, .rflags = 2};
    struct error err = {0};
    if (access("/dev/kvm", R_OK | W_OK) < 0)
        T_SKIP("no usable /dev/kvm");
    pio_count = mmio_count = ended = 0;
    T_EQ(mem_init_new(&mem, 32ull << 20), 0);
    memcpy(mem.base + CODE, code, len);
    if (kvm_open(&kvm, -1, &err) < 0)
        T_SKIP(err.message);
    T_EQ(kvm_create(&kvm, &mem, &err), 0);
    T_EQ(vcpu_init_signal(), 0);
    T_EQ(vcpu_init(&v, &kvm, 0, &ops, NULL, &lock), 0);
    T_EQ(ioctl(v.fd, KVM_GET_SREGS, &s), 0);
    s.cs.base = 0;
    s.cs.selector = 0;
    T_EQ(ioctl(v.fd, KVM_SET_SREGS, &s), 0);
    T_EQ(ioctl(v.fd, KVM_SET_REGS, &r), 0);
    T_EQ(vcpu_start(&v), 0);
}

static void done(void)
{
    vcpu_done(&v);
    kvm_done(&kvm);
    mem_done(&mem);
}

static void resume(void)
{
    pthread_mutex_lock(&lock);
    vcpu_resume(&v);
    pthread_mutex_unlock(&lock);
}

static bool pause_within(int seconds)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += seconds;
    pthread_mutex_lock(&lock);
    vcpu_kick(&v);
    int rv = 0;
    while (!v.parked && rv == 0)
        rv = pthread_cond_timedwait(&rest, &lock, &until);
    bool parked = v.parked;
    pthread_mutex_unlock(&lock);
    return parked;
}

static void wait_for(unsigned int *what, unsigned int count)
{
    for (int i = 0; i < 20000 && __atomic_load_n(what, __ATOMIC_SEQ_CST) < count; i++)
        usleep(500);
    T_TRUE(__atomic_load_n(what, __ATOMIC_SEQ_CST) >= count);
}

static void ports_reach_the_owner(void)
{
    /* in al, 0x60; inc al; out 0x61, al; jmp $ */
    static const uint8_t code[] = {0xe4, 0x60, 0xfe, 0xc0, 0xe6, 0x61, 0xeb, 0xfe};
    setup(code, sizeof(code));
    resume();
    wait_for(&pio_count, 2);
    T_EQ(last_out, 0x34);
    T_TRUE(pause_within(10)); /* out of an endless loop */
    done();
}

static void device_memory_reaches_the_owner(void)
{
    /* mov ax, 0xffff; mov ds, ax; mov al, [0x10]... a read and a write above RAM need 32 bits:
     * o32 mov ebx, 0xd0000000 is beyond a real-mode segment, so an unreal limit is set by hand. */
    static const uint8_t code[] = {0x66, 0xbb, 0x00, 0x00, 0x00, 0xd0, /* mov ebx, 0xd0000000 */
                                   0x67, 0x8a, 0x03,                   /* mov al, [ebx] */
                                   0x67, 0x88, 0x43, 0x04,             /* mov [ebx+4], al */
                                   0xe6, 0x61,                         /* out 0x61, al */
                                   0xeb, 0xfe};
    struct kvm_sregs s;
    setup(code, sizeof(code));
    T_EQ(ioctl(v.fd, KVM_GET_SREGS, &s), 0);
    s.ds.limit = UINT32_MAX;
    s.ds.g = 1;
    T_EQ(ioctl(v.fd, KVM_SET_SREGS, &s), 0);
    resume();
    wait_for(&pio_count, 1);
    T_EQ(mmio_count, 2);
    T_EQ(last_mmio, 0xd0000004);
    T_EQ(last_out, 0x5a);
    T_TRUE(pause_within(10));
    done();
}

static void pause_and_resume_again_and_again(void)
{
    /* out 0x61, al; inc al; jmp start */
    static const uint8_t code[] = {0xe6, 0x61, 0xfe, 0xc0, 0xeb, 0xfa};
    setup(code, sizeof(code));
    for (int i = 0; i < 50; i++) {
        unsigned int before = pio_count;
        resume();
        wait_for(&pio_count, before + 1);
        T_TRUE(pause_within(10));
        unsigned int at_rest = pio_count;
        usleep(1000);
        T_EQ(pio_count, at_rest);
    }
    done();
}

/* A pause that is taken back before the vCPU has noticed it: the guest runs on. */
static void a_kick_may_be_taken_back(void)
{
    /* out 0x61, al; inc al; jmp start */
    static const uint8_t code[] = {0xe6, 0x61, 0xfe, 0xc0, 0xeb, 0xfa};
    setup(code, sizeof(code));
    resume();
    for (int i = 0; i < 200; i++) {
        wait_for(&pio_count, __atomic_load_n(&pio_count, __ATOMIC_SEQ_CST) + 1);
        pthread_mutex_lock(&lock);
        vcpu_kick(&v);
        pthread_mutex_unlock(&lock);
        if (i % 2 == 0)
            usleep(50);
        pthread_mutex_lock(&lock);
        vcpu_resume(&v);
        pthread_mutex_unlock(&lock);
    }
    wait_for(&pio_count, __atomic_load_n(&pio_count, __ATOMIC_SEQ_CST) + 1);
    T_TRUE(pause_within(10));
    done();
}

/* A pause may come in the middle of an instruction that is many exits; none of them is lost. */
static void string_output_survives_pauses(void)
{
    /* mov cx, 2000; mov dx, 0x61; cld; rep outsb; out 0x62, al; cli; hlt */
    static const uint8_t code[] = {0xb9, 0xd0, 0x07, 0xba, 0x61, 0x00, 0xfc,
                                   0xf3, 0x6e, 0xe6, 0x62, 0xfa, 0xf4};
    setup(code, sizeof(code));
    for (int i = 0; i < 2000 && __atomic_load_n(&pio_count, __ATOMIC_SEQ_CST) < 2001; i++) {
        resume();
        usleep(200);
        T_TRUE(pause_within(10));
    }
    T_EQ(pio_count, 2001);
    done();
}

static void an_idle_guest_can_be_paused(void)
{
    /* out 0x61, al; cli; hlt */
    static const uint8_t code[] = {0xe6, 0x61, 0xfa, 0xf4, 0xeb, 0xfd};
    setup(code, sizeof(code));
    resume();
    wait_for(&pio_count, 1);
    usleep(20000);
    T_TRUE(pause_within(10));
    done();
}

/* The host's table, with one leaf changed so that it is known again. */
static struct kvm_cpuid2 *other_cpuid(void)
{
    struct kvm_cpuid2 *t = kvm_supported_cpuid(&kvm);
    T_TRUE(t != NULL);
    for (uint32_t i = 0; i < t->nent; i++) {
        if (t->entries[i].function == 0x80000002)
            t->entries[i].eax = 0x41414141;
    }
    return t;
}

static uint32_t name_in_cpuid(void)
{
    cleanup_free struct kvm_cpuid2 *t = cpuid_new();
    T_EQ(ioctl(v.fd, KVM_GET_CPUID2, t), 0);
    for (uint32_t i = 0; i < t->nent; i++) {
        if (t->entries[i].function == 0x80000002)
            return t->entries[i].eax;
    }
    return 0;
}

static void registers_survive_a_save(void)
{
    static const uint8_t code[] = {0xe6, 0x61, 0xeb, 0xfe};
    cleanup_buf struct buf b = {0};
    struct kvm_regs r;
    setup(code, sizeof(code));
    resume();
    wait_for(&pio_count, 1);
    T_TRUE(pause_within(10));
    int rv = vcpu_save(&v, &kvm, &b);
    if (rv < 0) {
        printf("# this KVM cannot save a vCPU: %s\n", strerror(-rv));
        done();
        return;
    }
    T_EQ(ioctl(v.fd, KVM_GET_REGS, &r), 0);
    T_EQ(r.rip, CODE + 2); /* the port instruction is complete */
    r.rip = 0;
    T_EQ(ioctl(v.fd, KVM_SET_REGS, &r), 0);
    struct cursor c = cursor_on(b.data, b.len);
    cleanup_free struct kvm_cpuid2 *t = other_cpuid();
    rv = vcpu_load(&v, t, &c);
    if (rv < 0) {
        printf("# this KVM cannot restore a vCPU: %s\n", strerror(-rv));
    } else {
        T_EQ(ioctl(v.fd, KVM_GET_REGS, &r), 0);
        T_EQ(r.rip, CODE + 2);
        T_EQ(name_in_cpuid(), 0x41414141); /* what it was given, not what was saved */
    }
    for (size_t len = 0; len < b.len; len += 97) {
        c = cursor_on(b.data, len);
        T_TRUE(vcpu_load(&v, t, &c) < 0);
    }
    done();
}

T_MAIN(T_CASE(ports_reach_the_owner), T_CASE(device_memory_reaches_the_owner),
       T_CASE(pause_and_resume_again_and_again), T_CASE(a_kick_may_be_taken_back),
       T_CASE(string_output_survives_pauses), T_CASE(an_idle_guest_can_be_paused),
       T_CASE(registers_survive_a_save))
