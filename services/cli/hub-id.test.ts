import assert from "node:assert/strict";
import test from "node:test";
import { Fault } from "#protocol/errors/fault.ts";
import type { KubeAnswer, KubeClient, KubeRequest } from "#services/clients/kubernetes/client.ts";
import { KubeError } from "#services/clients/kubernetes/error.ts";
import { readHubId } from "./hub-id.ts";

/** Answers in this order, the last one for ever. */
function clientOf(...answers: (object | Error)[]) {
  const asked: string[] = [];
  const request = <T>({ method, path }: KubeRequest): Promise<KubeAnswer<T>> => {
    asked.push(`${method} ${path}`);
    const [answer = {}] = answers.length > 1 ? answers.splice(0, 1) : answers;
    return answer instanceof Error ? Promise.reject(answer) : Promise.resolve({ code: 200, body: answer as T, serverMs: 0 });
  };
  return { client: { request } satisfies Pick<KubeClient, "request">, asked };
}

const system = { metadata: { name: "kube-system", uid: "u-1" } };
const away = new Fault("ClusterUnreachable", "https://api", { detail: "connect ECONNREFUSED" });

test("[FL9] a cluster is known by the uid of kube-system", async () => {
  const { client, asked } = clientOf(system);
  assert.equal(await readHubId(client, () => assert.fail("it is there"), new AbortController().signal), "u-1");
  assert.deepEqual(asked, ["GET /api/v1/namespaces/kube-system"]);
});

test("[FL9] while the API server is away it is asked again, and that is told once", async () => {
  const told: unknown[] = [];
  const { client, asked } = clientOf(away, away, new KubeError(503, {}), system);
  assert.equal(await readHubId(client, (thrown) => told.push(thrown), new AbortController().signal, { retryMs: 1 }), "u-1");
  assert.deepEqual([told, asked.length], [[away], 4]);
});

test("[FL9] who may not read it is told, after a while: a server that has just started refuses what it has not read its rules for", async () => {
  const refusal = new KubeError(403, { message: "namespaces is forbidden" });
  const started = clientOf(refusal, away, refusal, system);
  assert.equal(await readHubId(started.client, () => undefined, new AbortController().signal, { retryMs: 1 }), "u-1");
  const { client } = clientOf(refusal);
  await assert.rejects(readHubId(client, () => undefined, new AbortController().signal, { retryMs: 1, patienceMs: 5 }), { code: "ObjectForbidden", detail: /forbidden; it tells one cluster from another/ });
});

test("[FL9] told to stop, it asks no more", async () => {
  const over = new AbortController();
  const { client, asked } = clientOf(away);
  await assert.rejects(readHubId(client, () => over.abort(), over.signal, { retryMs: 60_000 }));
  assert.equal(asked.length, 1);
});
