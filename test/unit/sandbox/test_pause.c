/* SPDX-License-Identifier: Apache-2.0 */
/* test_pause.c - a running sandbox is put away and comes back, and every step may fail. The driver
 * and the store are the test itself, step by step. */
#include "sandbox/pause.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/timefmt.h"
#include "base/wire_codec.h"
#include "sandbox/moves.h"
#include "t_loop.h"

static uv_loop_t loop;
static struct isolation_driver driver;
static struct instance instance;
static struct sandbox *sb;
static instance_done driver_done; /* owed */
static void (*store_done)(struct store_wait *w, int status);
static int pauses, resumes, stops, changes, refuse, told, quota;
static int stores, aways, forgets, creates, starts; /* of one that stores */
static struct instance_spec spec;                   /* of the last create; `from` is its snapshot */
static char from[64];
static enum error_code told_code;
static struct sandbox_wait wait;
static const struct error broken = {.code = ERROR_SANDBOX_FAILED, .message = "it does not answer"};

static int fake_pause(struct instance *i, instance_done done)
{
    pauses++;
    driver_done = done;
    return refuse;
}

static int fake_resume(struct instance *i, instance_done done)
{
    resumes++;
    driver_done = done;
    return refuse;
}

static void fake_stop(struct instance *i)
{
    stops++;
}

static int fake_store(struct instance *i, instance_done done)
{
    stores++;
    driver_done = done;
    i->stored_bytes = 5000;
    return refuse;
}

static void fake_put_away(struct instance *i)
{
    aways++;
}

static void fake_forget_stored(struct instance *i)
{
    forgets++;
}

static struct instance *fake_create(struct isolation_driver *d, const struct instance_spec *s,
                                    const struct instance_events *e, void *ctx)
{
    creates++;
    spec = *s;
    (void)snprintf(from, sizeof(from), "%s", s->snapshot_dir != NULL ? s->snapshot_dir : "");
    instance = (struct instance){.driver = d, .events = e, .ctx = ctx};
    return &instance;
}

static int fake_start(struct instance *i)
{
    starts++;
    return refuse;
}

static const struct isolation_ops ops_store = {.name = "store",
                                               .abilities = ISOLATION_STORES,
                                               .create = fake_create,
                                               .start = fake_start,
                                               .stop = fake_stop,
                                               .resume = fake_resume,
                                               .store = fake_store,
                                               .put_away = fake_put_away,
                                               .forget_stored = fake_forget_stored};
static const struct isolation_ops ops = {.name = "fake",
                                         .abilities = ISOLATION_FREEZES,
                                         .stop = fake_stop,
                                         .pause = fake_pause,
                                         .resume = fake_resume};
static const struct isolation_ops ops_without = {.name = "plain", .stop = fake_stop};
static const struct sandbox_host host = {.driver = &driver, .pause_expiry_s = 1000};

static void on_phase(struct sandbox *s, enum sandbox_phase old)
{
}

static void on_change(struct sandbox *s)
{
    changes++;
}

static void on_commit(struct sandbox *s, void (*then)(struct store_wait *w, int status))
{
    store_done = then;
}

static int on_may_pause(struct sandbox *s, struct error *err)
{
    return quota == 0 ? 0 : error_set(err, ERROR_QUOTA_EXCEEDED, "enough");
}

static const struct sandbox_events events = {.phase = on_phase,
                                             .changed = on_change,
                                             .warmed = on_change,
                                             .ended = on_change,
                                             .commit = on_commit,
                                             .may_pause = on_may_pause};

static void on_told(struct sandbox_wait *w, struct sandbox *s, const struct error *err)
{
    told++;
    told_code = err != NULL ? err->code : ERROR_NONE;
}

static void set_up(const struct isolation_ops *use)
{
    t_loop_open(&loop);
    driver = (struct isolation_driver){.ops = use, .loop = &loop};
    instance = (struct instance){.driver = &driver};
    pauses = resumes = stops = changes = refuse = told = quota = 0;
    stores = aways = forgets = creates = starts = 0;
    store_done = NULL;
    wait = (struct sandbox_wait){.done = on_told};
    list_init(&wait.node);
    sb = sandbox_alloc(&events, NULL);
    T_TRUE(sb != NULL);
    sb->host = &host;
    sb->dir = strdup("/nowhere");
    agent_target_init(&sb->target, &loop, "/nowhere");
    sb->instance = &instance;
    sb->claimed = true;
    sb->phase = SANDBOX_RUNNING;
    sb->status = SANDBOX_STATUS_RUNNING;
    sb->owner.timeout_s = 100;
    sandbox_set_timeout(sb, 100);
    changes = 0;
}

/* The driver has stopped it, its files are counted: the record is on its way. */
static void freeze(void)
{
    struct error err;
    T_EQ(sandbox_pause(sb, &wait, &err), 0);
    T_EQ(sb->phase, SANDBOX_PAUSING);
    driver_done(sb, 0, NULL);
    T_UNTIL(&loop, store_done != NULL);
    T_EQ(sb->status, SANDBOX_STATUS_STOPPED);
    T_EQ(told, 0);
}

static void commit(int status)
{
    void (*then)(struct store_wait * w, int status) = store_done;
    store_done = NULL;
    then(&sb->commit, status);
}

static void put_away(void)
{
    freeze();
    commit(0);
    T_EQ(sb->phase, SANDBOX_PAUSED);
    T_EQ(told, 1);
    T_EQ(told_code, ERROR_NONE);
    told = 0;
}

static void tear_down(void)
{
    if (sb->phase < SANDBOX_STOPPING)
        sandbox_end(sb, SANDBOX_STATUS_TERMINATED, NULL, NULL);
    T_EQ(stops, 1);
    T_UNTIL(&loop, !sb->expiry_active && !sb->measuring && !sb->op_active);
    sb->phase = SANDBOX_ENDED;
    sb->instance = NULL;
    sandbox_free(sb);
    t_loop_close(&loop);
}

static void it_is_paused_when_its_record_is_on_disk(void)
{
    set_up(&ops);
    put_away();
    T_TRUE(sandbox_is_paused(sb));
    T_TRUE(sb->paused_ms > 0);
    T_TRUE(sb->timeout_at_ms > sb->paused_ms + 999000);
    tear_down();
}

static void a_driver_that_cannot_says_so(void)
{
    struct error err;
    set_up(&ops_without);
    T_TRUE(!sandbox_can_pause(&driver));
    T_TRUE(sandbox_pause(sb, NULL, &err) < 0);
    T_EQ(err.code, ERROR_UNSUPPORTED);
    tear_down();
    set_up(&ops);
    refuse = -EINVAL;
    T_TRUE(sandbox_pause(sb, NULL, &err) < 0);
    T_EQ(err.code, ERROR_SANDBOX_FAILED);
    T_EQ(sb->phase, SANDBOX_RUNNING);
    refuse = -EBUSY; /* a snapshot is being taken */
    T_TRUE(sandbox_pause(sb, NULL, &err) < 0);
    T_EQ(err.code, ERROR_CONFLICT);
    tear_down();
}

static void one_that_cannot_be_paused_runs_on(void)
{
    struct error err;
    set_up(&ops);
    T_EQ(sandbox_pause(sb, &wait, &err), 0);
    driver_done(sb, -EIO, &broken);
    T_EQ(sb->phase, SANDBOX_RUNNING);
    T_EQ(sb->status, SANDBOX_STATUS_RUNNING);
    T_EQ(told, 1);
    T_EQ(told_code, ERROR_SANDBOX_FAILED);
    T_EQ(changes, 0);
    tear_down();
}

static void one_whose_record_is_lost_runs_on(void)
{
    set_up(&ops);
    freeze();
    commit(-ENOSPC);
    T_EQ(resumes, 1);
    T_EQ(sb->phase, SANDBOX_PAUSING);
    driver_done(sb, 0, NULL);
    T_EQ(sb->phase, SANDBOX_RUNNING);
    T_EQ(sb->status, SANDBOX_STATUS_RUNNING);
    T_EQ(sb->paused_ms, 0);
    T_EQ(told_code, ERROR_STORAGE_FAILED);
    T_EQ(changes, 2); /* the record says again what is true */
    tear_down();
    set_up(&ops); /* and when not even that works, it has failed */
    freeze();
    commit(-EIO);
    driver_done(sb, -EIO, &broken);
    T_EQ(sb->status, SANDBOX_STATUS_FAILED);
    T_EQ(told, 1);
    tear_down();
}

static void one_that_cannot_be_resumed_stays_paused(void)
{
    set_up(&ops);
    put_away();
    sandbox_resume(sb, 0, &wait);
    T_EQ(sb->phase, SANDBOX_RESUMING);
    driver_done(sb, -EIO, &broken);
    T_EQ(sb->phase, SANDBOX_PAUSED);
    T_EQ(told, 1);
    T_EQ(told_code, ERROR_SANDBOX_FAILED);
    refuse = -EINVAL;
    sandbox_resume(sb, 0, &wait);
    T_EQ(sb->phase, SANDBOX_PAUSED);
    T_EQ(told, 2);
    T_TRUE(sandbox_is_paused(sb));
    tear_down();
}

static void a_resume_in_the_midst_of_a_pause_follows_it(void)
{
    struct sandbox_wait again = {.done = on_told};
    set_up(&ops);
    freeze();
    sandbox_resume(sb, 50, &again);
    T_EQ(resumes, 0);
    commit(0);
    T_EQ(resumes, 1);
    T_EQ(sb->phase, SANDBOX_RESUMING);
    T_EQ(sb->resume_s, 50);
    T_EQ(told, 1);
    driver_done(sb, -EIO, &broken);
    T_EQ(told, 2);
    tear_down();
}

static void an_end_in_between_is_final(void)
{
    struct error err;
    set_up(&ops);
    T_EQ(sandbox_pause(sb, &wait, &err), 0);
    sandbox_end(sb, SANDBOX_STATUS_TERMINATED, NULL, NULL);
    T_EQ(told, 1);
    T_EQ(told_code, ERROR_INVALID_STATE);
    driver_done(sb, 0, NULL);
    T_TRUE(store_done == NULL);
    tear_down();
    set_up(&ops);
    freeze();
    sandbox_end(sb, SANDBOX_STATUS_TERMINATED, NULL, NULL);
    T_EQ(sb->status, SANDBOX_STATUS_TERMINATED);
    tear_down();
    set_up(&ops);
    put_away();
    sandbox_resume(sb, 0, &wait);
    sandbox_end(sb, SANDBOX_STATUS_TERMINATED, NULL, NULL);
    T_EQ(told, 1);
    driver_done(sb, 0, NULL);
    T_EQ(sb->phase, SANDBOX_STOPPING);
    tear_down();
}

static void its_time_out_pauses_it_or_ends_it(void)
{
    set_up(&ops);
    sb->owner.life.pause_at_timeout = true;
    sandbox_set_timeout(sb, 0);
    T_EQ(sb->phase, SANDBOX_PAUSING);
    driver_done(sb, -EIO, &broken); /* it is not tried again at once */
    T_EQ(sb->phase, SANDBOX_RUNNING);
    sandbox_check_expiry(sb);
    T_EQ(pauses, 1);
    sb->pause_again_ms = 0;
    sandbox_check_expiry(sb);
    T_EQ(pauses, 2);
    tear_down();
    set_up(&ops);
    sb->owner.life.pause_at_timeout = true;
    quota = 1;
    sandbox_set_timeout(sb, 0);
    T_EQ(sb->status, SANDBOX_STATUS_TIMED_OUT);
    tear_down();
}

static void without_traffic_it_pauses(void)
{
    set_up(&ops);
    sb->owner.life.idle_s = 5;
    sb->target.used_ms = uv_now(&loop);
    sandbox_check_expiry(sb);
    T_EQ(pauses, 0);
    sb->net.rx = 1; /* its own connections count */
    sb->target.used_ms = uv_now(&loop) - 6000;
    sandbox_check_expiry(sb);
    T_EQ(pauses, 0);
    sb->target.used_ms = uv_now(&loop) - 6000;
    sandbox_check_expiry(sb);
    T_EQ(pauses, 1);
    tear_down();
}

/* --- one that is stored: its instance ends, and another goes on --- */

static void ended(void)
{
    sb->instance->events->stopped(sb);
}

/* It runs, as one that fake_create has made. */
static void set_up_store(void)
{
    set_up(&ops_store);
    T_TRUE(sandbox_instance(sb, NULL) == &instance);
    creates = 0;
}

static void store(void)
{
    struct error err;
    T_EQ(sandbox_pause(sb, &wait, &err), 0);
    driver_done(sb, 0, NULL);
    T_TRUE(store_done != NULL);
    T_EQ(sb->disk_bytes, 5000);
    commit(0);
    T_EQ(sb->phase, SANDBOX_PAUSING); /* until nothing is left */
    T_EQ(aways, 1);
    T_EQ(told, 0);
    ended();
    T_EQ(sb->phase, SANDBOX_PAUSED);
    T_TRUE(sb->stored && sb->instance == NULL);
    T_EQ(told, 1);
    T_EQ(told_code, ERROR_NONE);
    told = aways = 0;
}

/* Whatever has ended the sandbox, its files go as well. */
static void tear_down_store(void)
{
    if (sb->phase < SANDBOX_STOPPING)
        sandbox_end(sb, SANDBOX_STATUS_TERMINATED, NULL, NULL);
    T_EQ(stops, 1);
    ended();
    T_UNTIL(&loop, sb->phase == SANDBOX_ENDED);
    T_TRUE(sb->instance == NULL);
    sandbox_free(sb);
    t_loop_close(&loop);
}

static void one_that_is_stored_leaves_no_instance(void)
{
    set_up_store();
    store();
    tear_down_store();
    T_EQ(creates, 1); /* the end of the files is that of an instance */
    T_TRUE(spec.stored);
}

static void one_that_cannot_be_stored_runs_on(void)
{
    struct error err;
    set_up_store();
    T_EQ(sandbox_pause(sb, &wait, &err), 0);
    driver_done(sb, -ENOSPC, &broken);
    T_EQ(sb->phase, SANDBOX_RUNNING);
    T_EQ(told, 1);
    T_EQ(sandbox_pause(sb, &wait, &err), 0);
    driver_done(sb, 0, NULL);
    commit(-ENOSPC);
    T_EQ(resumes, 1);
    T_EQ(aways, 0);
    driver_done(sb, 0, NULL);
    T_EQ(sb->phase, SANDBOX_RUNNING);
    T_TRUE(!sb->stored);
    T_EQ(forgets, 1);
    tear_down_store();
}

static void an_instance_that_ends_in_a_pause(void)
{
    struct error err;
    set_up_store(); /* before its files are complete */
    T_EQ(sandbox_pause(sb, &wait, &err), 0);
    instance.events->exited(sb, "the VMM was killed");
    T_EQ(sb->status, SANDBOX_STATUS_FAILED);
    T_STR(sb->reason, "the VMM was killed");
    tear_down_store();
    set_up_store(); /* and after */
    T_EQ(sandbox_pause(sb, &wait, &err), 0);
    driver_done(sb, 0, NULL);
    instance.events->exited(sb, "the VMM was killed");
    T_EQ(sb->phase, SANDBOX_PAUSING);
    commit(0);
    ended();
    T_EQ(sb->phase, SANDBOX_PAUSED);
    tear_down_store();
}

static void its_end_while_it_is_put_away(void)
{
    struct error err;
    set_up_store();
    T_EQ(sandbox_pause(sb, &wait, &err), 0);
    driver_done(sb, 0, NULL);
    commit(0);
    sandbox_end(sb, SANDBOX_STATUS_TERMINATED, NULL, NULL);
    T_EQ(told_code, ERROR_INVALID_STATE);
    ended(); /* that of the first instance, which has kept the files */
    T_EQ(creates, 1);
    T_EQ(stops, 2);
    stops = 1;
    tear_down_store();
}

static void a_failed_resumption_ends_what_it_started(void)
{
    set_up_store();
    store();
    for (int i = 0; i < 4; i++) {
        creates = starts = told = 0;
        sandbox_resume(sb, 0, &wait);
        T_EQ(sb->phase, SANDBOX_RESUMING);
        T_TRUE(spec.stored && from[0] == '\0');
        if (i == 0)
            instance.events->started(sb, -EIO, &broken);
        else if (i == 1)
            instance.events->exited(sb, broken.message);
        else
            instance.events->started(sb, 0, NULL); /* and no agent is there */
        if (i == 3)
            instance.events->exited(sb, broken.message);
        T_UNTIL(&loop, aways == i + 1);
        T_EQ(sb->phase, SANDBOX_PAUSING);
        T_EQ(told, 0);
        T_UNTIL(&loop, !sb->op_active);
        ended();
        T_EQ(sb->phase, SANDBOX_PAUSED);
        T_EQ(told, 1);
        T_EQ(told_code, i < 2 || i == 3 ? ERROR_SANDBOX_FAILED : told_code);
        T_TRUE(told_code != ERROR_NONE && sb->stored);
        T_EQ(sb->status, SANDBOX_STATUS_STOPPED);
    }
    refuse = -EAGAIN; /* it cannot even be started */
    sandbox_resume(sb, 0, &wait);
    ended();
    T_EQ(sb->phase, SANDBOX_PAUSED);
    tear_down_store();
}

/* --- with an agent --- */

static int listener = -1, peer = -1;

static void listen_for(void)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    char dir[] = "/tmp/corral-pause-XXXXXX";
    T_TRUE(t_mkdtemp(dir));
    (void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/sock", dir);
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    T_EQ(bind(listener, (struct sockaddr *)&addr, sizeof(addr)), 0);
    T_EQ(listen(listener, 8), 0);
    free(sb->socket_path);
    sb->socket_path = strdup(addr.sun_path);
    agent_target_init(&sb->target, &loop, sb->socket_path);
}

static bool accepted(void)
{
    peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    return peer >= 0;
}

/* Takes the request, which must be of that type, and answers; returns what is behind its header. */
static struct buf serve(enum wire_type type, enum wire_type answer, const void *payload, size_t len)
{
    uint8_t text[1024];
    struct buf b = {0}, got = {0};
    ssize_t n = -1;
    T_UNTIL(&loop, accepted());
    T_UNTIL(&loop, recv(peer, text, sizeof(text), 0) > 0); /* the greeting */
    T_EQ(send(peer, "OK 1\n", 5, 0), 5);
    T_UNTIL(&loop, (n = recv(peer, text, sizeof(text), 0)) >= (ssize_t)WIRE_HEADER_SIZE);
    T_EQ(text[4], type);
    T_EQ(buf_append(&got, text + WIRE_HEADER_SIZE, (size_t)n - WIRE_HEADER_SIZE), 0);
    T_EQ(wire_put_frame(&b, answer, payload, len), 0);
    T_EQ(send(peer, b.data, b.len, 0), (ssize_t)b.len);
    T_UNTIL(&loop, recv(peer, text, 1, 0) == 0);
    (void)close(peer);
    buf_done(&b);
    return got;
}

/* The flags of its CONFIGURE: no host name, no variables, those bytes are the last. */
static uint32_t serve_resume(void)
{
    instance.events->started(sb, 0, NULL);
    T_EQ(sb->phase, SANDBOX_CONFIGURING);
    cleanup_buf struct buf b = serve(WIRE_CONFIGURE, WIRE_CONFIGURED, "\0\0\0\0\0\0\0\0", 8);
    struct cursor c = cursor_on(b.data, b.len);
    T_TRUE(cursor_u64(&c) > 0);
    T_EQ(wire_get_span(&c).len, 32);
    T_EQ(cursor_u32(&c), 0);
    T_EQ(cursor_u32(&c), 0);
    uint32_t flags = cursor_u32(&c);
    T_TRUE(cursor_end(&c));
    T_UNTIL(&loop, store_done != NULL);
    T_EQ(sb->status, SANDBOX_STATUS_RUNNING);
    T_EQ(sb->phase, SANDBOX_CONFIGURING);
    T_EQ(forgets, 0); /* until the record is on disk */
    return flags;
}

static void it_wakes_up_as_what_it_was(void)
{
    set_up_store();
    store();
    listen_for();
    sandbox_resume(sb, 0, &wait);
    T_EQ(serve_resume() & WIRE_CONFIGURE_KEEP, WIRE_CONFIGURE_KEEP);
    commit(-EIO); /* then it is where it was, and what was started ends */
    T_EQ(sb->phase, SANDBOX_PAUSING);
    T_EQ(sb->status, SANDBOX_STATUS_STOPPED);
    ended();
    T_EQ(told_code, ERROR_STORAGE_FAILED);
    T_TRUE(sb->stored);
    sandbox_resume(sb, 0, &wait);
    T_EQ(serve_resume() & WIRE_CONFIGURE_RESEED, 0);
    commit(0);
    T_EQ(sb->phase, SANDBOX_RUNNING);
    T_EQ(forgets, 1);
    T_TRUE(!sb->stored && !sandbox_is_paused(sb));
    T_EQ(told_code, ERROR_NONE);
    (void)close(listener);
    tear_down_store();
}

static void a_rollback_is_a_pause_and_another_start(void)
{
    struct error err;
    set_up_store();
    listen_for();
    sandbox_set_timeout(sb, 50);
    T_EQ(sandbox_rollback(sb, "/snapshot", &wait, &err), 0);
    T_TRUE(sandbox_rollback(sb, "/other", &wait, &err) < 0);
    T_EQ(err.code, ERROR_CONFLICT);
    driver_done(sb, 0, NULL);
    commit(0);
    ended();
    T_EQ(sb->phase, SANDBOX_RESUMING);
    T_STR(from, "/snapshot");
    T_TRUE(serve_resume() & WIRE_CONFIGURE_RESEED);
    commit(0);
    T_EQ(sb->phase, SANDBOX_RUNNING);
    T_TRUE(sb->timeout_at_ms <= time_now_ms() + 50000);
    T_EQ(told, 1);
    T_EQ(forgets, 1);
    /* One that cannot be: it runs on where it was. */
    told = forgets = 0;
    T_EQ(sandbox_rollback(sb, "/broken", &wait, &err), 0);
    driver_done(sb, 0, NULL);
    commit(0);
    ended();
    instance.events->started(sb, -EIO, &broken);
    ended();
    T_EQ(told, 1);
    T_EQ(told_code, ERROR_SANDBOX_FAILED);
    T_EQ(sb->phase, SANDBOX_RESUMING);
    T_STR(from, "");
    T_EQ(serve_resume() & WIRE_CONFIGURE_RESEED, 0);
    commit(0);
    T_EQ(sb->phase, SANDBOX_RUNNING);
    /* One whose pause fails runs on as well. */
    told = 0;
    T_EQ(sandbox_rollback(sb, "/snapshot", &wait, &err), 0);
    driver_done(sb, -ENOSPC, &broken);
    T_EQ(sb->phase, SANDBOX_RUNNING);
    T_EQ(told, 1);
    T_EQ(told_code, ERROR_SANDBOX_FAILED);
    (void)close(listener);
    tear_down_store();
}

static void a_resumption_waits_for_a_snapshot(void)
{
    struct error err;
    struct sandbox_capture *some = (struct sandbox_capture *)&err; /* never looked into */
    set_up(&ops);
    put_away();
    sb->capture = some;
    sandbox_resume(sb, 70, &wait);
    sandbox_resume(sb, 0, NULL);
    T_EQ(sb->phase, SANDBOX_PAUSED);
    T_EQ(resumes, 0);
    sb->capture = NULL;
    sandbox_captured(sb);
    T_EQ(sb->phase, SANDBOX_RESUMING);
    T_EQ(sb->resume_s, 70);
    T_EQ(resumes, 1);
    sandbox_captured(sb); /* and only once */
    T_EQ(resumes, 1);
    tear_down();
    set_up_store();
    store();
    sb->capture = some;
    T_TRUE(sandbox_rollback(sb, "/snapshot", NULL, &err) < 0);
    T_EQ(err.code, ERROR_CONFLICT);
    T_TRUE(sb->resume_from == NULL);
    sb->capture = NULL;
    sandbox_captured(sb); /* nobody has asked for it */
    T_EQ(sb->phase, SANDBOX_PAUSED);
    tear_down_store();
}

static struct sandbox_wait told_first, told_second;
static unsigned int heard;

/* The first to hear takes back the wait of the second, and begins its own anew. */
static void hear_first(struct sandbox_wait *w, struct sandbox *of, const struct error *err)
{
    (void)of;
    (void)err;
    T_TRUE(++heard == 1);
    list_del(&told_second.node);
    list_add_tail(&told_second.node, &w->node);
}

static void hear_second(struct sandbox_wait *w, struct sandbox *of, const struct error *err)
{
    (void)w;
    (void)of;
    (void)err;
    T_FAIL("a wait was told that had been taken back");
}

static void who_hears_may_take_back_another_wait(void)
{
    struct list waits;
    list_init(&waits);
    told_first.done = hear_first;
    told_second.done = hear_second;
    list_add_tail(&waits, &told_first.node);
    list_add_tail(&waits, &told_second.node);
    sandbox_tell(NULL, &waits, NULL);
    T_EQ(heard, 1);
    T_TRUE(list_empty(&waits));
}

T_MAIN(T_CASE(who_hears_may_take_back_another_wait),
       T_CASE(it_is_paused_when_its_record_is_on_disk), T_CASE(a_driver_that_cannot_says_so),
       T_CASE(one_that_cannot_be_paused_runs_on), T_CASE(one_whose_record_is_lost_runs_on),
       T_CASE(one_that_cannot_be_resumed_stays_paused),
       T_CASE(a_resume_in_the_midst_of_a_pause_follows_it), T_CASE(an_end_in_between_is_final),
       T_CASE(its_time_out_pauses_it_or_ends_it), T_CASE(without_traffic_it_pauses),
       T_CASE(one_that_is_stored_leaves_no_instance), T_CASE(one_that_cannot_be_stored_runs_on),
       T_CASE(an_instance_that_ends_in_a_pause), T_CASE(its_end_while_it_is_put_away),
       T_CASE(a_failed_resumption_ends_what_it_started), T_CASE(it_wakes_up_as_what_it_was),
       T_CASE(a_rollback_is_a_pause_and_another_start), T_CASE(a_resumption_waits_for_a_snapshot))
