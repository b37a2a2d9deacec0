/* SPDX-License-Identifier: Apache-2.0 */
/*
 * skip.c - runs a VMM that leaves one step of a restore out, so that the suite can prove that it
 * would notice. The VMM itself knows nothing of this: its system calls are watched until it makes
 * its first thread.
 *
 *   skip ITEM COMMAND...      ITEM is a name of the table below
 */
#include <errno.h>
#include <linux/kvm.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct item {
    const char *name;
    unsigned long request; /* the ioctl that is not made */
    uint32_t msr;          /* of KVM_SET_MSRS: only this one is left out */
} items[] = {
    {"nothing", 0, 0},
    {"lapic", KVM_SET_LAPIC, 0},
    {"irqchip", KVM_SET_IRQCHIP, 0},
    {"clock", KVM_SET_CLOCK, 0},
    {"tsc", KVM_SET_MSRS, 0x10},
    {"deadline", KVM_SET_MSRS, 0x6e0},
    {"mp_state", KVM_SET_MP_STATE, 0},
    {"xcrs", KVM_SET_XCRS, 0},
    {"msrs", KVM_SET_MSRS, 0},
};

/* Puts a copy of the first entry in the place of the one to be left out. */
static void leave_out_msr(pid_t pid, unsigned long at, uint32_t msr)
{
    long count = ptrace(PTRACE_PEEKDATA, pid, at, NULL) & 0xffffffff;
    unsigned long first = at + sizeof(struct kvm_msrs);
    for (long i = 1; i < count; i++) {
        unsigned long entry = first + (unsigned long)i * sizeof(struct kvm_msr_entry);
        if ((uint32_t)ptrace(PTRACE_PEEKDATA, pid, entry, NULL) != msr)
            continue;
        for (size_t off = 0; off < sizeof(struct kvm_msr_entry); off += sizeof(long))
            ptrace(PTRACE_POKEDATA, pid, entry + off,
                   ptrace(PTRACE_PEEKDATA, pid, first + off, NULL));
    }
}

/* At the entry of a system call; 1 when its result must be made up. */
static int enter(pid_t pid, const struct item *item)
{
    struct user_regs_struct r;
    ptrace(PTRACE_GETREGS, pid, NULL, &r);
    if (r.orig_rax == SYS_clone || r.orig_rax == SYS_clone3)
        return -1;
    if (r.orig_rax != SYS_ioctl || r.rsi != item->request || item->request == 0)
        return 0;
    if (item->msr != 0) {
        leave_out_msr(pid, r.rdx, item->msr);
        return 0;
    }
    r.orig_rax = (unsigned long long)-1;
    ptrace(PTRACE_SETREGS, pid, NULL, &r);
    return 1;
}

static void leave(pid_t pid, const struct item *item)
{
    struct user_regs_struct r;
    unsigned int count = 0;
    ptrace(PTRACE_GETREGS, pid, NULL, &r);
    if (item->request == KVM_SET_MSRS)
        count = (unsigned int)ptrace(PTRACE_PEEKDATA, pid, r.rdx, NULL);
    r.rax = count;
    ptrace(PTRACE_SETREGS, pid, NULL, &r);
}

static void trace(pid_t pid, const struct item *item)
{
    int status, inside = 0, made_up = 0;
    waitpid(pid, &status, 0);
    ptrace(PTRACE_SETOPTIONS, pid, NULL, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
    for (;;) {
        int sig = WIFSTOPPED(status) ? WSTOPSIG(status) : 0;
        if (sig == (SIGTRAP | 0x80)) {
            if (!inside)
                made_up = enter(pid, item);
            else if (made_up)
                leave(pid, item);
            inside = !inside;
            if (made_up < 0)
                break;
        }
        ptrace(PTRACE_SYSCALL, pid, NULL, 0);
        if (waitpid(pid, &status, 0) < 0 || !WIFSTOPPED(status))
            return;
    }
    ptrace(PTRACE_DETACH, pid, NULL, 0);
    waitpid(pid, &status, 0);
}

int main(int argc, char **argv)
{
    const struct item *item = NULL;
    for (size_t i = 0; argc > 2 && i < sizeof(items) / sizeof(items[0]); i++) {
        if (strcmp(items[i].name, argv[1]) == 0)
            item = &items[i];
    }
    if (item == NULL)
        return 2;
    pid_t pid = fork();
    if (pid == 0) {
        ptrace(PTRACE_TRACEME, 0, NULL, NULL);
        execv(argv[2], argv + 2);
        _exit(127);
    }
    trace(pid, item);
    return 0;
}
