/** What is known of a release's storage without asking. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { ReleaseContext } from "#machines/release/machine.ts";
import type { ReleaseSnapshot } from "#protocol/messages/release.ts";
import { Process, VirtualTime } from "../../../test/simulate/time.ts";
import type { EffectCall } from "../host.ts";
import { ReleaseStorage } from "./release-storage.ts";

const place = { name: "shop", namespace: "apps", storageNamespace: "store" };
const snapshot = (version: number, status: ReleaseSnapshot["status"]): ReleaseSnapshot => ({
  apiVersion: "v2", name: "shop", namespace: "apps", version, status, chartName: "shop", chartVersion: "1.0.0", configDigest: "c", digest: `d${version}`, firstDeployed: "t", lastDeployed: "t",
});
const known: Partial<ReleaseContext> = {
  history: [snapshot(3, "deployed"), snapshot(2, "superseded"), snapshot(1, "superseded")], done: [], storage: { place: "store/shop", mark: "m", versions: [3, 2], settled: true },
};

function bench(seen: string | undefined) {
  const time = new VirtualTime();
  const storage = new ReleaseStorage({ helm: { digest: () => assert.fail("asked") }, cluster: { storageOf: (_, at) => (at === "store/shop" ? seen : undefined) }, clock: new Process(time, "w").clock });
  const call = (context: Partial<ReleaseContext> = {}, recovered = false) =>
    ({ key: { kind: "helmrelease", namespace: "apps", name: "shop" }, context: { ...known, ...context }, recovered }) as unknown as EffectCall;
  return { time, storage, call };
}

test("[RL45] where storage is as the release knows it nothing is read, and a revision that is not there any more is not gone back to", () => {
  const { storage, call } = bench("m");
  const found = storage.remembered(call(), place);
  assert.deepEqual([found?.last?.version, found?.known.map(({ version }) => version), found?.storage], [3, [3, 2], { place: "store/shop", mark: "m", versions: [3, 2] }]);
});

for (const { what, seen, context, at } of [
  { what: "somebody wrote there", seen: "theirs" },
  { what: "it may not be watched", seen: undefined },
  { what: "an action may have written there", seen: "m", context: { storage: undefined } },
  { what: "what was seen last is not what the history says", seen: "m", context: { storage: { place: "store/shop", mark: "m", versions: [3], settled: false } } },
  { what: "nothing was released by us", seen: "m", context: { history: [] } },
  { what: "it is to lie elsewhere", seen: "m", at: { ...place, name: "another" } },
] as { what: string; seen: string | undefined; context?: Partial<ReleaseContext>; at?: typeof place }[])
  test(`[RL45] storage is looked at when ${what}`, () => {
    const { storage, call } = bench(seen);
    assert.equal(storage.remembered(call(context), at ?? place), undefined);
  });

test("[RL45] what an action of this very run has left is known, whether the watch has told of it or not", () => {
  const { storage, call } = bench("before");
  assert.equal(storage.remembered(call({ done: ["release"] }), place)?.last?.version, 3);
});
