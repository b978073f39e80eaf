/** A record as it is stored, and whether two would be stored alike. */
import { textOf } from "#machines/step.ts";
import type { ActorRecord } from "#protocol/records/actor.ts";

/** What JSON.stringify would say, in another order of keys; fields of the context that stayed are not spelled again. */
export function recordText({ snapshot, ...rest }: ActorRecord): string {
  const { context, ...shell } = snapshot;
  const fields = Object.entries(context).flatMap(([name, value]) => {
    const text = textOf(value);
    return text === undefined ? [] : [`${JSON.stringify(name)}:${text}`];
  });
  return `${JSON.stringify(rest).slice(0, -1)},"snapshot":${JSON.stringify(shell).slice(0, -1)},"context":{${fields.join(",")}}}}`;
}

/** Whether whoever takes over would go on differently; a higher `seen` alone is not worth a write. */
export function differs(before: ActorRecord, after: ActorRecord): boolean {
  if (before === after) return false;
  if (before.attempts !== after.attempts || before.snapshot["value"] !== after.snapshot["value"]) return true;
  return contextDiffers(before.snapshot.context, after.snapshot.context) || frameOf(before) !== frameOf(after);
}

function contextDiffers(before: Record<string, unknown>, after: Record<string, unknown>): boolean {
  if (before === after) return false;
  const names = new Set([...Object.keys(before), ...Object.keys(after)]);
  for (const name of names) if (before[name] !== after[name] && textOf(before[name]) !== textOf(after[name])) return true;
  return false;
}

const frameOf = ({ seen: _, snapshot: { context: _context, ...shell }, ...rest }: ActorRecord): string => JSON.stringify([rest, shell]);
