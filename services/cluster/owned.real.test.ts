/** Objects that are made beside the hub's own, against a real API server. Any kind with a status that nobody else writes will do. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Fault, type FaultCode } from "#protocol/errors/fault.ts";
import { cluster } from "../../test/kit/cluster.ts";
import { applyOwned, removeOwned, type Owned } from "./owned.ts";
import { openBed, type Bed } from "./sample-objects.ts";

let bed: Bed;
let namespace: string;
before(async () => {
  const real = await cluster();
  namespace = await real.namespace("owned");
  bed = await openBed(real.kubeconfig);
});
after(() => bed.close());

const refOf = (name: string) => ({ group: "networking.k8s.io", version: "v1", kind: "Ingress", plural: "ingresses", namespace, name });
const pathOf = (name: string) => `/apis/networking.k8s.io/v1/namespaces/${namespace}/ingresses/${name}`;
const owned = (labels: Record<string, string> = {}): Owned => ({
  manager: "source-watcher", metadata: { labels, annotations: {} },
  spec: { defaultBackend: { service: { name: "a", port: { number: 80 } } } },
  status: { loadBalancer: { ingress: [{ ip: "10.0.0.7" }] } },
});
const free = { guard: () => undefined };
const refused = (code: FaultCode) => (error: unknown) => error instanceof Fault && error.code === code;
const create = (name: string) => applyOwned(bed.client, refOf(name), owned({ old: "yes" }), undefined, free);

test("[AG33] absent: created with its status, as an apply of the manager; there already: refused", async () => {
  const made = await create("absent");
  assert.deepEqual([made["status"], made.metadata.labels?.["old"]], [owned().status, "yes"]);
  assert.deepEqual(made.metadata.managedFields?.map(({ manager, operation }) => `${manager} ${operation}`), ["source-watcher Apply", "source-watcher Apply"]);
  await assert.rejects(create("absent"), refused("ApplyConflict"));
});

test("[AG33] as it was looked at: written, and what is no longer wanted goes; changed since: refused", async () => {
  const made = await create("there");
  const now = await applyOwned(bed.client, refOf("there"), owned({ now: "yes" }), made, free);
  assert.deepEqual(now.metadata.labels, { now: "yes" });
  await assert.rejects(applyOwned(bed.client, refOf("there"), owned({ late: "yes" }), made, free), refused("ApplyConflict"));
});

test("[AG33] deleted by its uid alone; one that is gone is fine", async () => {
  const { metadata: { uid = "" } } = await create("leaving");
  await assert.rejects(removeOwned(bed.client, refOf("leaving"), "00000000-0000-0000-0000-000000000000", free), refused("ApplyConflict"));
  assert.equal((await bed.read(pathOf("leaving"))).metadata.uid, uid);
  await removeOwned(bed.client, refOf("leaving"), uid, free);
  await removeOwned(bed.client, refOf("leaving"), uid, free);
});

test("[AG33] nothing is sent when the worker may not write", async () => {
  const guard = () => { throw new Fault("LeaseLost", "it"); };
  await assert.rejects(applyOwned(bed.client, refOf("never"), owned(), undefined, { guard }), refused("LeaseLost"));
  await assert.rejects(removeOwned(bed.client, refOf("never"), "u1", { guard }), refused("LeaseLost"));
  await assert.rejects(bed.read(pathOf("never")), /404|not found/);
});
