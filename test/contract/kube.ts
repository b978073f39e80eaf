/** What every API server must do: the behaviours by which a write of a former owner can do no harm. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ownedHash } from "#machines/rules/drift.ts";
import type { KubeObject } from "#machines/rules/inventory.ts";

export type Server = {
  name: string;
  /** @param object with the conditions, in its metadata. Rejects with the HTTP status as `code`. */
  apply(object: KubeObject, options?: { dryRun?: boolean }): Promise<{ code: number; object: KubeObject }>;
  get(name: string): Promise<KubeObject | undefined>;
  /** Somebody else merges this into `data`. */
  edit(name: string, data: Record<string, string>): Promise<KubeObject>;
  delete(name: string, condition?: { uid?: string; resourceVersion?: string }): Promise<void>;
  namespace: string;
};

const status = (code: number) => (thrown: unknown) => (thrown as { code?: number }).code === code;

export function kubeContract(name: string, open: () => Promise<Server>): void {
  let serial = 0;
  const on = (title: string, prove: (server: Server, wanted: (data: Record<string, string>, conditions?: object) => KubeObject, object: string) => Promise<void>) =>
    test(`${title} (${name})`, async () => {
      const server = await open();
      const object = `contract-${++serial}`;
      const wanted = (data: Record<string, string>, conditions: object = {}): KubeObject =>
        ({ apiVersion: "v1", kind: "ConfigMap", metadata: { name: object, namespace: server.namespace, ...conditions }, data });
      await prove(server, wanted, object);
    });

  on("[KB1] resourceVersion 1 creates, and only creates", async ({ apply, get }, wanted, object) => {
    const made = await apply(wanted({ a: "1" }, { resourceVersion: "1" }));
    assert.equal(made.code, 201);
    await assert.rejects(apply(wanted({ a: "2" }, { resourceVersion: "1" })), status(409));
    assert.deepEqual((await get(object))?.["data"], { a: "1" });
  });

  on("[KB2] a stale resourceVersion changes nothing", async ({ apply, get }, wanted, object) => {
    const { object: first } = await apply(wanted({ a: "1" }));
    await apply(wanted({ a: "2" }));
    await assert.rejects(apply(wanted({ a: "3" }, { resourceVersion: first.metadata.resourceVersion })), status(409));
    assert.deepEqual((await get(object))?.["data"], { a: "2" });
  });

  on("[KB2] the uid of a deleted object brings nothing back", async (server, wanted, object) => {
    const { object: first } = await server.apply(wanted({ a: "1" }));
    await server.delete(object);
    await assert.rejects(server.apply(wanted({ a: "2" }, { uid: first.metadata.uid })), status(409));
    assert.equal(await server.get(object), undefined);
  });

  on("[KB3] an apply of the same keeps the resourceVersion", async ({ apply }, wanted) => {
    const { object: first } = await apply(wanted({ a: "1" }));
    const { code, object: second } = await apply(wanted({ a: "1" }));
    assert.equal(code, 200);
    assert.equal(second.metadata.resourceVersion, first.metadata.resourceVersion);
  });

  on("[KB4] a dry-run tells creation from update and stores nothing", async ({ apply, get }, wanted, object) => {
    assert.equal((await apply(wanted({ a: "1" }), { dryRun: true })).code, 201);
    assert.equal(await get(object), undefined);
    await apply(wanted({ a: "1" }));
    assert.equal((await apply(wanted({ a: "2" }), { dryRun: true })).code, 200);
    assert.deepEqual((await get(object))?.["data"], { a: "1" });
  });

  on("[KB5] a field set by somebody else leaves our set; one that is added does not", async (server, wanted, object) => {
    const { object: applied } = await server.apply(wanted({ a: "1" }));
    const ours = ownedHash(applied.metadata.managedFields);
    const added = await server.edit(object, { b: "theirs" });
    assert.equal(ownedHash(added.metadata.managedFields), ours);
    const taken = await server.edit(object, { a: "theirs" });
    assert.notEqual(ownedHash(taken.metadata.managedFields), ours);
    const { object: back } = await server.apply(wanted({ a: "1" }));
    assert.deepEqual({ data: back["data"], owned: ownedHash(back.metadata.managedFields) }, { data: { a: "1", b: "theirs" }, owned: ours });
  });

  on("[KB6] a delete under another uid or version is refused", async (server, wanted, object) => {
    const { object: first } = await server.apply(wanted({ a: "1" }));
    const { object: second } = await server.apply(wanted({ a: "2" }));
    await assert.rejects(server.delete(object, { resourceVersion: first.metadata.resourceVersion ?? "" }), status(409));
    await assert.rejects(server.delete(object, { uid: "00000000-0000-0000-0000-000000000000" }), status(409));
    await server.delete(object, { uid: second.metadata.uid ?? "", resourceVersion: second.metadata.resourceVersion ?? "" });
    assert.equal(await server.get(object), undefined);
  });
}
