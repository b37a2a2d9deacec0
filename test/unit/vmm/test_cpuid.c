/* SPDX-License-Identifier: Apache-2.0 */
#include "cpuid.h"
#include "t.h"

static struct kvm_cpuid2 *t;

static void add(uint32_t function, uint32_t index, uint32_t eax, uint32_t ebx, uint32_t ecx,
                uint32_t edx)
{
    t->entries[t->nent++] = (struct kvm_cpuid_entry2){
        .function = function, .index = index, .eax = eax, .ebx = ebx, .ecx = ecx, .edx = edx};
}

static const struct kvm_cpuid_entry2 *find(uint32_t function, uint32_t index)
{
    for (uint32_t i = 0; i < t->nent; i++) {
        if (t->entries[i].function == function && t->entries[i].index == index)
            return &t->entries[i];
    }
    return NULL;
}

static void setup(void)
{
    free(t);
    t = cpuid_new();
    t->nent = 0;
    add(1, 0, 0x800f12, 0xabcd0800, 0x20 | 0x8 | 0x8000, 0);
    add(7, 0, 0, 0xffffffff, 0xffffffff, 0xffffffff);
    add(0xa, 0, 0x7300404, 1, 2, 3);
    add(0xb, 0, 1, 9, 9, 99);
    add(0xb, 1, 1, 9, 9, 99);
    add(0xd, 0, 0x602e7, 2696, 2696, 0);
    add(0xd, 1, 0xf, 0x500, 0x1800, 0);
    add(0xd, 2, 256, 576, 0, 0);
    add(0xd, 9, 8, 2688, 0, 0);
    add(0x80000001, 0, 0, 0, 4 | 1u << 23, 0);
    add(0x8000000a, 0, 1, 8, 0, 0xff);
    add(0x80000008, 0, 0x3030, 0, 0x7007, 0);
}

static void hides_what_is_not_carried(void)
{
    setup();
    cpuid_policy(t, 0, 1, true);
    T_EQ(find(1, 0)->ecx & (1u << 5 | 1u << 3 | 1u << 15), 0);
    T_TRUE(find(1, 0)->ecx & 1u << 31);
    T_TRUE(find(1, 0)->ecx & 1u << 24);
    T_EQ(find(0x80000001, 0)->ecx, 0);
    T_EQ(find(0x8000000a, 0)->edx, 0);
    T_EQ(find(0xa, 0)->eax, 0);
    T_EQ(find(7, 0)->edx & (1u << 22 | 1u << 24 | 1u << 25), 0);
    T_EQ(find(0xd, 0)->eax, 7);
    T_EQ(find(0xd, 0)->ecx, 832);
    T_TRUE(find(0xd, 9) == NULL);
    T_EQ(cpuid_xcr0(t), 7);
}

static void numbers_the_processors(void)
{
    setup();
    cpuid_policy(t, 2, 4, false);
    T_EQ(find(1, 0)->ebx, 0x02040800);
    T_TRUE(find(1, 0)->edx & 1u << 28);
    T_EQ(find(1, 0)->ecx & 1u << 24, 0);
    T_EQ(find(0xb, 1)->eax, 2);
    T_EQ(find(0xb, 1)->ebx, 4);
    T_EQ(find(0xb, 0)->edx, 2);
    T_EQ(find(0x80000008, 0)->ecx, 3 | 2 << 12);
}

static void fingerprints_ignore_where_we_run(void)
{
    setup();
    cpuid_policy(t, 0, 2, true);
    uint32_t a = cpuid_fingerprint(t);
    setup();
    t->entries[0].ebx |= 0x55000000; /* the APIC id of the host's CPU */
    cpuid_policy(t, 0, 2, true);
    T_EQ(cpuid_fingerprint(t), a);
    setup();
    t->entries[0].eax++; /* another stepping */
    cpuid_policy(t, 0, 2, true);
    T_TRUE(cpuid_fingerprint(t) != a);
}

T_MAIN(T_CASE(hides_what_is_not_carried), T_CASE(numbers_the_processors),
       T_CASE(fingerprints_ignore_where_we_run))
