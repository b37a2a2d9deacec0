# SPDX-License-Identifier: Apache-2.0
"""Snapshots and forks with the official package of gravixlayer 0.1."""
import asyncio
import unittest
import uuid

from corraltest import ISOLATION
from gravixlayer import AsyncGravixLayer
from gravixlayer.types import exceptions
from test_gravix_python import OneRuntime

KIND = "cold" if ISOLATION == "oci" else "hot"


class TestSnapshots(OneRuntime):
    def end(self, runtimes):
        for runtime in runtimes:
            self.addCleanup(self.sdk.runtime.kill, runtime.runtime_id)
        return runtimes

    def said(self, runtime, command):
        return self.sdk.runtime.run_cmd(runtime.runtime_id, command).stdout

    def test_create_use_switch_and_delete(self):
        catalog, name = self.sdk.snapshots, f"ready-{uuid.uuid4().hex[:8]}"
        self.box.file.write("kept", "of the parent")
        if KIND == "hot":
            context = self.box.create_context()
            self.box.run_code("x = 42", context_id=context.context_id)
        made = catalog.create(self.box_id, name, kind=KIND, description="It has a file")
        self.assertEqual((made.name, made.kind, made.state, made.is_active, made.source),
                         (name, KIND, "active", True, "runtime"))
        self.assertEqual((made.source_runtime_id, made.description), (self.box_id, "It has a file"))
        self.assertGreater(made.size_bytes * made.vcpu_count * made.memory_mb * made.disk_size_mb, 0)
        self.assertEqual(catalog.get(name), catalog.get(made.id))
        self.assertIn(made.id, [s.id for s in catalog.list(kind=KIND, runtime_id=self.box_id)
                                .snapshots])
        child, = self.end([self.sdk.runtime.create(snapshot=name)])
        self.assertEqual(self.said(child, "cat /workspace/kept"), "of the parent")
        if KIND == "hot":
            self.assertEqual(self.sdk.runtime.run_code(child.runtime_id, "print(x)",
                                                       context_id=context.context_id).text, "42")
        self.assertFalse(catalog.deactivate(name).is_active)
        error = self.refused(exceptions.GravixLayerBadRequestError, self.sdk.runtime.create,
                             snapshot=name)
        self.assertEqual((error.status, error.code), (409, "conflict"))
        self.assertTrue(catalog.activate(name).is_active)
        self.end([self.sdk.runtime.create(snapshot=made.id)])
        self.assertTrue(catalog.delete(name).deleted)
        error = self.refused(exceptions.GravixLayerBadRequestError, catalog.get, name)
        self.assertEqual((error.status, error.code), (404, "snapshot_not_found"))

    def test_what_the_package_asks_for_unless_it_is_told(self):
        self.box.file.write("kept", "of the parent")
        self.said(self.box, "setsid sleep 1000 > /dev/null 2>&1 &")
        made = self.sdk.snapshots.create(self.box_id, "usual")
        self.assertEqual(made.kind, "cold")
        child, = self.end([self.sdk.runtime.create(snapshot="usual")])
        self.assertEqual(self.said(child, "cat /workspace/kept; pgrep -c sleep"),
                         "of the parent0\n")
        self.assertTrue(self.sdk.snapshots.delete("usual").deleted)

    @unittest.skipUnless(ISOLATION == "oci", "a microVM has both kinds")
    def test_the_other_kind_is_refused_with_the_reason(self):
        error = self.refused(exceptions.GravixLayerServerError, self.sdk.snapshots.create,
                             self.box_id, "other", kind="hot")
        self.assertEqual((error.status, error.code), (501, "unsupported"))
        self.assertIn("containers", str(error))

    def test_forks(self):
        self.box.file.write("kept", "of the parent")
        forked = self.sdk.runtime.fork(self.box_id, count=2, metadata={"is": "child"},
                                       env_vars={"WHO": "c"}, timeout_seconds=600)
        self.assertEqual((forked.succeeded, forked.failed, forked.snapshot_persisted),
                         (2, 0, False))
        for child in self.end(forked.runtimes):
            self.assertEqual(self.said(child, "cat /workspace/kept; echo $WHO"), "of the parentc\n")
            self.assertEqual(child.metadata, {"is": "child"})
        kept = self.sdk.runtime.fork(self.box_id, persist_snapshot=True, name="of-fork")
        self.end(kept.runtimes)
        self.assertEqual((kept.succeeded, kept.snapshot_persisted, kept.parent_runtime_id),
                         (1, True, self.box_id))
        self.assertEqual([s.id for s in self.sdk.snapshots.list(source="fork").snapshots],
                         [kept.snapshot_id])
        again = self.sdk.snapshots.fork("of-fork", count=2)
        self.end(again.runtimes)
        self.assertEqual((again.succeeded, again.snapshot_id, again.parent_runtime_id),
                         (2, kept.snapshot_id, None))
        self.sdk.snapshots.delete(kept.snapshot_id)

    def test_from_asyncio(self):
        async def flow():
            async with AsyncGravixLayer() as client:
                made = await client.snapshots.create(self.box_id, "async", kind=KIND)
                listed = await client.snapshots.list()
                self.assertIn(made.id, [s.id for s in listed.snapshots])
                await client.snapshots.delete("async")
        asyncio.run(flow())
