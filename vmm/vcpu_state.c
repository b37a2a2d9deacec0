/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vcpu_state.c - saves and restores a vCPU. The order matters:
 *
 *   save     MP_STATE first (reading it may deliver a pending INIT or SIPI), VCPU_EVENTS last
 *   restore  CPUID before SREGS (which bits of CR4 and EFER are legal), XCRS before XSAVE, LAPIC
 *            before MSRS (TSC_DEADLINE is ignored unless the timer is in that mode), MP_STATE last
 */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "cpuid.h"
#include "state.h"
#include "vcpu.h"

#define VCPU_MAX_MSRS    256u
#define VCPU_DR6_MADE    0xffff0ff0u
#define VCPU_DR7_MADE    0x400u
#define MSR_HYPERV_FIRST 0x40000000u
#define MSR_HYPERV_LAST  0x400001ffu
#define MSR_TSC          0x10u
#define MSR_TSC_DEADLINE 0x6e0u

struct vcpu_msrs {
    uint32_t count, pad;
    struct kvm_msr_entry entry[VCPU_MAX_MSRS];
};
_Static_assert(sizeof(struct kvm_msrs) == 8, "vcpu_msrs has the layout of kvm_msrs");

/* One fixed-size structure per row: `get` when saving, `set` when restoring. */
struct vcpu_part {
    unsigned long get, set;
    size_t size;
};

static const struct vcpu_part vcpu_mp_state = {KVM_GET_MP_STATE, KVM_SET_MP_STATE,
                                               sizeof(struct kvm_mp_state)};
/* Restored in this order, see above. A guest without its XCRS lives until it next uses AVX, and one
 * without its XSAVE lives with wrong floating-point registers. */
static const struct vcpu_part vcpu_parts[] = {
    {KVM_GET_REGS, KVM_SET_REGS, sizeof(struct kvm_regs)},
    {KVM_GET_XCRS, KVM_SET_XCRS, sizeof(struct kvm_xcrs)},
    {KVM_GET_XSAVE, KVM_SET_XSAVE, sizeof(struct kvm_xsave)},
    {KVM_GET_SREGS, KVM_SET_SREGS, sizeof(struct kvm_sregs)},
    {KVM_GET_DEBUGREGS, KVM_SET_DEBUGREGS, sizeof(struct kvm_debugregs)},
    {KVM_GET_LAPIC, KVM_SET_LAPIC, sizeof(struct kvm_lapic_state)},
};
static const struct vcpu_part vcpu_events = {KVM_GET_VCPU_EVENTS, KVM_SET_VCPU_EVENTS,
                                             sizeof(struct kvm_vcpu_events)};

union vcpu_any {
    struct kvm_mp_state mp_state;
    struct kvm_regs regs;
    struct kvm_xcrs xcrs;
    struct kvm_xsave xsave;
    struct kvm_sregs sregs;
    struct kvm_debugregs debugregs;
    struct kvm_lapic_state lapic;
    struct kvm_vcpu_events events;
};

static int vcpu_save_part(int fd, const struct vcpu_part *p, struct buf *out)
{
    union vcpu_any any;
    memset(&any, 0, sizeof(any));
    if (ioctl(fd, p->get, &any) < 0)
        return -errno;
    state_put_blob(out, &any, p->size);
    return 0;
}

/* What a vCPU has that was just made; nearly every guest has nothing else. */
static bool vcpu_as_made(const struct vcpu_part *p, const union vcpu_any *any)
{
    static const struct kvm_debugregs made = {.dr6 = VCPU_DR6_MADE, .dr7 = VCPU_DR7_MADE};
    static const struct kvm_vcpu_events none;
    if (p->set == KVM_SET_DEBUGREGS)
        return memcmp(&any->debugregs, &made, sizeof(made)) == 0;
    if (p->set != KVM_SET_VCPU_EVENTS)
        return false;
    struct kvm_vcpu_events events = any->events;
    events.flags = 0; /* which fields are valid */
    return memcmp(&events, &none, sizeof(none)) == 0;
}

static int vcpu_load_part(int fd, const struct vcpu_part *p, struct cursor *c)
{
    union vcpu_any any;
    int rv = state_get_blob(c, &any, p->size);
    if (rv < 0 || vcpu_as_made(p, &any))
        return rv;
    return ioctl(fd, p->set, &any) < 0 ? -errno : 0;
}

/* The registers the kernel would save, without those of an interface no guest is offered. */
static int vcpu_list_msrs(const struct kvm *k, struct vcpu_msrs *m)
{
    cleanup_free struct kvm_msr_list *list = calloc(
        1, sizeof(*list) + VCPU_MAX_MSRS * sizeof(list->indices[0]));
    if (list == NULL)
        return -ENOMEM;
    list->nmsrs = VCPU_MAX_MSRS;
    if (ioctl(k->fd, KVM_GET_MSR_INDEX_LIST, list) < 0)
        return -errno;
    m->count = 0;
    for (uint32_t i = 0; i < list->nmsrs; i++) {
        uint32_t index = list->indices[i];
        if (index < MSR_HYPERV_FIRST || index > MSR_HYPERV_LAST)
            m->entry[m->count++].index = index;
    }
    return 0;
}

/* Reads all; one that the kernel lists but cannot read is left out. */
static int vcpu_get_msrs(int fd, struct vcpu_msrs *m)
{
    for (;;) {
        int got = ioctl(fd, KVM_GET_MSRS, m);
        if (got < 0)
            return -errno;
        if ((uint32_t)got == m->count)
            return 0;
        m->count--;
        memmove(&m->entry[got], &m->entry[got + 1],
                (m->count - (uint32_t)got) * sizeof(m->entry[0]));
    }
}

static int vcpu_save_msrs(int fd, const struct kvm *k, struct buf *out)
{
    cleanup_free struct vcpu_msrs *m = calloc(1, sizeof(*m));
    if (m == NULL)
        return -ENOMEM;
    int rv = vcpu_list_msrs(k, m);
    if (rv == 0)
        rv = vcpu_get_msrs(fd, m);
    if (rv < 0)
        return rv;
    (void)buf_u32(out, m->count);
    (void)buf_append(out, m->entry, m->count * sizeof(m->entry[0]));
    return 0;
}

/* A deadline that has passed reads as zero, which would stop the timer for good: fire at once. */
static void vcpu_fix_deadline(struct vcpu_msrs *m)
{
    uint64_t tsc = 0;
    for (uint32_t i = 0; i < m->count; i++) {
        if (m->entry[i].index == MSR_TSC)
            tsc = m->entry[i].data;
    }
    for (uint32_t i = 0; i < m->count; i++) {
        if (m->entry[i].index == MSR_TSC_DEADLINE && m->entry[i].data == 0)
            m->entry[i].data = tsc;
    }
}

static int vcpu_load_msrs(int fd, struct cursor *c)
{
    cleanup_free struct vcpu_msrs *m = calloc(1, sizeof(*m));
    if (m == NULL)
        return -ENOMEM;
    m->count = cursor_u32(c);
    if (m->count > VCPU_MAX_MSRS)
        return -EINVAL;
    const uint8_t *p = cursor_bytes(c, m->count * sizeof(m->entry[0]));
    if (p == NULL)
        return -EINVAL;
    memcpy(m->entry, p, m->count * sizeof(m->entry[0]));
    vcpu_fix_deadline(m);
    /* KVM stops at the first register it refuses. A guest with half of them would live on and be
     * subtly wrong, so that is a failure. */
    int done = ioctl(fd, KVM_SET_MSRS, m);
    if (done < 0)
        return -errno;
    return (uint32_t)done == m->count ? 0 : -EINVAL;
}

int vcpu_save(const struct vcpu *v, const struct kvm *k, struct buf *out)
{
    int tsc_khz = ioctl(v->fd, KVM_GET_TSC_KHZ, 0);
    int rv = vcpu_save_part(v->fd, &vcpu_mp_state, out);
    (void)buf_u32(out, tsc_khz > 0 ? (uint32_t)tsc_khz : 0);
    for (size_t i = 0; rv == 0 && i < ARRAY_SIZE(vcpu_parts); i++)
        rv = vcpu_save_part(v->fd, &vcpu_parts[i], out);
    if (rv == 0)
        rv = vcpu_save_msrs(v->fd, k, out);
    if (rv == 0)
        rv = vcpu_save_part(v->fd, &vcpu_events, out);
    return rv;
}

int vcpu_load(struct vcpu *v, struct kvm_cpuid2 *cpuid, struct cursor *c)
{
    struct kvm_mp_state mp_state;
    int rv = state_get_blob(c, &mp_state, sizeof(mp_state));
    /* Of the policy, and not of the file: which features a guest has is not for a file to say. It
     * is the table that the guest has read, or the fingerprint would be another. */
    if (rv == 0 && ioctl(v->fd, KVM_SET_CPUID2, cpuid) < 0)
        rv = -errno;
    uint32_t tsc_khz = cursor_u32(c);
    /* On a host with another frequency KVM scales the TSC, or refuses here. */
    if (rv == 0 && tsc_khz != 0 && ioctl(v->fd, KVM_SET_TSC_KHZ, (unsigned long)tsc_khz) < 0)
        rv = -errno;
    for (size_t i = 0; rv == 0 && i < ARRAY_SIZE(vcpu_parts); i++)
        rv = vcpu_load_part(v->fd, &vcpu_parts[i], c);
    if (rv == 0)
        rv = vcpu_load_msrs(v->fd, c);
    if (rv == 0)
        rv = vcpu_load_part(v->fd, &vcpu_events, c);
    if (rv == 0 && !cursor_end(c))
        rv = -EINVAL;
    /* Without it a second processor would never run again; the first one is made like this. */
    bool made = v->index == 0 && mp_state.mp_state == KVM_MP_STATE_RUNNABLE;
    if (rv == 0 && !made && ioctl(v->fd, KVM_SET_MP_STATE, &mp_state) < 0)
        rv = -errno;
    return rv;
}
