/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "snapshot/internal.h"
#include "t.h"

static const char id[] = "1b4e28ba-2fa1-41d2-883f-0016d3cca427";
static const char origin[] = "653b49aa-12da-47b5-b4da-5b58402d2a7f";

/* What version 3 has brought: whether it is shared, and the length and text of its origin. */
#define NEW_IN_3 (1 + 4 + sizeof(origin) - 1)

static void encode(struct buf *out, char *name)
{
    char account[] = "default", template[] = "python-base-v1", driver[] = "oci", text[] = "a text";
    struct snapshot sn = {.account = account,
                          .name = name,
                          .template_name = template,
                          .driver = driver,
                          .description = text,
                          .provider = text,
                          .region = text,
                          .bytes = 4096,
                          .shared = true};
    memcpy(sn.sandbox_id, origin, sizeof(origin));
    memcpy(sn.template_id, id, sizeof(id));
    memcpy(sn.origin_id, origin, sizeof(origin));
    snapshot_encode(out, &sn);
    T_TRUE(!out->failed);
}

static int decode(struct snapshot *sn, const struct buf *from, size_t len)
{
    *sn = (struct snapshot){0};
    return snapshot_decode(sn, id, sizeof(id) - 1, from->data, len);
}

static void a_shared_one(void)
{
    struct snapshot sn;
    char name[] = "mine";
    cleanup_buf struct buf b = {0};
    encode(&b, name);
    T_EQ(decode(&sn, &b, b.len), 0);
    T_TRUE(sn.shared);
    T_STR(sn.origin_id, origin);
    T_STR(sn.name, "mine");
    T_EQ(sn.bytes, 4096);
    snapshot_free_strings(&sn);
}

static void one_of_the_version_before(void)
{
    struct snapshot sn;
    char name[] = "mine";
    cleanup_buf struct buf b = {0};
    encode(&b, name);
    b.data[0] = 2;
    T_EQ(decode(&sn, &b, b.len), -EPROTO); /* it ends before these bytes */
    snapshot_free_strings(&sn);
    T_EQ(decode(&sn, &b, b.len - NEW_IN_3), 0);
    T_TRUE(!sn.shared);
    T_STR(sn.origin_id, "");
    T_STR(sn.description, "a text");
    snapshot_free_strings(&sn);
}

static void one_of_a_version_to_come(void)
{
    struct snapshot sn;
    char name[] = "mine";
    cleanup_buf struct buf b = {0};
    encode(&b, name);
    b.data[0] = 4;
    T_EQ(decode(&sn, &b, b.len), -EPROTO);
    snapshot_free_strings(&sn);
}

static void a_template_has_a_name(void)
{
    struct snapshot sn;
    cleanup_buf struct buf b = {0};
    encode(&b, NULL);
    T_EQ(decode(&sn, &b, b.len), -EPROTO);
    snapshot_free_strings(&sn);
}

T_MAIN(T_CASE(a_shared_one), T_CASE(one_of_the_version_before), T_CASE(one_of_a_version_to_come),
       T_CASE(a_template_has_a_name))
