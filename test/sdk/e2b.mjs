// SPDX-License-Identifier: Apache-2.0
// The official Node packages of E2B against a server, driven by test_e2b_node.py: one line a case,
// "ok NAME" or "not ok NAME: why". E2B_API_URL and the others are in the environment.
import assert from 'node:assert/strict'
import { Sandbox as Plain, NotFoundError } from 'e2b'
import { Sandbox } from '@e2b/code-interpreter'

const sandbox = await Sandbox.create({ timeoutMs: 300_000, metadata: { who: 'ü & =+' } })
const { commands, files } = sandbox

const cases = {
  async info() {
    const info = await sandbox.getInfo()
    assert.equal(info.sandboxId, sandbox.sandboxId)
    assert.equal(await sandbox.isRunning(), true)
  },
  async list() {
    const pages = Plain.list({ query: { metadata: { who: 'ü & =+' } } })
    const found = await pages.nextItems()
    assert.deepEqual(found.map((s) => s.sandboxId), [sandbox.sandboxId])
  },
  async run() {
    const result = await commands.run('echo out; echo err >&2; pwd')
    assert.equal(result.stdout, 'out\n/home/user\n')
    assert.equal(result.stderr, 'err\n')
  },
  async exit() {
    await assert.rejects(commands.run('exit 7'), (e) => e.exitCode === 7)
  },
  async background() {
    const handle = await commands.run('sleep 100', { background: true })
    assert.ok((await commands.list()).some((p) => p.pid === handle.pid))
    assert.equal(await handle.kill(), true)
    assert.equal(await commands.kill(999999), false)
  },
  async stdin() {
    const handle = await commands.run('head -n 1', { background: true, stdin: true })
    await commands.sendStdin(handle.pid, 'typed\n')
    assert.equal((await handle.wait()).stdout, 'typed\n')
  },
  async files() {
    await files.write('a b/ü.txt', 'hällo')
    assert.equal(await files.read('/home/user/a b/ü.txt'), 'hällo')
    const data = new Uint8Array(1 << 20).map((_, i) => i * 7)
    await files.write('/tmp/blob', data.buffer)
    assert.deepEqual(await files.read('/tmp/blob', { format: 'bytes' }), data)
    await files.write('/tmp/empty', '')
    assert.equal(await files.read('/tmp/empty'), '')
    await files.write([{ path: '/tmp/m1', data: '1' }, { path: 'm2', data: '2' }])
    assert.equal(await files.read('m2'), '2')
  },
  async tree() {
    assert.equal(await files.makeDir('t/x'), true)
    assert.equal(await files.makeDir('t/x'), false)
    await files.write('t/x/f', 'f')
    await files.rename('t/x/f', 't/g')
    assert.equal(await files.exists('t/x/f'), false)
    assert.deepEqual((await files.list('t')).map((e) => e.name).sort(), ['g', 'x'])
    await files.remove('t')
    await assert.rejects(files.read('t/g'), NotFoundError)
  },
  async watch() {
    await files.makeDir('w')
    const events = []
    const handle = await files.watchDir('w', (e) => events.push(e))
    await files.write('w/new', '1')
    for (let i = 0; i < 50 && events.length < 2; i++) await new Promise((r) => setTimeout(r, 100))
    await handle.stop()
    assert.deepEqual(events.slice(0, 2).map((e) => [e.name, e.type]),
      [['new', 'create'], ['new', 'write']])
  },
  async pty() {
    const seen = []
    const handle = await sandbox.pty.create({ cols: 90, rows: 20, onData: (d) => seen.push(...d) })
    await sandbox.pty.sendInput(handle.pid, new TextEncoder().encode('stty size; exit 3\n'))
    await assert.rejects(handle.wait(), (e) => e.exitCode === 3)
    assert.ok(new TextDecoder().decode(new Uint8Array(seen)).includes('20 90'))
  },
  async urls() {
    await files.write('signed file', 'yes')
    const answer = await fetch(await sandbox.downloadUrl('signed file'))
    assert.equal(await answer.text(), 'yes')
  },
  async code() {
    await sandbox.runCode('x = 41')
    assert.equal((await sandbox.runCode('x + 1')).text, '42')
    assert.equal((await sandbox.runCode("'grüße 😀'")).text, 'grüße 😀')
    assert.equal((await sandbox.runCode('1/0')).error.name, 'ZeroDivisionError')
    const context = await sandbox.createCodeContext({ cwd: '/tmp' })
    assert.equal((await sandbox.runCode('import os; os.getcwd()', { context })).text, '/tmp')
    await sandbox.removeCodeContext(context)
  },
  async timeout() {
    await sandbox.setTimeout(600_000)
    const other = await Plain.connect(sandbox.sandboxId)
    assert.equal((await other.commands.run('echo same')).stdout, 'same\n')
  },
  async kill() {
    assert.equal(await sandbox.kill(), true)
    assert.equal(await Plain.kill(sandbox.sandboxId), false)
    assert.equal(await sandbox.isRunning(), false)
  },
}

for (const [name, run] of Object.entries(cases)) {
  try {
    await run()
    console.log(`ok ${name}`)
  } catch (error) {
    console.log(`not ok ${name}: ${String(error?.stack ?? error).replaceAll('\n', ' | ')}`)
  }
}
process.exit(0)
