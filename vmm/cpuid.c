/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cpuid.c - the processor a guest sees.
 *
 * The rules follow from two questions. Does a snapshot carry the feature's state? If not, a
 * restored guest would find another's state or none, so the feature goes. Does the guest need the
 * feature to find its clock? Then it stays, or is set: KVM leaves some bits to its user
 * (Documentation/virt/kvm/ api.rst, KVM_GET_SUPPORTED_CPUID).
 *
 * Several leaves state the topology and must agree: Linux takes it from the first that it finds.
 */
#include "cpuid.h"

#include <string.h>

#include "crc32.h"

#define BIT(n)       (1u << (n))
#define CPUID_ALL    UINT32_MAX
#define CPUID_ANY    UINT32_MAX /* every subleaf */
#define CPUID_XSTATE 0x0du
#define CPUID_XCR0   0x7u /* x87, SSE, AVX: what fits the fixed save area */

enum cpuid_reg { EAX, EBX, ECX, EDX };

struct cpuid_rule {
    uint32_t function, index;
    enum cpuid_reg reg;
    uint32_t clear, set;
};

static const struct cpuid_rule cpuid_rules[] = {
    /* Nested virtualisation: its state is not saved, and no sandbox needs it. */
    {0x00000001, 0, ECX, BIT(5), 0},    /* VMX */
    {0x80000001, 0, ECX, BIT(2), 0},    /* SVM */
    {0x8000000a, 0, EAX, CPUID_ALL, 0}, /* SVM revision and features */
    {0x8000000a, 0, EBX, CPUID_ALL, 0},
    {0x8000000a, 0, EDX, CPUID_ALL, 0},
    /* MWAIT would spin on the host's core. */
    {0x00000001, 0, ECX, BIT(3), 0},
    /* A guest without this bit never looks for the paravirtual clock, its only time source. */
    {0x00000001, 0, ECX, 0, BIT(31)},
    /* Performance counters: their state is not saved, and they are a side channel. */
    {0x00000001, 0, ECX, BIT(15), 0}, /* PDCM */
    {0x0000000a, 0, EAX, CPUID_ALL, 0},
    {0x0000000a, 0, EBX, CPUID_ALL, 0},
    {0x0000000a, 0, ECX, CPUID_ALL, 0},
    {0x0000000a, 0, EDX, CPUID_ALL, 0},
    {0x80000001, 0, ECX, BIT(23) | BIT(24) | BIT(28), 0},
    {0x80000022, 0, EAX, CPUID_ALL, 0},
    {0x80000022, 0, EBX, CPUID_ALL, 0},
    /* Transactional memory: withdrawn by its maker, and a side channel. */
    {0x00000007, 0, EBX, BIT(4) | BIT(11), 0},
    /* State beyond AVX does not fit the 4 KiB save area of the snapshot (AMX), or doubles what
     * every restore copies (AVX-512, MPX, PKU). */
    {0x00000007, 0, EBX,
     BIT(14) | BIT(16) | BIT(17) | BIT(21) | BIT(26) | BIT(27) | BIT(28) | BIT(30) | BIT(31), 0},
    {0x00000007, 0, ECX, BIT(1) | BIT(3) | BIT(4) | BIT(6) | BIT(11) | BIT(12) | BIT(14), 0},
    {0x00000007, 0, EDX, BIT(2) | BIT(3) | BIT(8) | BIT(22) | BIT(23) | BIT(24) | BIT(25), 0},
    {0x00000007, 1, EAX, BIT(5) | BIT(21), 0},
    {0x0000001d, CPUID_ANY, EAX, CPUID_ALL, 0},
    {0x0000001e, CPUID_ANY, EBX, CPUID_ALL, 0},
    {CPUID_XSTATE, 0, EAX, ~CPUID_XCR0, 0},
    {CPUID_XSTATE, 0, EDX, CPUID_ALL, 0},
    {CPUID_XSTATE, 1, EAX, BIT(3) | BIT(4), 0}, /* XSAVES, XFD: supervisor state */
    {CPUID_XSTATE, 1, ECX, CPUID_ALL, 0},
    {CPUID_XSTATE, 1, EDX, CPUID_ALL, 0},
};

static uint32_t *cpuid_register(struct kvm_cpuid_entry2 *e, enum cpuid_reg reg)
{
    uint32_t *const regs[] = {&e->eax, &e->ebx, &e->ecx, &e->edx};
    return regs[reg];
}

struct kvm_cpuid2 *cpuid_new(void)
{
    struct kvm_cpuid2 *t = calloc(1, sizeof(*t) + CPUID_MAX * sizeof(t->entries[0]));
    if (t != NULL)
        t->nent = CPUID_MAX;
    return t;
}

static void cpuid_apply(struct kvm_cpuid_entry2 *e, const struct cpuid_rule *r)
{
    if (e->function != r->function || (r->index != CPUID_ANY && e->index != r->index))
        return;
    uint32_t *reg = cpuid_register(e, r->reg);
    *reg = (*reg & ~r->clear) | r->set;
}

/* Every vCPU is a core of one package, with one thread. */
static void cpuid_topology(struct kvm_cpuid_entry2 *e, unsigned int vcpu, unsigned int vcpus)
{
    unsigned int shift = 0;
    while ((1u << shift) < vcpus)
        shift++;
    switch (e->function) {
    case 0x01:
        e->ebx = (e->ebx & 0xffff) | vcpu << 24 | vcpus << 16;
        e->edx = vcpus > 1 ? e->edx | BIT(28) : e->edx & ~BIT(28);
        break;
    case 0x04: /* caches: no sharing between cores is claimed beyond the package */
        e->eax = (e->eax & 0x3fff) | (vcpus - 1) << 26;
        break;
    case 0x0b:
    case 0x1f:
        e->eax = e->index == 1 ? shift : 0;
        e->ebx = e->index == 0 ? 1 : e->index == 1 ? vcpus : 0;
        e->ecx = e->index | (e->index == 0 ? 1u << 8 : e->index == 1 ? 2u << 8 : 0);
        e->edx = vcpu;
        break;
    case 0x80000008:
        e->ecx = (vcpus - 1) | shift << 12;
        break;
    case 0x8000001e:
        e->eax = vcpu;
        e->ebx = vcpu;
        e->ecx = 0;
        break;
    default:
        break;
    }
}

/* The size of the enabled state must agree with the components left over. */
static void cpuid_xstate(struct kvm_cpuid2 *t)
{
    uint32_t size = 576, n = 0;
    for (uint32_t i = 0; i < t->nent; i++) {
        struct kvm_cpuid_entry2 *e = &t->entries[i];
        if (e->function == CPUID_XSTATE && e->index == 2 && (cpuid_xcr0(t) & 4) != 0)
            size = MAX(size, e->ebx + e->eax);
    }
    for (uint32_t i = 0; i < t->nent; i++) {
        struct kvm_cpuid_entry2 *e = &t->entries[i];
        if (e->function == CPUID_XSTATE && e->index > 2)
            continue; /* dropped */
        if (e->function == CPUID_XSTATE && e->index == 0)
            e->ebx = e->ecx = size;
        if (e->function == CPUID_XSTATE && e->index == 1)
            e->ebx = (e->eax & BIT(1)) != 0 ? size : 0;
        t->entries[n++] = *e;
    }
    t->nent = n;
}

void cpuid_policy(struct kvm_cpuid2 *t, unsigned int vcpu, unsigned int vcpus, bool tsc_deadline)
{
    for (uint32_t i = 0; i < t->nent; i++) {
        struct kvm_cpuid_entry2 *e = &t->entries[i];
        for (size_t r = 0; r < ARRAY_SIZE(cpuid_rules); r++)
            cpuid_apply(e, &cpuid_rules[r]);
        if (e->function == 1)
            e->ecx = tsc_deadline ? e->ecx | BIT(24) : e->ecx & ~BIT(24);
        cpuid_topology(e, vcpu, vcpus);
    }
    cpuid_xstate(t);
}

uint32_t cpuid_fingerprint(const struct kvm_cpuid2 *t)
{
    uint32_t crc = 0;
    for (uint32_t i = 0; i < t->nent; i++) {
        const struct kvm_cpuid_entry2 *e = &t->entries[i];
        const uint32_t row[] = {e->function, e->index, e->eax, e->ebx, e->ecx, e->edx};
        crc = crc32_update(crc, row, sizeof(row));
    }
    return crc;
}

uint64_t cpuid_xcr0(const struct kvm_cpuid2 *t)
{
    for (uint32_t i = 0; i < t->nent; i++) {
        const struct kvm_cpuid_entry2 *e = &t->entries[i];
        if (e->function == CPUID_XSTATE && e->index == 0)
            return e->eax & CPUID_XCR0;
    }
    return 0;
}
