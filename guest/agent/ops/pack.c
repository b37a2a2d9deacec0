/* SPDX-License-Identifier: Apache-2.0 */
/* pack.c - PACK: a directory as an archive, as a job of a worker: it may block at every file. */
#include <errno.h>
#include <fcntl.h>

#include "agent/fs.h"
#include "agent/ops/ops.h"
#include "agent/worker.h"
#include "base/tar_pack.h"

struct pack {
    struct tar_pack tar;
    struct worker *worker;
};

static int pack_put(struct tar_pack *p, const uint8_t *data, size_t len)
{
    struct pack *k = container_of(p, struct pack, tar);
    while (len > 0) {
        size_t n = MIN(len, (size_t)WIRE_CHUNK);
        if (wire_put_frame(&k->worker->out, WIRE_DATA, data, n) < 0)
            return -ENOMEM;
        worker_flush(k->worker, false);
        data += n;
        len -= n;
    }
    return 0;
}

/* One job a process. */
static int pack_run(struct worker *w)
{
    static struct pack k;
    cleanup_fs_node struct fs_node n = {.fd = -1};
    k = (struct pack){.tar.put = pack_put, .worker = w};
    int rv = fs_resolve(w->account, w->req->path, &n);
    if (rv < 0)
        return rv;
    cleanup_close int fd = S_ISDIR(n.st.st_mode) ? fs_reopen(&n, O_RDONLY | O_DIRECTORY) : -ENOTDIR;
    rv = fd < 0 ? fd : tar_pack_directory(&k.tar, fd);
    if (rv == 0)
        (void)wire_put_frame(&w->out, WIRE_END, NULL, 0);
    return rv;
}

static void pack_start(struct conn *c, struct request *req)
{
    static const struct worker_job job = {pack_run};
    worker_start(c, req, &job);
}

const struct op op_pack = {
    .type = WIRE_PACK, .start = pack_start, .writable = worker_writable, .stop = worker_stop};
