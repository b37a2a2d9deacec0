/* SPDX-License-Identifier: Apache-2.0 */
#include "isolation/oci/spec.h"

#include "base/num.h"
#include "isolation/driver.h"
#include "isolation/helper.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

struct spec_field {
    const char *key;
    size_t offset;
    bool number;
};

/* One table for both directions, so that no field is written that is not read. Reader and
 * writer are the same program, so the format needs no version. */
static const struct spec_field spec_fields[OCI_SPEC_ARGS] = {
    {"id", offsetof(struct oci_spec, id), false},
    {"dir", offsetof(struct oci_spec, dir), false},
    {"rootfs", offsetof(struct oci_spec, rootfs), false},
    {"guest", offsetof(struct oci_spec, guest_dir), false},
    {"root", offsetof(struct oci_spec, root), false},
    {"runtime", offsetof(struct oci_spec, runtime), false},
    {"images", offsetof(struct oci_spec, images), false},
    {"snapshot", offsetof(struct oci_spec, snapshot), false},
    {"vcpus", offsetof(struct oci_spec, vcpus), true},
    {"memory_mb", offsetof(struct oci_spec, memory_mb), true},
    {"disk_mb", offsetof(struct oci_spec, disk_mb), true},
    {"disk_bps", offsetof(struct oci_spec, disk_bps), true},
    {"disk_iops", offsetof(struct oci_spec, disk_iops), true},
    {"pids_max", offsetof(struct oci_spec, pids_max), true},
    {"uid", offsetof(struct oci_spec, uid), true},
    {"owner", offsetof(struct oci_spec, owner), true},
    {"network", offsetof(struct oci_spec, network), true},
    {"paused", offsetof(struct oci_spec, paused), true},
    {"parent", offsetof(struct oci_spec, parent), true},
};

static char **spec_str(const struct oci_spec *spec, const struct spec_field *f)
{
    return (char **)(void *)((char *)(uintptr_t)spec + f->offset);
}

static unsigned int *spec_num(const struct oci_spec *spec, const struct spec_field *f)
{
    return (unsigned int *)(void *)((char *)(uintptr_t)spec + f->offset);
}

void oci_spec_done(struct oci_spec *spec)
{
    for (size_t i = 0; i < OCI_SPEC_ARGS; i++) {
        if (!spec_fields[i].number)
            free(*spec_str(spec, &spec_fields[i]));
    }
    *spec = (struct oci_spec){0};
}

char **oci_spec_to_argv(const struct oci_spec *spec, const char *program, const char *verb)
{
    char **argv = calloc(OCI_SPEC_ARGS + 3, sizeof(*argv));
    if (argv == NULL)
        return NULL;
    size_t n = 0;
    bool failed = (argv[n++] = strdup(program)) == NULL;
    failed = failed || (argv[n++] = strdup(verb)) == NULL;
    for (size_t i = 0; i < OCI_SPEC_ARGS && !failed; i++) {
        const struct spec_field *f = &spec_fields[i];
        int r = f->number ? asprintf(&argv[n], "%s=%u", f->key, *spec_num(spec, f))
                          : asprintf(&argv[n], "%s=%s", f->key, *spec_str(spec, f));
        if (r < 0) {
            argv[n] = NULL;
            failed = true;
        }
        n++;
    }
    if (failed) {
        helper_argv_free(argv);
        return NULL;
    }
    return argv;
}

static int spec_take(struct oci_spec *spec, const char *arg, struct error *err)
{
    for (size_t i = 0; i < OCI_SPEC_ARGS; i++) {
        const struct spec_field *f = &spec_fields[i];
        size_t len = strlen(f->key);
        if (strncmp(arg, f->key, len) != 0 || arg[len] != '=')
            continue;
        const char *value = arg + len + 1;
        if (!f->number) {
            free(*spec_str(spec, f));
            *spec_str(spec, f) = strdup(value);
            return *spec_str(spec, f) == NULL
                       ? error_set_errno(err, ERROR_INTERNAL, -ENOMEM, "spec")
                       : 0;
        }
        int64_t v = 0;
        if (num_parse(value, 0, UINT_MAX, &v) < 0)
            return error_set(err, ERROR_INTERNAL, "%s is not a number", f->key);
        *spec_num(spec, f) = (unsigned int)v;
        return 0;
    }
    return error_set(err, ERROR_INTERNAL, "unknown argument %.64s", arg);
}

int oci_spec_from_argv(struct oci_spec *ret, char **args, struct error *err)
{
    struct oci_spec spec = {0};
    int r = 0;
    for (; *args != NULL && r == 0; args++)
        r = spec_take(&spec, *args, err);
    for (size_t i = 0; i < OCI_SPEC_ARGS && r == 0; i++) {
        if (!spec_fields[i].number && *spec_str(&spec, &spec_fields[i]) == NULL)
            r = error_set(err, ERROR_INTERNAL, "argument %s is missing", spec_fields[i].key);
    }
    if (r == 0 && !driver_id_valid(spec.id))
        r = error_set(err, ERROR_INTERNAL, "the id is not valid");
    if (r < 0) {
        oci_spec_done(&spec);
        return r;
    }
    *ret = spec;
    return 0;
}
