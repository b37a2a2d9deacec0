# SPDX-License-Identifier: Apache-2.0
"""JavaScript and TypeScript runs through the bridge: the Node.js kernel."""
import time

from guesthost import GuestTest, fresh_seed, wire


class NodeTest(GuestTest):
    template = "javascript-base-v1"

    def js(self, code, **options):
        return self.run_code(code, language="javascript", **options)

    def ts(self, code, **options):
        return self.run_code(code, language="typescript", **options)

    def js_value(self, code, **options):
        return self.value(code, language="javascript", **options)

    def ts_value(self, code, **options):
        return self.value(code, language="typescript", **options)


class JavaScript(NodeTest):
    def test_state_and_counts_persist(self):
        first = self.js("const kept = 41; let other = 1; class K { x = 2 };"
                        "function f() { return 3 }")
        self.assertEqual((first.status, first.results), (wire.DONE_OK, []))
        second = self.js("kept + other + new K().x + f()")
        self.assertEqual((second.text, second.count), ("47", first.count + 1))

    def test_declarations_may_be_repeated(self):
        for value in ("1", "2"):
            code = f"const again = {value}; let b = again; class A {{}}; b"
            self.assertEqual(self.js_value(code), value)

    def test_values(self):
        for code, text in (("1 + 1", "2"), ("'a'", "'a'"), ("null", "null"), ("-0", "-0"),
                           ("10n", "10n"), ("[1, 'b']", "[ 1, 'b' ]"),
                           ("({a: {b: 1}})", "{ a: { b: 1 } }"),
                           ("{a: 1}", "{ a: 1 }"), ("x7 = 7", "7"), ("NaN", "NaN"),
                           ("new Map([[1, 2]])", "Map(1) { 1 => 2 }"), ("1 // one", "1")):
            self.assertEqual(self.js_value(code), text, code)
        for code in ("", "// nothing", "undefined", "let u = 1", "void 0", "if (false) { 1 }"):
            self.assertEqual(self.js(code).results, [], code)

    def test_streams_stay_apart_and_come_first(self):
        outcome = self.js("console.log('o', 1); console.error('e'); process.stdout.write('é'); 7")
        self.assertEqual((outcome.stdout, outcome.stderr, outcome.text), ("o 1\né", "e\n", "7"))
        self.assertEqual(outcome.frames[-1][0], wire.DONE)

    def test_a_lot_of_output(self):
        outcome = self.js("for (let i = 0; i < 100000; i++) console.log(i); undefined")
        self.assertEqual(outcome.stdout, "".join(f"{i}\n" for i in range(100000)))
        outcome = self.js("console.log('😀'.repeat(3000001))")
        self.assertEqual(outcome.stdout, "😀" * 3000001 + "\n")

    def test_output_is_live(self):
        run = wire.code_run("console.log('now'); while (true) {}", language="javascript")
        with wire.Connection(self.socket, run, timeout=10) as connection:
            self.assertEqual(connection.spoken()[1][2], "now\n")
        self.assertEqual(self.js_value("1"), "1")

    def test_await_at_the_top(self):
        self.assertEqual(self.js_value("const a = await Promise.resolve(5); a"), "5")
        code = "await new Promise(done => setTimeout(done, 50, 'x'))"
        self.assertEqual(self.js_value(code), "'x'")

    def test_a_promise_at_the_end_is_awaited(self):
        code = ("async function main() { await new Promise(r => setTimeout(r, 100));"
                " console.log('late'); return 9 }\nmain()")
        outcome = self.js(code)
        self.assertEqual((outcome.stdout, outcome.text), ("late\n", "9"))
        self.assertEqual(self.js("Promise.reject(new TypeError('no'))").errors[0][:2],
                         ["TypeError", "no"])

    def test_errors(self):
        outcome = self.js("function f() {\n  throw new RangeError('bad')\n}\nf()")
        self.assertEqual(outcome.status, wire.RAISED)
        ((name, value, traceback),) = outcome.errors
        self.assertEqual((name, value), ("RangeError", "bad"))
        self.assertRegex(traceback, r"^RangeError: bad\n +at f \(cell-\d+\.js:2:9\)\n"
                                    r" +at cell-\d+\.js:4:1")
        self.assertNotIn("inspector", traceback)
        self.assertEqual(outcome.stderr, "")
        self.assertEqual(self.js("nope").errors[0][:2], ["ReferenceError", "nope is not defined"])
        self.assertEqual(self.js("throw 5").errors[0][:2], ["Uncaught", "5"])
        self.assertEqual(self.js("throw null").errors[0][:2], ["Uncaught", "null"])
        self.assertEqual(self.js("await Promise.reject(new Error('r'))").errors[0][:2],
                         ["Error", "r"])
        self.assertEqual(self.js_value("2"), "2")

    def test_syntax_errors_have_a_place(self):
        ((name, value, traceback),) = self.js("let ok = 1\nlet 5q = 2").errors
        self.assertEqual(name, "SyntaxError")
        self.assertTrue(value)
        self.assertRegex(traceback, r"^cell-\d+\.js:2:\d+\nlet 5q = 2\n")

    def test_errors_nobody_catches(self):
        outcome = self.js("setTimeout(() => { throw new Error('loose') }, 10);"
                          "Promise.reject(new Error('left'));"
                          "await new Promise(r => setTimeout(r, 100))")
        self.assertEqual(outcome.status, wire.DONE_OK)
        self.assertIn("Error: loose", outcome.stderr)
        self.assertIn("Error: left", outcome.stderr)
        self.assertEqual(self.js_value("3"), "3")

    def test_modules(self):
        self.js("require('fs').mkdirSync('node_modules/own', {recursive: true});"
                "require('fs').writeFileSync('node_modules/own/index.js', 'exports.n = 4');"
                "require('fs').writeFileSync('local.mjs', 'export const m = 5; export default 6');")
        self.assertEqual(self.js_value("require('own').n"), "4")
        self.assertEqual(self.js_value("import { join as j } from 'path'\nj('a', 'b')"), "'a/b'")
        self.assertEqual(self.js_value("import path, * as all from 'node:path';\n"
                                       "path.sep + all.sep"), "'//'")
        self.assertEqual(self.js_value("import six, { m } from './local.mjs'; [six, m]"),
                         "[ 6, 5 ]")
        self.assertEqual(self.js_value("(await import('own')).default.n"), "4")
        self.assertEqual(self.js_value("import.meta.dirname"), "'/home/user'")
        self.assertEqual(self.js_value("export const e = 8; e"), "8")
        self.assertEqual(self.js("import 'nowhere'").errors[0][0], "Error")
        self.assertEqual(self.js_value("'import'"), "'import'")

    def test_children(self):
        outcome = self.js("const cp = require('child_process');"
                          "cp.execSync('echo child', {stdio: 'inherit'});"
                          "String(cp.execSync('echo back'))")
        self.assertEqual((outcome.stdout, outcome.text), ("child\n", r"'back\n'"))

    def test_input_fails_at_once(self):
        outcome = self.js("rl = require('readline').createInterface({input: process.stdin});"
                          "await new Promise(done => rl.question('?', done))")
        self.assertIn("nobody can answer", outcome.errors[0][1])
        self.assertLess(outcome.seconds, 5)

    def test_rich_values(self):
        code = "({[Symbol.for('Jupyter.display')]: () => ({'text/html': '<b>x</b>'})})"
        self.assertEqual(self.js(code).results[0]["text/html"], "<b>x</b>")

    def test_contexts_do_not_see_each_other(self):
        for name in ("a", "b"):
            self.create_context(name, language="javascript", cwd="/tmp")
            self.addCleanup(self.delete_context, name)
            self.run_code(f"const x = '{name}'", context=name)
        self.assertEqual(self.value("x", context="a"), "'a'")
        self.assertEqual(self.value("x + process.cwd()", context="b"), "'b/tmp'")
        self.assertEqual(self.js("x").errors[0][0], "ReferenceError")

    def test_aliases(self):
        self.js("const alias = 1")
        for name in ("js", "node", "JavaScript"):
            self.assertEqual(self.value("alias", language=name), "1")


class Endings(NodeTest):
    def test_an_interrupt_keeps_the_state(self):
        for loop in ("while (true) {}", "await null; while (true) {}",
                     "await new Promise(() => {})", "await new Promise(r => setTimeout(r, 60000))",
                     "tp = require('timers/promises'); for (;;) { await tp.setTimeout(5); n++ }",
                     "require('child_process').execSync('sleep 60')"):
            self.js("kept = 5; n = 0")
            outcome = self.js(loop, timeout_ms=400)
            self.assertEqual(outcome.status, wire.TIMED_OUT, loop)
            self.assertLess(outcome.seconds, 4)
            ticks = self.js_value("n")
            self.assertEqual(self.js_value("kept"), "5", loop)
            time.sleep(0.1)
            self.assertEqual(self.js_value("n"), ticks)

    def test_a_deaf_loop_restarts(self):
        outcome = self.js("lost = 1; await new Promise(r => setTimeout(r, 10)); while (true) {}",
                          timeout_ms=300)
        self.assertEqual(outcome.status, wire.RESTARTED)
        self.assertEqual(self.js("lost").errors[0][0], "ReferenceError")

    def test_exit_makes_room_for_a_new_kernel(self):
        for _ in range(3):
            outcome = self.js("gone = 1; console.log('bye'); process.exit(0)")
            self.assertEqual((outcome.status, outcome.stdout), (wire.DONE_OK, "bye\n"))
            self.assertEqual(self.js("gone").errors[0][0], "ReferenceError")

    def test_a_kernel_that_dies(self):
        self.assertEqual(self.js("process.kill(process.pid, 'SIGKILL'); await 0").status,
                         wire.KERNEL_DIED)
        self.assertEqual(self.js_value("1"), "1")


class TypeScript(NodeTest):
    def test_types_are_dropped(self):
        self.ts("interface P { name: string }\nconst p: P = { name: 'n' }\n"
                "enum Color { Red, Green }\nfunction id<T>(x: T): T { return x }")
        self.assertEqual(self.ts_value("id<string>(p.name) + Color[Color.Green]"), "'nGreen'")
        self.assertEqual(self.ts_value("(await Promise.resolve(3)) as number"), "3")
        code = "import type { Stats } from 'fs'\nimport { sep } from 'path'\n"
        self.assertEqual(self.ts_value(code + "const s: string = sep\ns"), "'/'")

    def test_errors(self):
        outcome = self.ts("const a: number = ;")
        ((name, value, traceback),) = outcome.errors
        self.assertEqual((name, value), ("SyntaxError", "Expression expected."))
        self.assertRegex(traceback, r"^cell-\d+\.ts:1:19\n")
        self.assertEqual(self.ts("null!.x").errors[0][0], "TypeError")

    def test_the_languages_are_apart(self):
        self.ts("const mine = 1")
        self.assertEqual(self.js("mine").errors[0][0], "ReferenceError")


class Environment(NodeTest):
    def test_variables_of_one_run(self):
        self.js("process.env.OWN = 'mine'")
        code = "[process.env.ONE, process.env.OWN]"
        self.assertEqual(self.js_value(code, env=["ONE=1=2'`\"", "OWN=theirs"]),
                         "[ '1=2\\'`\"', 'theirs' ]")
        self.assertEqual(self.js_value(code), "[ undefined, 'mine' ]")

    def test_variables_for_all(self):
        count = self.js("1").count
        self.set_environment(["ALL=it's"])
        outcome = self.js("process.env.ALL")
        self.assertEqual((outcome.text, outcome.count), ('"it\'s"', count + 1))
        self.assertEqual(self.ts_value("process.env.ALL"), '"it\'s"')

    def test_nothing_of_ours_shows(self):
        self.js("names = () => [...Object.getOwnPropertyNames(globalThis),"
                "...Object.getOwnPropertySymbols(globalThis).map(String)].filter("
                "n => /corral/.test(n)).join()")
        self.set_environment(["Y=1"], fresh_seed())
        self.assertEqual(self.js_value("names()", env=["X=1"]), "''")
        self.assertEqual(self.js_value("process.argv.length"), "1")

    def test_random_numbers(self):
        code = ("c = require('crypto'); [Math.random(), c.randomBytes(9).toString('hex'),"
                "c.randomUUID(), c.randomInt(10 ** 9), c.randomFillSync(Buffer.alloc(9)).join(),"
                "crypto.randomUUID(), crypto.getRandomValues(new Uint8Array(9)).join()].join(' ')")
        values = " ".join(self.js_value(code)[1:-1] for _ in range(20)).split(" ")
        self.assertEqual(len(set(values)), 140)
        self.set_environment([], fresh_seed())
        self.assertEqual(self.js_value("const m = Math.random(); m >= 0 && m < 1"), "true")
        self.assertEqual(
            self.js_value("const vm = require('vm'); const draw = 'Math.random';"
                          "[vm.runInNewContext(draw), vm.runInNewContext(draw, {a: 1}),"
                          " vm.runInContext(draw, vm.createContext({})),"
                          " new vm.Script(draw).runInNewContext()].map(f => f === Math.random)"),
            "[ true, true, true, true ]")
        self.assertEqual(self.js_value("vm.runInNewContext('a = b + 1', o = {b: 1}); o.a"), "2")


class WarmUp(NodeTest):
    warmup = {"languages": ["javascript", "typescript"],
              "code": {"javascript": "1 + 1", "typescript": "const warm: number = 1"}}

    def test_kernels_are_up(self):
        self.assertEqual(self.ask(wire.CODE_READY), (wire.OK, []))
        outcome = self.js("typeof warm")
        self.assertEqual((outcome.text, outcome.count), ("'undefined'", 1))
        self.assertLess(outcome.seconds, 0.5)
        self.assertEqual(self.ts("typeof warm").text, "'undefined'")
