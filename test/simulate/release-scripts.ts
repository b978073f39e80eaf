/** Random lives of a release: its chart, its values and its object change, break and go, and whatever happens to workers happens in the middle of it. */
import { seeded, type Random } from "./random.ts";
import { releaseId } from "./release-objects.ts";
import type { Interruption, Script, Step, Work } from "./script.ts";

const hows: Interruption["how"][] = ["dies after", "late", "stops", "stops before", "hands over"];
const hooks = { "hook_pre-install,pre-upgrade,pre-rollback_pre": "ok", "hook_post-install,post-upgrade_post": "gone", hook_test_check: "ok", "hook_pre-delete_end": "gone" };
const mostRevisionsMs = 12_000;

/** The script, and beside it a release that goes through much; most lives have nothing else than that. */
export function releasing(script: Script): Script {
  const random = seeded(script.seed ^ 0x4e17);
  const { troubleMs } = script;
  let count = 0;
  const next = () => `n${count++}`;
  const at = () => random.between(0, troubleMs);
  const steps: Step[] = [{ atMs: 0, do: "commit", set: { chart: { ...hooks, x: "first", y: "{v}" } }, hinted: true }];
  const add = (least: number, most: number, make: (atMs: number) => Work) => {
    for (let n = random.between(least, most); n > 0; n--) {
      const atMs = at();
      steps.push({ atMs, ...make(atMs) });
    }
  };
  add(3, 8, () => chartChange(random, next));
  add(0, 3, () => ({ do: "change release", spec: { values: random.chance(0.2) ? {} : { v: next() } } }));
  add(0, 3, () => ({ do: "change release", spec: policy(random) }));
  add(0, 2, (atMs) => ({ do: "ask release", for: random.pick(["force", "force", "reset"] as const), value: stamp(atMs) }));
  add(0, 2, (atMs) => ({ do: "request", unit: releaseId, value: stamp(atMs) }));
  add(0, 2, () => ({ do: "suspend", unit: releaseId, on: true }));
  add(0, 2, () => ({ do: "suspend", unit: releaseId, on: false }));
  add(0, 2, () => ({ do: "delete", unit: releaseId, backMs: random.chance(0.3) ? null : random.pick([0, 50, 2_000, 20_000]) }));
  add(0, 1, () => ({ do: "leave pending" }));
  const busy = [...steps];
  for (let n = random.between(1, 5); n > 0; n--) steps.push(...trouble(random, random.pick(busy).atMs + random.between(0, mostRevisionsMs), script.slots));
  const interruption = random.chance(0.6) ? { fromMs: at(), write: random.between(1, 25), how: random.pick(hows) } : undefined;
  const jobsMs: [number, number] | undefined = random.chance(0.3) ? [5_000, 15_000] : undefined;
  const [bare, renewed, drifts] = [0.75, 0.5, 0.4].map((share) => random.chance(share)) as [boolean, boolean, boolean];
  if (drifts) {
    add(1, 3, () => ({ do: "change release", spec: { driftDetection: { mode: random.pick(["enabled", "enabled", "warn", "disabled"]) } } }));
    add(1, 8, () => ({ do: "touch release", nth: random.between(0, 9), value: random.chance(0.7) ? `theirs${count++}` : null }));
  }
  return {
    ...script, made: true, release: true, bare, renewed, drifts, ...(interruption && { interruption }), ...(jobsMs && { jobsMs }),
    steps: [...script.steps, ...steps].sort((a, b) => a.atMs - b.atMs),
  };
}

/** Grows with time, as those of people do. */
const stamp = (atMs: number): string => String(atMs).padStart(9, "0");

function chartChange(random: Random, next: () => string): Work {
  const chart: Record<string, string | null> = {};
  for (let n = random.between(1, 3); n > 0; n--) chart[random.pick(["x", "y", "z"])] = random.chance(0.3) ? null : random.pick([next(), `${next()}-{v}`]);
  if (random.chance(0.4)) chart["job_work"] = random.chance(0.3) ? null : `${random.chance(0.3) ? "sick" : "well"}${next()}`;
  for (const [name, usual] of Object.entries(hooks)) if (random.chance(0.3)) chart[name] = random.chance(0.4) ? `sick${usual}` : random.chance(0.2) ? null : usual;
  return { do: "commit", set: { chart }, hinted: random.chance(0.7) };
}

/** What the object asks for when an action fails, and how long it waits. */
function policy(random: Random): Record<string, unknown> {
  const timeout = `${random.between(5, 60)}s`;
  return random.pick([
    { install: { replace: true, remediation: { retries: random.between(0, 3), remediateLastFailure: random.chance(0.5) } } },
    { upgrade: { remediation: { retries: random.between(0, 3), remediateLastFailure: random.chance(0.5), strategy: random.pick(["rollback", "uninstall"]) } } },
    { upgrade: { strategy: { name: "RetryOnFailure", retryInterval: "10s" } } },
    { upgrade: { cleanupOnFail: random.chance(0.5), remediation: { retries: 1 } } },
    { timeout }, { uninstall: { keepHistory: random.chance(0.5) } }, { test: { enable: random.chance(0.5), ignoreFailures: random.chance(0.5) } },
  ]);
}

/** In the middle of what the release is doing just then. */
function trouble(random: Random, atMs: number, slots: number): Step[] {
  const slot = random.between(0, slots - 1);
  return random.pick<Step[]>([
    [{ atMs, do: "crash", slot, backMs: random.between(50, 4_000) }],
    [{ atMs, do: "stop", slot, forMs: random.between(500, 9_000) }],
    [{ atMs, do: "drain", slot, on: true }, { atMs: atMs + random.between(2_000, 10_000), do: "drain", slot, on: false }],
    [{ atMs, do: "leave", slot, backMs: random.between(50, 2_000) }],
    [{ atMs, do: "cut log", slot, forMs: random.between(500, 8_000) }],
    [{ atMs, do: "cut cluster", slot, forMs: random.between(500, 8_000) }],
    [{ atMs, do: "fail requests", forMs: random.between(1_000, 8_000) }],
    [{ atMs, do: "delay requests", forMs: random.between(3_000, 20_000) }],
  ]);
}
