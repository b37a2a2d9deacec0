/* SPDX-License-Identifier: Apache-2.0 */
#include "base/jsonw.h"
#include "t.h"
#include "workflow/def.h"

static int parse(const char *text, struct wf_def *d, struct wf_faults *f)
{
    *f = (struct wf_faults){0};
    return wf_def_parse(d, json_parse(text, strlen(text), NULL), f);
}

/* The definition is refused, and one of its faults has that path. */
static void refused(const char *text, const char *path)
{
    struct wf_def d;
    struct wf_faults f;
    char want[200];
    T_TRUE(parse(text, &d, &f) < 0);
    (void)snprintf(want, sizeof(want), "{\"path\":\"%s\",", path);
    if (strstr(buf_cstr(&f.json), want) == NULL)
        T_FAIL("no fault at %s in %s", path, f.json.data);
    wf_faults_done(&f);
    wf_def_done(&d);
}

#define STEP(name, more)                                                                           \
    "{\"name\":\"" name "\",\"type\":\"command\",\"config\":{\"command\":\"x\"}" more "}"
#define FLOW(steps) "{\"name\":\"w\",\"steps\":[" steps "]}"

static void takes_a_definition_apart(void)
{
    struct wf_def d;
    struct wf_faults f;
    T_EQ(parse("{\"name\":\"w\",\"max_parallel\":2,\"template\":\"t\",\"steps\":["
               "{\"name\":\"a\",\"type\":\"code_execution\",\"config\":{\"code\":\"1\"},"
               "\"retries\":3},"
               "{\"name\":\"b\",\"type\":\"command\",\"config\":{\"command\":\"ls\",\"args\":[\"-"
               "l\"]},"
               "\"depends_on\":[\"a\"],\"timeout\":7,\"environment\":{\"X\":\"1\"}}]}",
               &d, &f),
         0);
    T_STR(d.name, "w");
    T_STR(d.template, "t");
    T_EQ(d.max_parallel, 2);
    T_EQ(d.n_steps, 2);
    T_EQ(d.steps[0].type, WF_CODE);
    T_STR(d.steps[0].language, "python");
    T_EQ(d.steps[0].retries, 3);
    T_EQ(d.steps[0].timeout_s, WF_STEP_TIMEOUT_S);
    T_STR(d.steps[1].args[0], "-l");
    T_EQ(d.steps[1].timeout_s, 7);
    T_TRUE(wf_bit(d.steps[1].needs, 0));
    T_STR(d.steps[1].vars[0].name, "X");
    wf_faults_done(&f);
    wf_def_done(&d);
}

static void names_each_fault(void)
{
    refused("[]", "$");
    refused("{}", "$.name");
    refused("{\"name\":\"w\"}", "$.steps");
    refused("{\"name\":\"w\",\"name\":\"w\",\"steps\":[]}", "$.name");
    refused(FLOW("7"), "$.steps[0]");
    refused(FLOW(STEP("a", "") "," STEP("a", "")), "$.steps[1].name");
    refused(FLOW(STEP("a b", "")), "$.steps[0].name");
    refused(FLOW(STEP("a", ",\"retries\":11")), "$.steps[0].retries");
    refused(FLOW(STEP("a", ",\"retries\":1e99")), "$.steps[0].retries");
    refused(FLOW(STEP("a", ",\"x\":1")), "$.steps[0].x");
    refused(FLOW(STEP("a", ",\"depends_on\":\"a\"")), "$.steps[0].depends_on");
    refused(FLOW(STEP("a", ",\"depends_on\":[1]")), "$.steps[0].depends_on[0]");
}

static void finds_cycles(void)
{
    refused(FLOW(STEP("a", ",\"depends_on\":[\"a\"]")), "$.steps[0].depends_on");
    refused(FLOW(STEP("a", ",\"depends_on\":[\"c\"]") "," STEP(
                "b", ",\"depends_on\":[\"a\"]") "," STEP("c", ",\"depends_on\":[\"b\"]")),
            "$.steps[2].depends_on");
}

static void checks_references(void)
{
    struct wf_def d;
    struct wf_faults f;
    refused(FLOW(STEP("a", "") "," STEP("b", ",\"environment\":{\"X\":\"${steps.a.stdout}\"}")),
            "$.steps[1].environment.X");
    refused(FLOW(STEP("a", ",\"environment\":{\"X\":\"${steps.a.stdout}\"}")),
            "$.steps[0].environment.X");
    refused(FLOW(STEP("a", "") "," STEP("b", ",\"depends_on\":[\"a\"],"
                                             "\"environment\":{\"X\":\"${steps.a.stderr}\"}")),
            "$.steps[1].environment.X");
    /* through another step */
    T_EQ(
        parse(FLOW(STEP(
                  "c",
                  ",\"depends_on\":[\"b\"],"
                  "\"environment\":{\"X\":\"${steps.a.result}\"}") "," STEP("b",
                                                                            ",\"depends_on\":["
                                                                            "\"a\"]") "," STEP("a",
                                                                                               "")),
              &d, &f),
        0);
    wf_faults_done(&f);
    wf_def_done(&d);
}

static void takes_long_chains_backwards(void)
{
    cleanup_buf struct buf text = {0};
    struct wf_def d;
    struct wf_faults f;
    (void)buf_append_str(&text, "{\"name\":\"w\",\"steps\":[");
    for (int i = 0; i < WF_MAX_STEPS; i++) {
        (void)buf_printf(&text,
                         "%s{\"name\":\"s%d\",\"type\":\"command\",\"config\":{\"command\":\"x\"}",
                         i > 0 ? "," : "", i);
        if (i + 1 < WF_MAX_STEPS)
            (void)buf_printf(&text, ",\"depends_on\":[\"s%d\"]", i + 1);
        (void)buf_append_str(&text, "}");
    }
    (void)buf_append_str(&text, "]}");
    T_EQ(parse(buf_cstr(&text), &d, &f), 0);
    T_TRUE(wf_bit(d.steps[0].behind, WF_MAX_STEPS - 1));
    wf_faults_done(&f);
    wf_def_done(&d);
}

static void lookup(void *ctx, unsigned int step, const char *field, struct buf *out)
{
    (void)buf_printf(out, "<%u %s>", step, field);
}

static void expands_references(void)
{
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"", ""},
        {"plain $X ${HOME} $", "plain $X ${HOME} $"},
        {"a${steps.a.stdout}b${steps.b.exit_code}", "a<0 stdout>b<1 exit_code>"},
        {"$${steps.a.stdout}", "${steps.a.stdout}"},
        {"$$${steps.a.result}", "$${steps.a.result}"},
        {"${steps.${steps.a.result}", "<0 result>"},
    };
    struct wf_def d;
    struct wf_faults f;
    T_EQ(parse(FLOW(STEP("a", "") "," STEP("b", "")), &d, &f), 0);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_buf struct buf out = {0};
        wf_expand(&out, cases[i].text, lookup, &d, NULL);
        T_STR(buf_cstr(&out), cases[i].want);
    }
    wf_faults_done(&f);
    wf_def_done(&d);
}

T_MAIN(T_CASE(takes_a_definition_apart), T_CASE(names_each_fault), T_CASE(finds_cycles),
       T_CASE(checks_references), T_CASE(takes_long_chains_backwards), T_CASE(expands_references))
