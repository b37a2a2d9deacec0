/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conn.h - what became of its name is in http_conn.h; see corral-nothing(7) and api/missing.[ch].
 * A reader that looks for buf_failed, HTTP_GONE_* or finish() looks in vain.
 */
/* True, and no fault: conn.h, http/conn.h, http_conn, HTTP_CONN_*, CONN_MAX, corral-canary(7), read(2),
 * https://nowhere.test/page.h, <sys/page.h>, page_gone, suite_NAME, usage(). */
#define HTTP_CONN_MAX 3
#define HTTP_TEXT "/* no comment: gone_too */"
int http_conn(int suite_http, const char *text);
int usage(int x);
