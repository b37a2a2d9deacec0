/* SPDX-License-Identifier: Apache-2.0 */
#include "core/memory.h"

#include "base/base.h"
#include "t.h"

static void what_the_kernel_says(void)
{
    T_EQ(memory_available_in(
             "MemTotal:  8 kB\nMemFree: 1 kB\nMemAvailable:   20480 kB\nBuffers: 1 kB\n"),
         20480u << 10);
    T_EQ(memory_available_in("MemAvailable: 0 kB\n"), 0);
    uint64_t now = memory_available();
    T_TRUE(now > 0 && now < UINT64_MAX);
}

static void what_it_does_not_say(void)
{
    static const char *const texts[] = {"", "MemAvailable:", "MemAvailable: 12",
                                        "MemAvailable: 12 MB", "NoMemAvailable: 12 kB\n"};
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        T_TRUE(memory_available_in(texts[i]) == UINT64_MAX);
}

T_MAIN(T_CASE(what_the_kernel_says), T_CASE(what_it_does_not_say))
