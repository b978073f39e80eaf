import assert from "node:assert/strict";
import test from "node:test";
import { actorId, type ActorKey } from "#protocol/names/actor.ts";
import { Awaiting } from "./awaiting.ts";

const source: ActorKey = { kind: "gitrepository", namespace: "apps", name: "shop" };
const units = (count: number): ActorKey[] => Array.from({ length: count }, (_, i) => ({ kind: "kustomization", namespace: "apps", name: `u${i}` }));
const artifact = { revision: "main@sha1:2", digest: "sha256:2", sizeBytes: 1, path: "gitrepository/apps/shop/2.tar.gz", storedAt: "2026-01-01T00:00:00Z" };
const before = { digest: "sha256:1", path: "gitrepository/apps/shop/1.tar.gz" };
const stored = { type: "artifactStored", artifact, before };
const news = { revision: artifact.revision, digest: artifact.digest, path: artifact.path, before };

function awaitingOf(waiters: ActorKey[]): Awaiting {
  return new Awaiting({
    clock: { nowMs: () => 7_000, monoMs: () => 0, at: () => () => {} },
    cell: { dependentsOf: () => waiters, awaited: () => [], owns: () => true, send: async () => {}, transfers: { readAnywhere: async () => undefined } as never },
    recordOf: () => undefined, isAway: () => false, exists: async () => true, follow: () => {},
  });
}

test("[SW1] whoever waits for a source is told of its artifact, and which one was before", () => {
  const hints = awaitingOf(units(3)).route(source, stored);
  assert.deepEqual(hints.map(({ to, kind, body }) => [actorId(to), kind, body]), units(3).map((key) => [actorId(key), "artifact", news]));
});

test("[IM91] that the source of a pushed commit is to look is kept with the push, whatever is shown of it just then", () => {
  const automation: ActorKey = { kind: "imageupdateautomation", namespace: "apps", name: "shop" };
  assert.deepEqual(awaitingOf([]).route(automation, { type: "pushed", url: "https://git.example.com/shop", source: actorId(source) }), [{ to: source, kind: "look", body: {} }]);
  assert.deepEqual(awaitingOf([]).route(automation, { type: "pushed", url: "https://git.example.com/shop", source: undefined }), []);
});

test("[SR47] who made an artifact that is lost looks again; nobody is asked for what nobody holds", async () => {
  const sent: unknown[] = [];
  const contexts: Record<string, object> = {
    [actorId(source)]: { artifact },
    "artifactgenerator/apps/parts": { made: { artifacts: [{ path: "artifactgenerator/apps/parts/a-1.tar.gz" }] } },
  };
  const awaiting = new Awaiting({
    clock: { nowMs: () => 7_000, monoMs: () => 0, at: () => () => {} },
    cell: { dependentsOf: () => [], awaited: () => [], owns: () => true, send: async ({ to, kind }: { to: ActorKey; kind: string }) => void sent.push([actorId(to), kind]), transfers: { readAnywhere: async () => undefined } as never },
    recordOf: (key) => contexts[actorId(key)] && ({ snapshot: { context: contexts[actorId(key)] } } as never), isAway: () => false, exists: async () => true, follow: () => {},
  });
  const lost = ["gitrepository/apps/shop/2.tar.gz", "artifactgenerator/apps/parts/a-1.tar.gz", "gitrepository/apps/shop/1.tar.gz", "gitrepository/apps/none/2.tar.gz", "nothing"];
  assert.deepEqual(await Promise.all(lost.map((path) => awaiting.lost(path))), [true, true, false, false, false]);
  assert.deepEqual(sent, [["gitrepository/apps/shop", "look"], ["artifactgenerator/apps/parts", "look"]]);
});

test("[SW5] more of them than fit into a decision are told by way of the source's own mailbox", () => {
  assert.equal(awaitingOf(units(500)).route(source, stored).length, 500);
  assert.deepEqual(awaitingOf(units(501)).route(source, stored), [{ to: source, kind: "news", body: { kind: "artifact", body: news, atMs: 7_000 } }]);
});
