/* SPDX-License-Identifier: Apache-2.0 */
/* routes.c - every route of these clients, one line each. What the server does not offer yet is a
 * line with gravix_unsupported. */
#include "gravix/internal.h"

#define RT   "/v1/agents/runtime/:id"
#define PTY  RT "/pty/:session"
#define GIT  RT "/git/"
#define TPL  "/v1/agents/template"
#define SNAP "/v1/agents/snapshots"
#define POL  "/v1/network-policies"
#define IDP  "/v1/identity/providers"
#define SB   API_SANDBOX
#define RUN  (SB | API_RUNNING)
#define ASK  (RUN | API_STILL)
#define BODY API_JSON
#define DATA (API_JSON | API_CONTENT)
#define UP   (RUN | API_STREAM)

const struct api_route gravix_routes[] = {
    {METHOD_POST, "/v1/agents/runtime", BODY | API_VARIABLES, SCOPE_RUN, gravix_runtime_create},
    {METHOD_GET, "/v1/agents/runtime", 0, SCOPE_READ, gravix_runtime_list},
    {METHOD_GET, RT, SB, SCOPE_READ, gravix_runtime_get},
    {METHOD_DELETE, RT, SB, SCOPE_RUN, gravix_runtime_kill},
    {METHOD_POST, RT "/connect", SB | API_LIVE | BODY, SCOPE_READ, gravix_runtime_connect},
    {METHOD_POST, RT "/timeout", ASK | BODY, SCOPE_RUN, gravix_runtime_timeout},
    {METHOD_GET, RT "/metrics", ASK, SCOPE_READ, api_sandbox_metrics},
    {METHOD_POST, RT "/pause", SB | BODY, SCOPE_RUN, gravix_runtime_pause},
    {METHOD_POST, RT "/resume", SB | BODY, SCOPE_RUN, gravix_runtime_resume},
    {METHOD_POST, RT "/fork", SB | API_LIVE | BODY | API_VARIABLES, SCOPE_RUN, gravix_runtime_fork},
    {METHOD_POST, RT "/ssh/enable", SB | BODY, SCOPE_RUN, gravix_unsupported},
    {METHOD_POST, RT "/ssh/disable", SB | BODY, SCOPE_RUN, gravix_unsupported},
    {METHOD_GET, RT "/ssh/status", SB, SCOPE_READ, gravix_unsupported},

    {METHOD_POST, RT "/services", SB | API_LIVE | BODY, SCOPE_RUN, gravix_service_open},
    {METHOD_GET, RT "/services", SB | API_LIVE, SCOPE_RUN, gravix_service_list},
    {METHOD_DELETE, RT "/services/:port", SB | API_LIVE, SCOPE_RUN, gravix_service_revoke},

    {METHOD_POST, RT "/commands/run", RUN | DATA, SCOPE_RUN, gravix_command_run},
    {METHOD_GET, RT "/commands", ASK, SCOPE_READ, gravix_command_list},
    {METHOD_GET, RT "/commands/:pid", ASK, SCOPE_READ, gravix_command_get},
    {METHOD_DELETE, RT "/commands/:pid", RUN, SCOPE_RUN, gravix_command_kill},
    {METHOD_GET, RT "/commands/:pid/stream", RUN, SCOPE_READ, gravix_command_stream},

    {METHOD_POST, RT "/code/run", RUN | DATA, SCOPE_RUN, gravix_code_run},
    {METHOD_POST, RT "/code/contexts", RUN | BODY, SCOPE_RUN, gravix_context_create},
    {METHOD_GET, RT "/code/contexts/:context", ASK, SCOPE_READ, api_context_get},
    {METHOD_DELETE, RT "/code/contexts/:context", RUN, SCOPE_RUN, api_context_delete},

    {METHOD_POST, RT "/files/read", RUN | BODY, SCOPE_READ, gravix_file_read},
    {METHOD_POST, RT "/files/write", RUN | DATA | API_NUL, SCOPE_RUN, api_file_write},
    {METHOD_POST, RT "/files/list", RUN | BODY, SCOPE_READ, gravix_file_list},
    {METHOD_POST, RT "/files/delete", RUN | BODY, SCOPE_RUN, gravix_file_delete},
    {METHOD_POST, RT "/files/create-directory", RUN | BODY, SCOPE_RUN, gravix_file_mkdir},
    {METHOD_POST, RT "/files/info", RUN | BODY, SCOPE_READ, api_file_info},
    {METHOD_POST, RT "/files/set-mode", RUN | BODY, SCOPE_RUN, api_file_chmod},
    {METHOD_POST, RT "/files/chown", RUN | BODY, SCOPE_RUN, gravix_file_chown},
    {METHOD_POST, RT "/files/move", RUN | BODY, SCOPE_RUN, gravix_file_move},
    {METHOD_POST, RT "/files/copy", RUN | BODY, SCOPE_RUN, gravix_file_copy},
    {METHOD_POST, RT "/files/find", RUN | BODY, SCOPE_READ, gravix_file_find},
    {METHOD_POST, RT "/files/replace", RUN | DATA, SCOPE_RUN, api_file_replace},
    {METHOD_POST, RT "/files/watch", RUN | BODY, SCOPE_READ, gravix_file_watch},
    {METHOD_POST, RT "/files", UP, SCOPE_RUN, gravix_file_upload, api_upload_data, api_upload_end},
    {METHOD_POST, RT "/upload", UP, SCOPE_RUN, api_upload, api_upload_data, api_upload_end},
    {METHOD_GET, RT "/download", RUN, SCOPE_READ, gravix_file_download},

    {METHOD_POST, GIT "clone", RUN | BODY, SCOPE_RUN, gravix_git},
    {METHOD_POST, GIT "status", RUN | BODY, SCOPE_RUN, gravix_git},
    {METHOD_POST, GIT "branches", RUN | BODY, SCOPE_RUN, gravix_git},
    {METHOD_POST, GIT "checkout", RUN | BODY, SCOPE_RUN, gravix_git},
    {METHOD_POST, GIT "pull", RUN | BODY, SCOPE_RUN, gravix_git},
    {METHOD_POST, GIT "push", RUN | BODY, SCOPE_RUN, gravix_git},
    {METHOD_POST, GIT "fetch", RUN | BODY, SCOPE_RUN, gravix_git},
    {METHOD_POST, GIT "add", RUN | DATA, SCOPE_RUN, gravix_git},
    {METHOD_POST, GIT "commit", RUN | DATA, SCOPE_RUN, gravix_git},
    {METHOD_POST, GIT "branch/create", RUN | BODY, SCOPE_RUN, gravix_git},
    {METHOD_POST, GIT "branch/delete", RUN | BODY, SCOPE_RUN, gravix_git},

    {METHOD_POST, RT "/pty", RUN | DATA, SCOPE_RUN, gravix_pty_create},
    {METHOD_GET, RT "/pty", ASK, SCOPE_READ, gravix_pty_list},
    {METHOD_GET, PTY, ASK, SCOPE_READ, gravix_pty_get},
    {METHOD_DELETE, PTY, RUN, SCOPE_RUN, gravix_pty_kill},
    {METHOD_POST, PTY "/input", RUN | DATA | API_NUL, SCOPE_RUN, gravix_pty_input},
    {METHOD_POST, PTY "/resize", RUN | BODY, SCOPE_RUN, gravix_pty_resize},
    {METHOD_POST, PTY "/signal", RUN | BODY, SCOPE_RUN, gravix_pty_signal},
    {METHOD_GET, PTY "/stream", RUN, SCOPE_READ, gravix_pty_stream},

    {METHOD_GET, TPL, 0, SCOPE_READ, api_template_list},
    {METHOD_POST, TPL "/build", DATA, SCOPE_MANAGE, gravix_unsupported},
    {METHOD_GET, TPL "/:id", 0, SCOPE_READ, gravix_template_get},
    {METHOD_DELETE, TPL "/:id", 0, SCOPE_MANAGE, api_template_delete},
    {METHOD_GET, TPL "/:id/snapshot", 0, SCOPE_READ, gravix_template_snapshot},

    {METHOD_POST, SNAP, BODY, SCOPE_RUN, gravix_snapshot_create},
    {METHOD_GET, SNAP, 0, SCOPE_READ, gravix_snapshot_list},
    {METHOD_GET, SNAP "/:id", 0, SCOPE_READ, gravix_snapshot_get},
    {METHOD_DELETE, SNAP "/:id", 0, SCOPE_RUN, gravix_snapshot_delete},
    {METHOD_POST, SNAP "/:id/activate", BODY, SCOPE_RUN, gravix_snapshot_activate},
    {METHOD_POST, SNAP "/:id/deactivate", BODY, SCOPE_RUN, gravix_snapshot_deactivate},
    {METHOD_POST, SNAP "/:id/fork", BODY | API_VARIABLES, SCOPE_RUN, gravix_snapshot_fork},

    {METHOD_POST, POL, BODY, SCOPE_RUN, gravix_bundle_create},
    {METHOD_GET, POL, 0, SCOPE_READ, gravix_bundle_list},
    {METHOD_GET, POL "/:id", 0, SCOPE_READ, gravix_bundle_get},
    {METHOD_PATCH, POL "/:id", BODY, SCOPE_RUN, gravix_bundle_update},
    {METHOD_DELETE, POL "/:id", 0, SCOPE_RUN, gravix_bundle_delete},
    {METHOD_POST, POL "/:id/rules", BODY, SCOPE_RUN, gravix_bundle_add},
    {METHOD_GET, POL "/:id/rules", 0, SCOPE_READ, gravix_bundle_entries},
    {METHOD_PATCH, POL "/:id/rules/:rule", BODY, SCOPE_RUN, gravix_bundle_change},
    {METHOD_DELETE, POL "/:id/rules/:rule", 0, SCOPE_RUN, gravix_bundle_remove},
    {METHOD_POST, POL "/:id/attach", BODY, SCOPE_RUN, gravix_bundle_attach},
    {METHOD_DELETE, POL "/:id/attach/:runtime", 0, SCOPE_RUN, gravix_bundle_detach},
    {METHOD_GET, POL "/runtimes/:runtime", 0, SCOPE_READ, gravix_bundle_of_runtime},

    {METHOD_POST, IDP, DATA, SCOPE_RUN, gravix_bundle_create},
    {METHOD_GET, IDP, 0, SCOPE_READ, gravix_bundle_list},
    {METHOD_GET, IDP "/:id", 0, SCOPE_READ, gravix_bundle_get},
    {METHOD_PATCH, IDP "/:id", BODY, SCOPE_RUN, gravix_bundle_update},
    {METHOD_DELETE, IDP "/:id", 0, SCOPE_RUN, gravix_bundle_delete},
    {METHOD_POST, IDP "/:id/secrets", BODY, SCOPE_RUN, gravix_bundle_add},
    {METHOD_GET, IDP "/:id/secrets", 0, SCOPE_READ, gravix_bundle_entries},
    {METHOD_PATCH, IDP "/:id/secrets/:secret", BODY, SCOPE_RUN, gravix_bundle_change},
    {METHOD_DELETE, IDP "/:id/secrets/:secret", 0, SCOPE_RUN, gravix_bundle_remove},
    {METHOD_POST, IDP "/:id/attach", BODY, SCOPE_RUN, gravix_bundle_attach},
    {METHOD_DELETE, IDP "/:id/attach/:runtime", 0, SCOPE_RUN, gravix_bundle_detach},
    {METHOD_GET, "/v1/identity/runtimes/:runtime/providers", 0, SCOPE_READ,
     gravix_bundle_of_runtime},
};

const size_t gravix_route_count = ARRAY_SIZE(gravix_routes);
