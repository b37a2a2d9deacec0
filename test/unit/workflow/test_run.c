/* SPDX-License-Identifier: Apache-2.0 */
/* What readers see of a run is what a server that is killed now would find. The store is real. */
#include <string.h>

#include "sandbox/table_internal.h"
#include "snapshot/internal.h"
#include "t.h"
#include "workflow/engine.h"

static const char definition[] = "{\"name\":\"w\",\"steps\":[{\"name\":\"a\",\"type\":\"command\","
                                 "\"config\":{\"command\":\"x\"}}]}";

static void readers_see_what_is_on_disk(void)
{
    char dir[] = "/tmp/corral-test-XXXXXX", command[64];
    uv_loop_t loop;
    struct store *store = NULL;
    struct error err = {0};
    struct template_set templates = {0};
    const struct recipe_places recipes = {.own = dir, .guest_dir = dir};
    struct wf_def def;
    struct wf_faults faults = {0};
    cleanup_buf struct buf text = {0};
    bool was_ahead = false;
    T_TRUE(t_mkdtemp(dir));
    T_EQ(uv_loop_init(&loop), 0);
    T_EQ(store_open(&store, &loop, dir, NULL, 1 << 20, &err), 0);
    T_EQ(template_set_init(&templates, store, dir, &recipes), 0);
    struct snapshots snapshots = {0};
    struct sandbox_table sandboxes = {.templates = &templates, .snapshots = &snapshots};
    list_init(&snapshots.all);
    struct wf_engine e = {.loop = &loop,
                          .store = store,
                          .templates = &templates,
                          .sandboxes = &sandboxes,
                          .template_default = "none"};
    T_EQ(wf_engine_load(&e, &err), 0);
    (void)buf_append_str(&text, definition);
    T_EQ(wf_def_parse(&def, json_parse(definition, strlen(definition), &err), &faults), 0);
    struct workflow *wf = wf_create(&e, "account", &def, &text, &err);
    T_TRUE(wf != NULL);
    T_EQ(store_commit(store), 0);

    struct wf_run *run = wf_start(&e, wf, false, &err);
    T_TRUE(run != NULL);
    T_EQ(run->status, WF_RUN_RUNNING);
    T_TRUE(wf_run_view(run) == NULL); /* nothing of it is on disk yet */
    for (int turn = 0; turn < 1000 && run->active; turn++) {
        struct wf_run *view = wf_run_view(run);
        if (view != NULL && wf_run_is_over(run->status) && !wf_run_is_over(view->status)) {
            T_EQ(view->ended_ms, 0);
            was_ahead = true;
        }
        wf_run_view_done(run, view);
        (void)uv_run(&loop, UV_RUN_ONCE);
    }
    T_TRUE(was_ahead); /* the step failed, as there is no such template, before that was written */
    T_EQ(run->status, WF_RUN_FAILED);
    T_TRUE(wf_run_view(run) == run);
    T_EQ(wf_delete(&e, wf, &err), 0);
    wf_faults_done(&faults);
    free(templates.dir);
    store_close(store, NULL, NULL);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    T_EQ(uv_loop_close(&loop), 0);
    (void)snprintf(command, sizeof(command), "rm -r %s", dir);
    T_EQ(system(command), 0);
}

T_MAIN(T_CASE(readers_see_what_is_on_disk))
