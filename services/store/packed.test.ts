import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import test from "node:test";
import type { InventoryEntry } from "#protocol/messages/kustomization.ts";
import { parseActorRecord } from "#protocol/records/actor.ts";
import { packed, unpacked } from "./packed.ts";

const hex = (text: string) => createHash("sha256").update(text).digest("hex");
/** As far as size goes, what a unit remembers of its objects: uids and digests are as good as random. */
const entryOf = (i: number): InventoryEntry =>
  ({ id: `shop-production_settings-${i}__ConfigMap`, v: "v1", uid: hex(`uid ${i}`).slice(0, 36), digest: hex(`digest ${i}`), owned: hex("owned").slice(0, 16) });
function textOf(objects: number): string {
  const inventory = Array.from({ length: objects }, (_, i) => entryOf(i));
  const intended = inventory.map(({ id, v }) => ({ id, v, uid: "", digest: "", owned: "" }));
  return JSON.stringify({
    v: 1, machine: "kustomization", snapshot: { status: "active", context: { inventory, intended } }, timers: [], runs: [], attempts: 1, outbox: [], seen: {},
  });
}

test("[NM11] a small record is stored as it is, a large one packed; both are read back as they were", () => {
  for (const objects of [1, 200, 5_000]) {
    const text = textOf(objects);
    const stored = packed(text);
    assert.equal(stored === text, objects <= 200);
    assert.equal((JSON.parse(stored) as { v: number }).v, objects <= 200 ? 1 : 2);
    assert.deepEqual(parseActorRecord(unpacked(stored)), JSON.parse(text));
  }
});

test("[NM11] the record of a unit with 5,000 objects takes half of what NATS admits in a message, of 10,000 it fits", () => {
  const mebibyte = 1024 * 1024;
  const [five, ten] = [packed(textOf(5_000)).length, packed(textOf(10_000)).length];
  assert.ok(five < mebibyte / 2, `${five} bytes`);
  assert.ok(ten < mebibyte, `${ten} bytes`);
});

const damaged = { "no base64": "{\"v\":2,\"packed\":\"***\"}", "cut off": `${packed(textOf(5_000)).slice(0, 10_000)}"}`, "no text": "{\"v\":2,\"packed\":7}", "nothing": "" };
for (const [what, data] of Object.entries(damaged))
  test(`[NM11] a packed record with ${what} is damage, and nothing worse`, () => assert.throws(() => parseActorRecord(unpacked(data))));
