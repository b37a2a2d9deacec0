# SPDX-License-Identifier: Apache-2.0
"""Code through the official code interpreter of E2B for Python: results, contexts, languages."""
import json

from sdktest import Sandbox, SdkTest, patience

import e2b
from e2b_code_interpreter.charts import ChartType, ScaleType


class TestCode(SdkTest):
    @classmethod
    def prepare(cls):
        super().prepare()
        cls.sandbox = Sandbox.create(timeout=900)

    def test_results(self):
        run = self.sandbox.run_code
        run("x = 41")
        execution = run("x + 1")
        self.assertEqual(execution.text, "42")
        self.assertGreater(execution.execution_count, 0)
        self.assertEqual(run("'abc'").text, "abc")
        self.assertEqual(run("print('out'); import sys; print('err', file=sys.stderr)").logs.stdout,
                         ["out\n"])
        rich = run("from IPython.display import *\ndisplay(HTML('<b>h</b>'))\n"
                   "display(JSON({'a': 1}))\nMarkdown('# m')").results
        self.assertEqual([r.html for r in rich if r.html], ["<b>h</b>"])
        self.assertEqual([r.json for r in rich if r.json], [{"a": 1}])
        self.assertEqual([r.markdown for r in rich if r.is_main_result], ["# m"])

    def chart(self, code):
        """Of a picture that the code shows."""
        execution = self.sandbox.run_code(f"import matplotlib.pyplot as p\n{code}\np.show()")
        self.assertIsNone(execution.error)
        self.assertEqual(execution.logs.stderr, [])
        result, = (r for r in execution.results if r.png)
        return result.chart

    def test_chart_of_lines(self):
        chart = self.chart("p.plot([1, float('nan')], [3, 4], label='up')\np.title('T')\n"
                           "p.xlabel('Time (s)')\np.yscale('log')")
        self.assertEqual((chart.type, chart.title), (ChartType.LINE, "T"))
        self.assertEqual((chart.x_label, chart.x_unit, chart.y_label), ("Time (s)", "s", None))
        self.assertEqual((chart.x_scale, chart.y_scale), (ScaleType.LINEAR, ScaleType.LOG))
        self.assertEqual([(e.label, e.points) for e in chart.elements],
                         [("up", [(1, 3), (None, 4)])])
        self.assertEqual(len(chart.x_ticks), len(chart.x_tick_labels))
        chart = self.chart("import datetime\np.scatter([datetime.date(2020, 1, 2)], ['a'])")
        self.assertEqual(chart.type, ChartType.SCATTER)
        self.assertEqual((chart.x_scale, chart.y_scale),
                         (ScaleType.DATETIME, ScaleType.CATEGORICAL))
        (when, what), = chart.elements[0].points
        self.assertEqual((when[:10], what), ("2020-01-02", "a"))

    def test_chart_of_bars_and_wedges(self):
        chart = self.chart("p.bar(['x', 'y'], [3, 4], label='g', yerr=[1, 1])")
        self.assertEqual((chart.type, [(b.label, b.group, b.value) for b in chart.elements]),
                         (ChartType.BAR, [("x", "g", 3), ("y", "g", 4)]))
        chart = self.chart("p.barh(['x'], [3])")
        self.assertEqual([(b.label, b.value) for b in chart.elements], [("x", 3)])
        chart = self.chart("p.pie([1, 3], labels=['one', 'three'])")
        self.assertEqual((chart.type, [(e.label, round(e.angle)) for e in chart.elements]),
                         (ChartType.PIE, [("one", 90), ("three", 270)]))

    def test_chart_of_boxes(self):
        for turned in ("", ", vert=False, patch_artist=True"):
            chart = self.chart(f"p.boxplot([[1, 2, 3, 4, 5, 30]], labels=['A']{turned})")
            self.assertEqual(chart.type, ChartType.BOX_AND_WHISKER)
            box, = chart.elements
            self.assertEqual((box.label, box.min, box.first_quartile, box.median,
                              box.third_quartile, box.max, box.outliers),
                             ("A", 1, 2.25, 3.5, 4.75, 5, [30]))

    def test_several_charts_and_none(self):
        chart = self.chart("f, a = p.subplots(1, 2)\nf.suptitle('both')\na[0].plot([1, 2])\n"
                           "a[1].bar([1], [2])")
        self.assertEqual((chart.type, chart.title, [c.type for c in chart.elements]),
                         (ChartType.SUPERCHART, "both", [ChartType.LINE, ChartType.BAR]))
        self.assertEqual(self.chart("p.imshow([[1, 2]])").type, ChartType.UNKNOWN)
        self.assertIsNone(self.chart("p.plot(range(20000))"))

    def test_tables_and_other_types(self):
        run = self.sandbox.run_code
        table = run("import pandas\npandas.DataFrame({'a': [1, 2], 'b': ['x', None]})").results[0]
        self.assertEqual(table.data, {"a": [1, 2], "b": ["x", None]})
        self.assertIn("<table", table.html)
        self.assertIsNone(run("pandas.DataFrame({'a': range(20000)})").results[0].data)
        shown = run("from IPython.display import display\n"
                    "kinds = ['text/plain', 'text/html', 'text/markdown', 'text/latex',"
                    " 'image/svg+xml', 'image/png', 'image/jpeg', 'application/pdf',"
                    " 'application/json', 'application/javascript', 'application/x-own']\n"
                    "display({k: {'of': k} if 'json' in k else k for k in kinds}, raw=True)")
        result, = shown.results
        self.assertEqual(result.extra, {"application/x-own": "application/x-own"})
        self.assertEqual(result.json, {"of": "application/json"})
        self.assertEqual(
            [result.text, result.html, result.markdown, result.latex, result.svg, result.png,
             result.jpeg, result.pdf, result.javascript],
            ["text/plain", "text/html", "text/markdown", "text/latex", "image/svg+xml",
             "image/png", "image/jpeg", "application/pdf", "application/javascript"])

    def test_order_of_events(self):
        """The number of a run is known before its output, and its end is the last line."""
        status, body = self.raw(
            "POST", "/execute", b'{"code": "print(1)\\n2"}',
            {"E2b-Sandbox-Id": self.sandbox.sandbox_id, "E2b-Sandbox-Port": "49999",
             "X-Access-Token": self.sandbox._envd_access_token,
             "Content-Type": "application/json"})
        self.assertEqual(status, 200)
        events = [json.loads(line)["type"] for line in body.splitlines()]
        self.assertEqual(events, ["number_of_executions", "stdout", "result", "end_of_execution"])

    def test_error_and_after(self):
        failed = self.sandbox.run_code("1/0").error
        self.assertEqual(failed.name, "ZeroDivisionError")
        self.assertIn("division", failed.value)
        self.assertTrue(failed.traceback)
        self.assertEqual(self.sandbox.run_code("2+2").text, "4")

    def test_line_breaks_of_unicode(self):
        text = "a\u2028b\u0085c 😀 grüße"
        execution = self.sandbox.run_code(f"print({text!r})\n{text!r}")
        self.assertEqual("".join(execution.logs.stdout), text + "\n")
        self.assertEqual(self.sandbox.run_code("'a\\u2028😀'").text.strip("'"), "a\\u2028😀")

    def test_contexts(self):
        sandbox = self.sandbox
        context = sandbox.create_code_context(cwd="/tmp")
        self.assertEqual(sandbox.run_code("import os; os.getcwd()", context=context).text, "/tmp")
        sandbox.run_code("y = 5", context=context)
        self.assertEqual(sandbox.run_code("y").error.name, "NameError")
        self.assertIn(context.id, [c.id for c in sandbox.list_code_contexts()])
        sandbox.restart_code_context(context)
        self.assertEqual(sandbox.run_code("y", context=context).error.name, "NameError")
        sandbox.remove_code_context(context)
        with self.assertRaises(e2b.NotFoundException):
            sandbox.run_code("1", context=context)

    def test_languages(self):
        self.assertEqual("".join(
            self.sandbox.run_code("echo $((2+3))", language="bash").logs.stdout), "5\n")
        with self.assertRaises(e2b.SandboxException):
            self.sandbox.run_code("1", language="cobol")
        with self.assertRaises(e2b.InvalidArgumentException):
            self.sandbox.run_code("1", language="bash",
                                  context=self.sandbox.create_code_context())

    def test_languages_of_node(self):
        sandbox = self.make(template="javascript-base-v1")
        run = sandbox.run_code
        for language in ("javascript", "js"):
            execution = run("console.log('out'); 6 * 7", language=language)
            self.assertEqual((execution.text, execution.logs.stdout), ("42", ["out\n"]))
            self.assertGreater(execution.execution_count, 0)
        self.assertEqual(run("const n: number = 5; n + 1", language="ts").text, "6")
        self.assertEqual(run("throw new TypeError('no')", language="js").error.name, "TypeError")
        context = sandbox.create_code_context(language="javascript", cwd="/tmp")
        self.assertEqual(run("process.cwd()", context=context).text, "/tmp")

    def test_time_out_keeps_state(self):
        self.sandbox.run_code("kept = 1")
        with self.assertRaises(e2b.TimeoutException):
            self.sandbox.run_code("import time\nwhile True: time.sleep(0.1)", timeout=2)
        self.assertEqual(self.sandbox.run_code("kept", timeout=patience(30)).text, "1")

    def test_silence(self):
        self.assertEqual(self.sandbox.run_code("import time; time.sleep(14); 'awake'").text,
                         "awake")

    def test_environment(self):
        self.assertEqual(self.sandbox.run_code("import os; os.environ['Q']",
                                               envs={"Q": "run"}).text, "run")
        other = self.make(envs={"Q": "global"})
        self.assertEqual(other.run_code("import os; os.environ['Q']").text, "global")
