import assert from "node:assert/strict";
import test from "node:test";
import { deadlineMs, heartbeatMs, isSuspect } from "./lease.ts";

test("[OW9] the holder gives up before an observer may hold it for dead, however the heartbeat travelled", () => {
  for (const travelMs of [0, 1, 400, 1_000]) {
    const seenAtMs = 10_000 + travelMs; // observed at or after it was sent
    for (let nowMs = 10_000; nowMs < 20_000; nowMs += 10) if (isSuspect(seenAtMs, nowMs)) assert.ok(nowMs - deadlineMs(10_000) >= 400);
  }
});

test("[OW9] three heartbeats may get lost", () => assert.ok(deadlineMs(0) >= 4 * heartbeatMs));
