/* SPDX-License-Identifier: Apache-2.0 */
/* routes.c - every route of the server, one line each. What a route needs checked stands in its
 * flags and its scope, so that no handler can forget it. */
#include "api/api.h"

#define SB   (API_AGENTS | API_SANDBOX)
#define RUN  (SB | API_RUNNING)
#define ASK  (RUN | API_STILL)
#define BODY API_JSON
#define DATA (API_JSON | API_CONTENT)
#define UP   (RUN | API_STREAM)
#define PROC "/sandboxes/:id/processes/:pid"
#define PTY  "/sandboxes/:id/pty/:pid"
#define ENV  "/api/v1/sandbox/environments"
#define NET  "/sandboxes/:id/network"
#define FLOW "/api/v1/orchestrator/workflows"

const struct api_route api_routes[] = {
    /* The API of agent sandboxes. */
    {METHOD_POST, "/sandboxes", API_AGENTS | BODY | API_VARIABLES, SCOPE_RUN, api_sandbox_create},
    {METHOD_GET, "/sandboxes", API_AGENTS, SCOPE_READ, api_sandbox_list},
    {METHOD_GET, "/sandboxes/paused", API_AGENTS, SCOPE_READ, api_sandbox_paused},
    {METHOD_GET, "/sandboxes/:id", SB, SCOPE_READ, api_sandbox_get},
    {METHOD_DELETE, "/sandboxes/:id", SB, SCOPE_RUN, api_sandbox_kill},
    {METHOD_POST, "/sandboxes/:id/timeout", ASK | BODY, SCOPE_RUN, api_sandbox_timeout},
    {METHOD_GET, "/sandboxes/:id/metrics", ASK, SCOPE_READ, api_sandbox_metrics},
    {METHOD_GET, "/sandboxes/:id/host/:port", SB | API_LIVE, SCOPE_READ, api_host_url},
    {METHOD_POST, "/sandboxes/:id/host/:port/token", SB | API_LIVE | BODY, SCOPE_RUN,
     api_host_token},
    {METHOD_POST, "/sandboxes/:id/commands/run", RUN | DATA, SCOPE_RUN, api_command_run},
    {METHOD_POST, "/sandboxes/:id/code/run", RUN | DATA, SCOPE_RUN, api_code_run},
    {METHOD_POST, "/sandboxes/:id/code/contexts", RUN | BODY, SCOPE_RUN, api_context_create},
    {METHOD_GET, "/sandboxes/:id/code/contexts", RUN, SCOPE_READ, api_context_list},
    {METHOD_POST, "/sandboxes/:id/code/contexts/:context/interrupt", RUN, SCOPE_RUN,
     api_context_interrupt},
    {METHOD_POST, "/sandboxes/:id/code/contexts/:context/restart", RUN, SCOPE_RUN,
     api_context_restart},
    {METHOD_GET, "/sandboxes/:id/code/contexts/:context", RUN, SCOPE_READ, api_context_get},
    {METHOD_DELETE, "/sandboxes/:id/code/contexts/:context", RUN, SCOPE_RUN, api_context_delete},
    {METHOD_POST, "/sandboxes/:id/processes", RUN | DATA, SCOPE_RUN, api_process_start},
    {METHOD_GET, "/sandboxes/:id/processes", RUN, SCOPE_READ, api_process_list},
    {METHOD_GET, PROC, RUN, SCOPE_READ, api_process_get},
    {METHOD_DELETE, PROC, RUN, SCOPE_RUN, api_process_delete},
    {METHOD_GET, PROC "/stream", RUN, SCOPE_READ, api_process_stream},
    {METHOD_POST, PROC "/stdin", RUN | API_BYTES, SCOPE_RUN, api_process_input},
    {METHOD_POST, PROC "/signal", RUN | BODY, SCOPE_RUN, api_process_signal},
    {METHOD_POST, "/sandboxes/:id/pty", RUN | DATA, SCOPE_RUN, api_pty_start},
    {METHOD_GET, "/sandboxes/:id/pty", RUN, SCOPE_READ, api_pty_list},
    {METHOD_GET, PTY, RUN, SCOPE_READ, api_process_get},
    {METHOD_DELETE, PTY, RUN, SCOPE_RUN, api_process_delete},
    {METHOD_GET, PTY "/stream", RUN, SCOPE_READ, api_process_stream},
    {METHOD_POST, PTY "/input", RUN | API_BYTES, SCOPE_RUN, api_process_input},
    {METHOD_POST, PTY "/signal", RUN | BODY, SCOPE_RUN, api_process_signal},
    {METHOD_POST, PTY "/resize", RUN | BODY, SCOPE_RUN, api_process_resize},
    {METHOD_GET, PTY "/ws", RUN | API_SOCKET, SCOPE_RUN, api_pty_socket},
    {METHOD_POST, "/sandboxes/:id/files/read", RUN | BODY, SCOPE_READ, api_file_read},
    {METHOD_POST, "/sandboxes/:id/files/write", RUN | DATA | API_NUL, SCOPE_RUN, api_file_write},
    {METHOD_POST, "/sandboxes/:id/files/list", RUN | BODY, SCOPE_READ, api_file_list},
    {METHOD_POST, "/sandboxes/:id/files/delete", RUN | BODY, SCOPE_RUN, api_file_delete},
    {METHOD_POST, "/sandboxes/:id/files/mkdir", RUN | BODY, SCOPE_RUN, api_file_mkdir},
    {METHOD_POST, "/sandboxes/:id/files/append", RUN | DATA | API_NUL, SCOPE_RUN, api_file_append},
    {METHOD_POST, "/sandboxes/:id/files/info", RUN | BODY, SCOPE_READ, api_file_info},
    {METHOD_POST, "/sandboxes/:id/files/move", RUN | BODY, SCOPE_RUN, api_file_move},
    {METHOD_POST, "/sandboxes/:id/files/copy", RUN | BODY, SCOPE_RUN, api_file_copy},
    {METHOD_POST, "/sandboxes/:id/files/chmod", RUN | BODY, SCOPE_RUN, api_file_chmod},
    {METHOD_POST, "/sandboxes/:id/files/chown", RUN | BODY, SCOPE_RUN, api_file_chown},
    {METHOD_POST, "/sandboxes/:id/files/find", RUN | BODY, SCOPE_READ, api_file_find},
    {METHOD_POST, "/sandboxes/:id/files/replace", RUN | DATA, SCOPE_RUN, api_file_replace},
    {METHOD_POST, "/sandboxes/:id/files/watch", RUN | BODY, SCOPE_READ, api_file_watch},
    {METHOD_POST, "/sandboxes/:id/upload", UP, SCOPE_RUN, api_upload, api_upload_data,
     api_upload_end},
    {METHOD_POST, "/sandboxes/:id/files/upload", UP, SCOPE_RUN, api_upload, api_upload_data,
     api_upload_end},
    {METHOD_POST, "/sandboxes/:id/files", UP, SCOPE_RUN, api_upload_many, api_upload_data,
     api_upload_end},
    {METHOD_GET, "/sandboxes/:id/download", RUN, SCOPE_READ, api_download},
    {METHOD_GET, "/templates", API_AGENTS, SCOPE_READ, api_template_list},
    {METHOD_POST, "/templates", API_AGENTS | API_JSON, SCOPE_MANAGE, api_template_promote},
    {METHOD_GET, "/templates/:name", API_AGENTS, SCOPE_READ, api_template_get},
    {METHOD_DELETE, "/templates/:name", API_AGENTS, SCOPE_MANAGE, api_template_delete},
    {METHOD_PUT, "/secrets/:name", API_AGENTS | BODY, SCOPE_RUN, api_secret_set},
    {METHOD_GET, "/secrets", API_AGENTS, SCOPE_RUN, api_secret_list},
    {METHOD_DELETE, "/secrets/:name", API_AGENTS, SCOPE_RUN, api_secret_delete},

    /* The API of the gateway: sign-in, environments, workflows. */
    {METHOD_POST, "/api/v1/auth/token", API_PUBLIC, SCOPE_READ, api_auth_token},
    {METHOD_POST, "/api/v1/auth/refresh", API_PUBLIC, SCOPE_READ, api_auth_refresh},
    {METHOD_POST, "/api/v1/auth/revoke", API_PUBLIC, SCOPE_READ, api_auth_revoke},
    {METHOD_POST, ENV, BODY, SCOPE_RUN, api_environment_create},
    {METHOD_GET, ENV, 0, SCOPE_READ, api_environment_list},
    {METHOD_GET, ENV "/:id", 0, SCOPE_READ, api_environment_get},
    {METHOD_DELETE, ENV "/:id", 0, SCOPE_RUN, api_environment_delete},
    {METHOD_POST, ENV "/:id/execute", DATA, SCOPE_RUN, api_environment_execute},
    {METHOD_POST, FLOW, DATA | API_STRICT, SCOPE_RUN, api_workflow_create},
    {METHOD_GET, FLOW, 0, SCOPE_READ, api_workflow_list},
    {METHOD_GET, FLOW "/:id", 0, SCOPE_READ, api_workflow_get},
    {METHOD_DELETE, FLOW "/:id", 0, SCOPE_RUN, api_workflow_delete},
    {METHOD_POST, FLOW "/:id/start", 0, SCOPE_RUN, api_workflow_start},
    {METHOD_GET, FLOW "/:id/status", 0, SCOPE_READ, api_workflow_status},
    {METHOD_POST, FLOW "/:id/cancel", 0, SCOPE_RUN, api_workflow_cancel},
    {METHOD_GET, FLOW "/:id/runs", 0, SCOPE_READ, api_workflow_runs},

    /* Corral's own. */
    {METHOD_POST, "/sandboxes/:id/pause", SB, SCOPE_RUN, api_sandbox_pause},
    {METHOD_POST, "/sandboxes/:id/resume", SB, SCOPE_RUN, api_sandbox_resume},
    {METHOD_GET, "/sandboxes/:id/lifecycle", SB, SCOPE_READ, api_sandbox_lifecycle},
    {METHOD_POST, "/sandboxes/:id/snapshots", SB | API_LIVE | BODY, SCOPE_RUN, api_snapshot_create},
    {METHOD_POST, "/sandboxes/:id/fork", SB | API_LIVE | BODY | API_VARIABLES, SCOPE_RUN,
     api_sandbox_fork},
    {METHOD_POST, "/sandboxes/:id/rollback", SB | BODY, SCOPE_RUN, api_sandbox_rollback},
    /* Generation D has the same path behind the prefix. */
    {METHOD_GET, "/snapshots", 0, SCOPE_READ, api_snapshot_list},
    {METHOD_GET, "/snapshots/:id", 0, SCOPE_READ, api_snapshot_get},
    {METHOD_DELETE, "/snapshots/:id", 0, SCOPE_RUN, api_snapshot_delete},
    {METHOD_GET, NET, SB, SCOPE_READ, api_network_get},
    {METHOD_PUT, NET, ASK | BODY, SCOPE_RUN, api_network_put},
    {METHOD_GET, NET "/events", SB, SCOPE_READ, api_network_events},
    {METHOD_POST, "/v1/admin/tokens/rotate", 0, SCOPE_MANAGE, api_auth_rotate},
    {METHOD_POST, "/v1/admin/keys", BODY, SCOPE_MANAGE, api_key_create},
    {METHOD_GET, "/v1/admin/keys", 0, SCOPE_MANAGE, api_key_list},
    {METHOD_DELETE, "/v1/admin/keys/:id", 0, SCOPE_MANAGE, api_key_revoke},
    {METHOD_GET, "/", API_PUBLIC, SCOPE_READ, api_page_root},
    {METHOD_GET, "/docs", API_PUBLIC, SCOPE_READ, api_page_docs},
    {METHOD_GET, "/openapi.json", API_PUBLIC, SCOPE_READ, api_openapi},
    {METHOD_GET, "/health", API_PUBLIC, SCOPE_READ, api_health},
    {METHOD_GET, "/metrics", API_PUBLIC, SCOPE_READ, api_metrics},
};

const size_t api_route_count = ARRAY_SIZE(api_routes);
