/** Waits until an object says what became of a request. */
import { formatDuration, parseDuration } from "#protocol/api/duration.ts";
import { printable } from "#services/telemetry/waterfall/format.ts";
import type { Cluster, FluxObject, ObjectName } from "./cluster.ts";
import { Failure, Misuse } from "./failure.ts";
import type { ResourceKind } from "./resources.ts";
import type { Shell } from "./shell.ts";
import { progressOf, readyOf } from "./view.ts";

const pauseMs = 250;

/** @throws Misuse when it is not a duration such as `5m` */
export function timeoutOf(text: string | undefined): number {
  try {
    return parseDuration(text ?? "5m");
  } catch {
    throw new Misuse(`--timeout: not a duration such as 5m or 1m30s: ${text}`);
  }
}

export type Awaited = {
  kind: ResourceKind;
  name: ObjectName;
  timeoutMs: number;
  /** Whether the object speaks of this request, not of one before. */
  answers(object: FluxObject): boolean;
};

/** @returns the object once it is Ready; @throws Failure when it is not, or not in time */
export async function untilReady(
  cluster: Cluster,
  shell: Shell,
  { kind, name, timeoutMs, answers }: Awaited,
): Promise<FluxObject> {
  const deadlineMs = shell.nowMs() + timeoutMs;
  for (;;) {
    const object = await cluster.get(kind, name);
    if (!object) throw new Failure(`${kind.kind} '${name.name}' was deleted meanwhile`);
    if (kind.staticMessage(object.spec) !== undefined) return object; // nothing is done for it
    const progress = answers(object) ? progressOf(object) : "underway";
    const message = printable(readyOf(object)?.message ?? "");
    if (progress === "ready") return object;
    if (progress === "failed") throw new Failure(`${kind.kind} reconciliation failed: ${message}`);
    if (shell.nowMs() >= deadlineMs) {
      const last = message ? `; it last said: ${message}` : '; is Flotilla running? see "flotilla up --help"';
      throw new Failure(`no result for ${kind.kind} '${name.name}' within ${formatDuration(timeoutMs)}${last}`);
    }
    await shell.sleep(pauseMs);
  }
}
