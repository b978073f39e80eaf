/** What a release goes through in one simulated life, from a quiet beginning to the write at which something happens to its owner. */
import { releaseId } from "./release-objects.ts";
import type { Interruption, Script, Step } from "./script.ts";

export type Life = { steps: Step[]; fromMs: number };

const usual = { "hook_pre-install,pre-upgrade,pre-rollback_pre": "ok", "hook_post-install,post-upgrade_post": "gone", hook_test_check: "ok", "hook_pre-delete_end": "gone" };
const chart = (objects: Record<string, string | null>, atMs = 0): Step => ({ atMs, do: "commit", set: { chart: { ...usual, ...objects } }, hinted: true });
const installed = chart({ x: "1", y: "1" });
const fromMs = 14_000;
const upgraded = chart({ x: "2", y: null, z: "2" }, fromMs);
const sick = { "hook_post-install,post-upgrade_post": "sick" };

export const lives = {
  install: { steps: [installed], fromMs: 0 },
  "an install that fails, and is uninstalled": { steps: [chart({ x: "1", ...sick })], fromMs: 0 },
  upgrade: { steps: [installed, upgraded], fromMs },
  "an upgrade that fails, and is rolled back": { steps: [installed, chart({ x: "2", y: null, z: "2", ...sick }, fromMs)], fromMs },
  "an install whose object is deleted": { steps: [installed, { atMs: 2_500, do: "delete", unit: releaseId, backMs: null }], fromMs: 0 },
  "an upgrade whose object is deleted and comes back": { steps: [installed, upgraded, { atMs: fromMs + 3_000, do: "delete", unit: releaseId, backMs: 500 }], fromMs },
  "a revision that helm left pending": { steps: [installed, { atMs: fromMs, do: "leave pending" }, upgraded], fromMs },
  uninstall: { steps: [installed, { atMs: fromMs, do: "delete", unit: releaseId, backMs: null }], fromMs },
} satisfies Record<string, Life>;

/** `write` 0: nothing happens. */
export function lifeOf({ steps, fromMs: beginMs }: Life, how: Interruption["how"], write: number): Script {
  const last = steps.at(-1)?.atMs ?? 0;
  return { seed: 1 + write, slots: 2, replicated: false, troubleMs: last + 16_000, made: true, release: true, bare: true, interruption: { fromMs: beginMs, write, how }, steps };
}
