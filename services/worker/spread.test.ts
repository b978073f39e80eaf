import assert from "node:assert/strict";
import test from "node:test";
import { Fault } from "#protocol/errors/fault.ts";
import { objectId, type ActorKey } from "#protocol/names/actor.ts";
import { Process, VirtualTime } from "../../test/simulate/time.ts";
import { isForMany, spread, type SpreadPorts } from "./spread.ts";

const source: ActorKey = { kind: "gitrepository", namespace: "sources", name: "shop" };
const key: ActorKey = { kind: "imagepolicy", namespace: "apps", name: "shop" };

function bench({ failures = 0, owns = true } = {}) {
  const sent: string[] = [];
  const time = new VirtualTime();
  const known = <T>(found: T): T => {
    if (failures-- > 0) throw new Fault("ClusterUnreachable", "hub");
    return found;
  };
  const ports = {
    hub: {
      matching: async (urls: string[]) => known(urls[0] === "https://git.example.com/shop" ? [source] : []),
      list: async (kind: string, namespace: string) => known(kind === "imageupdateautomation" ? ["a", "b"].map((name) => ({ metadata: { name, namespace } })) : []),
    },
    cell: { owns: () => owns, send: async ({ to, kind }: { to: ActorKey; kind: string }) => void (kind === "look" && sent.push(objectId(to))) },
    clock: new Process(time, "w").clock,
  } as unknown as SpreadPorts;
  return { sent, time, ports };
}

for (const { emitted, told, why } of [
  { emitted: { type: "pushed", url: "https://git.example.com/shop" }, told: ["gitrepository/sources/shop"], why: "a push wakes the sources with that URL" },
  { emitted: { type: "pushed", url: "https://git.example.com/shop", source: "gitrepository/sources/shop" }, told: [], why: "but the one that was told with the push" },
  { emitted: { type: "elected" }, told: ["imageupdateautomation/apps/a", "imageupdateautomation/apps/b"], why: "an election wakes the automations of the namespace" },
])
  test(`[IM90] [IM91] ${why}`, async () => {
    const { sent, ports } = bench();
    await spread(key, emitted, ports);
    assert.deepEqual([sent, isForMany(emitted)], [told, true]);
  });

test("[IM90] while nobody knows whom it concerns it is tried again, for a minute, and as long as the actor is ours", async () => {
  const outcomeOf = async (how: Parameters<typeof bench>[0]) => {
    const { sent, time, ports } = bench(how);
    let outcome = "";
    spread(key, { type: "elected" }, ports).then(() => { outcome = `told ${sent.length}`; }, (thrown: unknown) => { outcome = Fault.from(thrown, "").code; });
    await time.run(120_000, () => false);
    return outcome;
  };
  assert.equal(await outcomeOf({ failures: 5 }), "told 2");
  assert.equal(await outcomeOf({ failures: 5, owns: false }), "LeaseLost");
  assert.equal(await outcomeOf({ failures: 1_000 }), "ClusterUnreachable");
});
