/* SPDX-License-Identifier: Apache-2.0 */
#include "core/step.h"

#ifdef CORRAL_STEPS

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/base.h"
#include "base/log.h"

#define STEP_MAX 64

void step_reach(const char *room, const char *name)
{
    char step[STEP_MAX], wanted[STEP_MAX];
    const char *path = getenv("CORRAL_STEP_FILE");
    if (path == NULL)
        return;
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, wanted, sizeof(wanted) - 1);
    wanted[n > 0 ? n : 0] = '\0';
    (void)snprintf(step, sizeof(step), "%s/%s", room, name);
    if (strcmp(wanted, "list") == 0)
        log_info("step", "name=%s", step);
    else if (strncmp(wanted, "stop ", 5) == 0 && strcmp(wanted + 5, step) == 0)
        (void)raise(SIGSTOP);
    else if (strcmp(wanted, step) == 0)
        (void)raise(SIGKILL);
}

#endif
