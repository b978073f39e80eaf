/** What every effect gets, and how a call finds its effect. */
import type { ActorKey } from "#protocol/names/actor.ts";
import type { EffectCall } from "../host.ts";

export type Effect = (call: EffectCall) => Promise<unknown>;

/** One set per chart, by the names the chart invokes. */
export type Effects = Record<string, Effect>;

/** `Kind/namespace/name`, as people read it in messages. */
export const shown = (kind: string, { namespace, name }: ActorKey): string => `${kind}/${namespace}/${name}`;
