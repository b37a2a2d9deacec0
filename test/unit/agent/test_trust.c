/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/trust.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/env.h"
#include "base/buf.h"
#include "t.h"

#define PEM "-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----\n"

static char root[64];
static const char *const *env;

static const char *at(const char *path)
{
    static char full[256];
    (void)snprintf(full, sizeof(full), "%s%s", root, path);
    return full;
}

static void begin(void)
{
    static const char *const dirs[] = {"/etc", "/etc/ssl", "/etc/ssl/certs", "/usr"};
    strcpy(root, "/tmp/corral-test-XXXXXX");
    T_TRUE(t_mkdtemp(root));
    for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
        T_EQ(mkdir(at(dirs[i]), 0755), 0);
}

static void put(const char *path, const char *text)
{
    FILE *f = fopen(at(path), "w");
    T_TRUE(f != NULL);
    T_TRUE(fputs(text, f) >= 0);
    T_EQ(fclose(f), 0);
}

static void expect(const char *path, const char *want)
{
    char text[512] = "";
    FILE *f = fopen(at(path), "r");
    T_TRUE(f != NULL);
    (void)fread(text, 1, sizeof(text) - 1, f);
    T_EQ(fclose(f), 0);
    T_STR(text, want);
}

static void it_is_added_once(void)
{
    begin();
    put("/etc/ssl/certs/ca-certificates.crt", "others");
    for (int i = 0; i < 3; i++) {
        T_EQ(trust_add(root, PEM, &env), 0);
        expect("/etc/ssl/certs/ca-certificates.crt", "others\n" PEM "\n");
        expect("/usr/local/share/ca-certificates/corral-egress.crt", PEM);
    }
    T_TRUE(env_get((char *const *)(uintptr_t)env, "SSL_CERT_FILE") != NULL);
}

static void without_a_bundle_others_stay_believed(void)
{
    begin();
    T_EQ(trust_add(root, PEM, &env), 0);
    T_EQ(access(at("/etc/ssl/certs/ca-certificates.crt"), F_OK), -1);
    T_TRUE(env_get((char *const *)(uintptr_t)env, "SSL_CERT_FILE") == NULL);
    T_TRUE(env_get((char *const *)(uintptr_t)env, "NODE_EXTRA_CA_CERTS") != NULL);
}

static void what_is_no_file_is_refused(void)
{
    begin();
    T_EQ(mkfifo(at("/etc/ssl/certs/ca-certificates.crt"), 0666), 0);
    T_EQ(trust_add(root, PEM, &env), -EINVAL);
    T_EQ(unlink(at("/etc/ssl/certs/ca-certificates.crt")), 0);
    T_EQ(mkdir(at("/etc/ssl/certs/ca-certificates.crt"), 0755), 0);
    T_TRUE(trust_add(root, PEM, &env) < 0);
}

static void a_bundle_that_is_too_long_is_refused(void)
{
    begin();
    put("/etc/ssl/certs/ca-certificates.crt", "");
    T_EQ(truncate(at("/etc/ssl/certs/ca-certificates.crt"), (off_t)5 << 20), 0);
    T_EQ(trust_add(root, PEM, &env), -EINVAL);
}

static void variables_of_the_sandbox_stay(void)
{
    static const char *const defaults[] = {"A=1", "B=2", NULL};
    char *const own[] = {(char *)(uintptr_t) "B=mine", (char *)(uintptr_t) "AA=3", NULL};
    char **all = env_with_defaults(own, defaults);
    T_STR(all[0], "B=mine");
    T_STR(all[1], "AA=3");
    T_STR(all[2], "A=1");
    T_TRUE(all[3] == NULL);
    free(all);
    all = env_with_defaults(NULL, defaults);
    T_STR(all[1], "B=2");
    T_TRUE(all[2] == NULL);
    free(all);
}

T_MAIN(T_CASE(it_is_added_once), T_CASE(without_a_bundle_others_stay_believed),
       T_CASE(what_is_no_file_is_refused), T_CASE(a_bundle_that_is_too_long_is_refused),
       T_CASE(variables_of_the_sandbox_stay))
