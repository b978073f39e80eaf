import assert from "node:assert/strict";
import test from "node:test";
import { hasEnded } from "./flotilla.ts";

const stat = (name: string, state: string, threads: number) => `4711 (${name}) ${state} 1 4711 4711 0 -1 4194316 1 0 0 0 7 3 0 0 20 0 ${threads} 0 100 0 0`;

test("a process has ended when its last thread has, and not when its first one is a zombie", () => {
  assert.equal(hasEnded(stat("kube-apiserver", "S", 9)), false);
  assert.equal(hasEnded(stat("kube-apiserver", "Z", 2)), false, "it may still listen");
  assert.equal(hasEnded(stat("kube-apiserver", "Z", 1)), true);
  assert.equal(hasEnded(stat("odd) Z (name", "S", 1)), false);
});
