/* SPDX-License-Identifier: Apache-2.0 */
/* terminal.c - see terminal.h. The child's end is opened through the agent's, not by its name: a
 * name may lead into another devpts. */
#include "agent/process/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>

#define TERMINAL_END 4 /* Ctrl-D, when the terminal does not say another */

int terminal_resize(int fd, uint16_t columns, uint16_t rows)
{
    const struct winsize size = {.ws_col = columns != 0 ? columns : TERMINAL_COLUMNS,
                                 .ws_row = rows != 0 ? rows : TERMINAL_ROWS};
    return ioctl(fd, TIOCSWINSZ, &size) < 0 ? -errno : 0;
}

int terminal_open(const struct account *a, uint16_t columns, uint16_t rows, int *ret_read,
                  int *ret_write, int *ret_child)
{
    cleanup_close int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
    if (master < 0 || unlockpt(master) < 0)
        return -errno;
    cleanup_close int child = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (child < 0)
        return -errno;
    if (geteuid() == 0 && fchown(child, a->uid, (gid_t)-1) < 0)
        return -errno;
    int rv = terminal_resize(master, columns, rows);
    if (rv < 0)
        return rv;
    cleanup_close int writer = fcntl(master, F_DUPFD_CLOEXEC, 3);
    if (writer < 0)
        return -errno;
    *ret_read = TAKE_FD(master);
    *ret_write = TAKE_FD(writer);
    *ret_child = TAKE_FD(child);
    return 0;
}

int terminal_put_end(int fd)
{
    struct termios t;
    unsigned char end = TERMINAL_END;
    if (tcgetattr(fd, &t) == 0 && t.c_cc[VEOF] != 0)
        end = t.c_cc[VEOF];
    return write(fd, &end, 1) < 0 ? -errno : 0;
}
