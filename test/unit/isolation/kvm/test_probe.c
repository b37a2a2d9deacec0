/* SPDX-License-Identifier: Apache-2.0 */
#include "isolation/kvm/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <time.h>

#include "t.h"

/* Every machine gets an answer of one of the documented kinds, in time, with its reason. */
static void answers(void)
{
    struct kvm_probe_result res;
    struct error err = {0};
    struct timespec a, b;
    (void)clock_gettime(CLOCK_MONOTONIC, &a);
    int r = kvm_probe(&res, &err);
    (void)clock_gettime(CLOCK_MONOTONIC, &b);
    double ms = (double)(b.tv_sec - a.tv_sec) * 1e3 + (double)(b.tv_nsec - a.tv_nsec) / 1e6;
    printf("# %d, %llu instructions/s, %.1f ms: %s\n", r, (unsigned long long)res.rate, ms,
           r < 0 ? err.message : "usable");
    T_TRUE(ms < 2500);
    T_TRUE(r <= 0);
    if (r == 0)
        T_TRUE(res.rate >= KVM_PROBE_MIN_RATE && res.instructions == 1u << 23);
    else
        T_TRUE(err.code == ERROR_UNAVAILABLE && err.message[0] != '\0');
    if (r == -ERANGE)
        T_TRUE(res.rate > 0 && res.rate < KVM_PROBE_MIN_RATE);
}

static void leaves_nothing(void)
{
    struct kvm_probe_result res;
    int before = open("/dev/null", O_RDONLY | O_CLOEXEC);
    (void)close(before);
    (void)kvm_probe(&res, NULL);
    int after = open("/dev/null", O_RDONLY | O_CLOEXEC);
    (void)close(after);
    T_EQ(after, before);
    T_EQ(waitpid(-1, NULL, WNOHANG), -1);
    T_EQ(errno, ECHILD);
}

/* As an ordinary user without access to the device. */
static void names_permission(void)
{
    if (geteuid() != 0 || access("/dev/kvm", F_OK) < 0)
        return;
    pid_t pid = fork();
    if (pid == 0) {
        struct kvm_probe_result res;
        struct error err = {0};
        if (setgid(65534) < 0 || setuid(65534) < 0 || access("/dev/kvm", R_OK | W_OK) == 0)
            _exit(0);
        int r = kvm_probe(&res, &err);
        _exit(r == -EACCES && strcmp(err.message, "/dev/kvm: Permission denied") == 0 ? 0 : 1);
    }
    int status = 0;
    T_EQ(waitpid(pid, &status, 0), pid);
    T_EQ(status, 0);
}

T_MAIN(T_CASE(answers), T_CASE(leaves_nothing), T_CASE(names_permission))
