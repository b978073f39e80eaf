/** What the source chart asks for: one set for every kind of source; services/sources knows what differs. */
import type { Artifact, Fetched } from "#protocol/messages/source.ts";
import { Fault } from "#protocol/errors/fault.ts";
import type { ActorKey } from "#protocol/names/actor.ts";
import type { SourceCall, SourceKind } from "#services/sources/define.ts";
import type { ArtifactStore } from "#services/store/artifacts.ts";
import type { Clock } from "#services/store/clock.ts";
import { changeOf } from "#services/telemetry/ids.ts";
import type { Spans } from "#services/telemetry/spans.ts";
import type { RawObject } from "../facts.ts";
import type { EffectCall } from "../host.ts";
import { digestOf } from "../digest.ts";
import type { Effects } from "./effects.ts";
import type { HubObjects } from "./hub-objects.ts";

export type SourcePorts = {
  kinds: Record<string, SourceKind<unknown>>;
  hub: HubObjects;
  artifacts: Pick<ArtifactStore, "put" | "has" | "retain" | "remove">;
  spans: Pick<Spans, "recordSpan">;
  clock: Clock;
  /** Throws Fault LeaseLost when this worker may not act for the source now. */
  guard(key: ActorKey): void;
};

export function sourceEffects({ kinds, hub, artifacts, spans, clock, guard }: SourcePorts): Effects {
  const callOf = async ({ key, signal }: EffectCall, timeoutMs: number): Promise<SourceCall<unknown>> => ({
    key,
    spec: specOf(await hub.need(key)),
    secret: (name) => hub.secret(key.namespace, name),
    signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
  });

  return {
    adopt: ({ key }) => hub.addFinalizer(key),

    async resolve(call) {
      const { path } = call.input as { path: string };
      const revision = await kindOf(kinds, call.key).resolve(await callOf(call, timeoutOf(call)));
      return { revision, stored: path !== "" && (await artifacts.has(path)) };
    },

    async fetch(call): Promise<Fetched> {
      const { revision } = call.input as { revision: string };
      const found = await kindOf(kinds, call.key).fetch({ ...(await callOf(call, timeoutOf(call))), revision });
      const { kind, namespace, name } = call.key;
      const folder = `${kind}/${namespace}/${name}`;
      const digest = digestOf(found.archive);
      const path = `${folder}/${found.file}`;
      await artifacts.put(path, found.archive, digest);
      // The one before stays for consumers that are still reading it (flux.md 2.0, 9).
      const before = (call.context["artifact"] as Artifact | null)?.path;
      await artifacts.retain(folder, [path, ...(before ? [before] : [])], () => guard(call.key));

      const change = changeOf({ ...found.change, committedAtMs: found.committedAtMs, subject: found.subject });
      const nowMs = clock.nowMs();
      spans.recordSpan({ ...change, endMs: nowMs });
      spans.recordSpan({
        name: "fetch", parent: change.traceparent, startMs: call.run.sinceMs, endMs: nowMs,
        attributes: { "gitops.unit": folder, "artifact.hash": digest, "gitops.artifact.bytes": found.archive.byteLength },
      });
      const storedAt = `${new Date(nowMs).toISOString().slice(0, 19)}Z`;
      return {
        artifact: { revision: found.revision, digest, sizeBytes: found.archive.byteLength, path, storedAt },
        subject: found.subject,
        traceparent: change.traceparent,
      };
    },

    async remove({ key }) {
      await artifacts.remove(`${key.kind}/${key.namespace}/${key.name}`, () => guard(key));
      await hub.removeFinalizer(key);
      return null;
    },
  };
}

function kindOf(kinds: Record<string, SourceKind<unknown>>, { kind }: ActorKey): SourceKind<unknown> {
  const found = Object.hasOwn(kinds, kind) ? kinds[kind] : undefined;
  if (!found) throw new Fault("Unexpected", kind, { detail: "no such kind of source" });
  return found;
}

const specOf = (object: RawObject): unknown => object["spec"];

const timeoutOf = ({ context }: EffectCall): number => (context["facts"] as { timeoutMs?: number } | null)?.timeoutMs ?? 60_000;
