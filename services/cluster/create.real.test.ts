/** The table of docs/decisions/0001-create-by-apply.md, line by line, against a real API server. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { KubeObject } from "#machines/rules/inventory.ts";
import { KubeError } from "#services/clients/kubernetes/error.ts";
import { cluster } from "../../test/kit/cluster.ts";
import { configMap, openBed, type Bed } from "./sample-objects.ts";

let bed: Bed;
let namespace: string;
before(async () => {
  const real = await cluster();
  namespace = await real.namespace("create");
  bed = await openBed(real.kubeconfig);
});
after(() => bed.close());

const pathOf = (name: string) => `/api/v1/namespaces/${namespace}/configmaps/${name}`;

async function send(name: string, conditions: object, data = { a: "1" }): Promise<{ code: number; object?: KubeObject; said?: string }> {
  const object = configMap(namespace, name, data);
  try {
    const { code, body } = await bed.client.request<KubeObject>({
      method: "PATCH", path: pathOf(name), query: { fieldManager: "kustomize-controller", force: true },
      contentType: "application/apply-patch+yaml", body: { ...object, metadata: { ...object.metadata, ...conditions } },
    });
    return { code, object: body };
  } catch (error) {
    if (error instanceof KubeError) return { code: error.code, said: error.message };
    throw error;
  }
}

async function versions(name: string): Promise<{ uid: string; resourceVersion: string }> {
  const { metadata } = await bed.read(pathOf(name));
  return { uid: metadata.uid ?? "", resourceVersion: metadata.resourceVersion ?? "" };
}

const createOnly = { resourceVersion: "1" };

test("[AP13] absent, version 1: created, and the fields belong to an Apply entry", async () => {
  const { code, object } = await send("absent", createOnly);
  assert.equal(code, 201);
  assert.deepEqual(object?.metadata.managedFields?.map(({ manager, operation }) => [manager, operation]), [["kustomize-controller", "Apply"]]);
});

test("[AP13] present, version 1: refused, whatever the object holds", async () => {
  await send("present", createOnly);
  assert.equal((await send("present", createOnly)).code, 409);
  assert.equal((await send("present", createOnly, { a: "2" })).code, 409);
  assert.deepEqual((await bed.read(pathOf("present")))["data"], { a: "1" });
});

test("[AP14] present and unchanged since: written; changed since: refused", async () => {
  await send("changing", createOnly);
  const seen = await versions("changing");
  await bed.edit(pathOf("changing"), { data: { b: "theirs" } });
  const { code, said } = await send("changing", seen, { a: "2" });
  assert.deepEqual([code, /modified/.test(said ?? "")], [409, true]);
  assert.equal((await send("changing", await versions("changing"), { a: "2" })).code, 200);
});

test("[AP14] deleted since: refused, and not brought back", async () => {
  await send("deleted", createOnly);
  const seen = await versions("deleted");
  await bed.client.request({ method: "DELETE", path: pathOf("deleted") });
  const { code, said } = await send("deleted", seen, { a: "2" });
  assert.deepEqual([code, /uid mismatch/.test(said ?? "")], [409, true]);
  await assert.rejects(bed.read(pathOf("deleted")), { code: 404 });
});

test("[AP14] deleted and created anew since: refused", async () => {
  await send("anew", createOnly);
  const seen = await versions("anew");
  await bed.client.request({ method: "DELETE", path: pathOf("anew") });
  await send("anew", createOnly);
  assert.equal((await send("anew", seen, { a: "2" })).code, 409);
});

test("[AP15] a write that changes nothing keeps the version", async () => {
  await send("same", createOnly);
  const seen = await versions("same");
  const { code, object } = await send("same", seen);
  assert.deepEqual([code, object?.metadata.resourceVersion], [200, seen.resourceVersion]);
});
