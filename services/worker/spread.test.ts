import assert from "node:assert/strict";
import test from "node:test";
import { objectId, type ActorKey } from "#protocol/names/actor.ts";
import { spread } from "./spread.ts";

const source: ActorKey = { kind: "gitrepository", namespace: "sources", name: "shop" };
const key: ActorKey = { kind: "imagepolicy", namespace: "apps", name: "shop" };

for (const { emitted, told, why } of [
  { emitted: { type: "pushed", url: "https://git.example.com/shop" }, told: ["gitrepository/sources/shop"], why: "a push wakes the sources with that URL" },
  { emitted: { type: "elected" }, told: ["imageupdateautomation/apps/a", "imageupdateautomation/apps/b"], why: "an election wakes the automations of the namespace" },
  { emitted: { type: "notice" }, told: [], why: "nothing else is of interest" },
])
  test(`[IM90] [IM91] ${why}`, async () => {
    const sent: string[] = [];
    const hub = {
      matching: async (urls: string[]) => (urls[0] === "https://git.example.com/shop" ? [source] : []),
      list: async (kind: string, namespace: string) => (kind === "imageupdateautomation" ? ["a", "b"].map((name) => ({ metadata: { name, namespace } })) : []),
    };
    const cell = { send: async ({ to, kind }: { to: ActorKey; kind: string }) => void (kind === "look" && sent.push(objectId(to))) };
    assert.equal(await spread(key, emitted, { hub, cell } as never), told.length);
    assert.deepEqual(sent, told);
  });
