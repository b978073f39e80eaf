import assert from "node:assert/strict";
import { once } from "node:events";
import test from "node:test";
import { Fault } from "#protocol/errors/fault.ts";
import { createLog } from "#services/telemetry/log.ts";
import { Telling, type TellingPorts } from "./telling.ts";

const key = { kind: "kustomization", namespace: "apps", name: "shop" };
const damaged = Fault.from(new Error("not JSON"), "kustomization/apps/shop").toJSON();

/** A feed that shows nothing yet, an API server that answers as told, and an owner until it is told once. */
function quarantine(answers: ("away" | "refused" | "gone" | "there")[]) {
  const told: string[] = [];
  const asked: string[] = [];
  const events = new EventTarget();
  const end = once(events as never, "end");
  const over = () => void events.dispatchEvent(new Event("end"));
  const ports = {
    clock: { nowMs: () => 0, monoMs: () => 0, at: (_due, run) => { setImmediate(run); return () => undefined; } },
    hub: {
      cached: () => undefined,
      async reread() {
        asked.push(answers[0] ?? "nothing left");
        if (answers[0] === "away") { answers.shift(); throw new TypeError("no answer"); }
        if (answers[0] === "gone") { setImmediate(over); return undefined; }
        return { metadata: { name: "shop", namespace: "apps" } };
      },
      async postEvent(_, __, { reason }) {
        if (answers.shift() === "refused") throw new TypeError("refused");
        told.push(reason);
        over();
      },
      patchStatus: async () => true,
    },
    log: createLog({ sink: { write() {} } }),
    owns: () => answers.length > 0,
    recordOf: () => undefined,
    quarantineOf: () => damaged,
    whenShown: async () => undefined,
    artifactUrl: (path) => path,
  } satisfies Partial<TellingPorts>;
  new Telling(ports as unknown as TellingPorts).quarantined(key, damaged);
  return { told, asked, end };
}

test("[WK15] that a record was set aside is told as an event, however late the feed and the API server come", async () => {
  const { told, end } = quarantine(["away", "refused", "there"]);
  await end;
  assert.deepEqual(told, ["Quarantined"]);
});

test("[WK15] of an object that is gone nothing is told", async () => {
  const { told, asked, end } = quarantine(["gone"]);
  await end;
  assert.deepEqual([told, asked], [[], ["gone"]]);
});
