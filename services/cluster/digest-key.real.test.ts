/** The key of kept digests, on a real API server: one for all workers, whoever makes it, and no worker without. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { cluster, type Cluster } from "../../test/kit/cluster.ts";
import { digestKeyOf, digestKeySecret } from "./digest-key.ts";
import { openBed, type Bed } from "./sample-objects.ts";

let real: Cluster, bed: Bed;
before(async () => {
  real = await cluster();
  bed = await openBed(real.kubeconfig);
});
after(() => bed.close());

const never = (why: unknown) => assert.fail(String(why));
const text = (key: Uint8Array) => Buffer.from(key).toString("hex");
const secrets = (namespace: string) => `/api/v1/namespaces/${namespace}/secrets`;

test("[SB17] workers that start at once have one key, and so has one that starts later; it is read once", async () => {
  const namespace = await real.namespace("key");
  const workers = Array.from({ length: 5 }, () => digestKeyOf(bed.client, namespace, never));
  const keys = await Promise.all(workers.map((key) => key()));
  assert.equal(new Set(keys.map(text)).size, 1);
  assert.equal(keys[0]?.length, 32);
  bed.seen.length = 0;
  assert.equal(text(await workers[0]!()), text(keys[0]!));
  assert.equal(bed.seen.length, 0);
  assert.equal(text(await digestKeyOf(bed.client, namespace, never)()), text(keys[0]!));
});

test("[SB17] without a namespace of its own the key lies in kube-system, also when that namespace comes later", async () => {
  const name = `later-${Date.now()}`;
  const first = await digestKeyOf(bed.client, name, never)();
  assert.equal(text(await digestKeyOf(bed.client, name, never)()), text(first));
  await real.kubectl(["create", "namespace", name]);
  assert.equal(text(await digestKeyOf(bed.client, name, never)()), text(first));
  await real.kubectl(["delete", "secret", digestKeySecret, "-n", "kube-system"]);
});

test("[SB17] where there can be no Secret, or it was spoilt, a worker goes on with a key of its own, and says so", async () => {
  const namespace = await real.namespace("spoilt");
  await bed.client.request({ method: "POST", path: secrets(namespace), body: { apiVersion: "v1", kind: "Secret", metadata: { name: digestKeySecret }, data: { key: "c2hvcnQ=" } } });
  const told: string[] = [];
  const key = await digestKeyOf(bed.client, namespace, (why) => told.push(String(why)))();
  const nobody = bed.client.as("nobody");
  const other = await digestKeyOf(nobody, await real.namespace("refused"), (why) => told.push(String(why)))();
  assert.deepEqual([key.length, other.length], [32, 32]);
  assert.match(told[0] ?? "", /has fewer than 32 bytes/);
  assert.match(told[1] ?? "", /forbidden/);
  assert.doesNotMatch(told.join(""), /c2hvcnQ|short/);
});
