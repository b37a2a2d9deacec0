/* SPDX-License-Identifier: Apache-2.0 */
#include "e2b/signature.h"

#include "t.h"

static void made_as_clients_do(void)
{
    char text[SIGNATURE_SIZE];
    struct signed_url url = {.path = "/home/user/a b"};
    T_EQ(signature_make(&url, "tok", text), 0);
    T_STR(text, "v1_ZcUEOpQ7DPPUIUZqLR2vEx1BYJb9Z2czlzfURbHfwsc");
    url = (struct signed_url){
        .path = "f", .username = "root", .expiration = "1700000000", .write = true};
    T_EQ(signature_make(&url, "tok", text), 0);
    T_STR(text, "v1_aUR7eaKfZzrt5fAgQWUS1pToYzOBZ3mIRxsx7YjRKvw");
    url.signature = text;
    T_TRUE(signature_matches(&url, "tok"));
    T_TRUE(!signature_matches(&url, "tok2"));
}

static void what_does_not_match(void)
{
    char text[SIGNATURE_SIZE];
    struct signed_url url = {.path = "f"};
    T_TRUE(!signature_matches(&url, "tok"));
    T_EQ(signature_make(&url, "tok", text), 0);
    url.signature = text;
    T_TRUE(signature_matches(&url, "tok"));
    url.write = true;
    T_TRUE(!signature_matches(&url, "tok"));
    url.write = false;
    url.path = "g";
    T_TRUE(!signature_matches(&url, "tok"));
    url.path = NULL;
    T_TRUE(!signature_matches(&url, "tok"));
    url.path = "f";
    url.signature = "v1_short";
    T_TRUE(!signature_matches(&url, "tok"));
}

static void times(void)
{
    struct signed_url url = {.path = "f"};
    T_TRUE(!signature_expired(&url, 1000));
    url.expiration = "1000";
    T_TRUE(!signature_expired(&url, 1000));
    T_TRUE(signature_expired(&url, 1001));
    url.expiration = "soon";
    T_TRUE(signature_expired(&url, 0));
    url.expiration = "";
    T_TRUE(signature_expired(&url, 0));
}

T_MAIN(T_CASE(made_as_clients_do), T_CASE(what_does_not_match), T_CASE(times))
