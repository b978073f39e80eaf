/** What the source chart asks for: one set for every kind of source; services/sources knows what differs. */
import { mayRefer, type Tenancy } from "#machines/rules/tenancy.ts";
import type { SourceReference } from "#protocol/api/kind.ts";
import { kindOf as definitionOf } from "#protocol/api/registry.ts";
import { markOf, type Artifact, type Fetched, type Resolved } from "#protocol/messages/source.ts";
import { Fault } from "#protocol/errors/fault.ts";
import type { ActorKey } from "#protocol/names/actor.ts";
import type { Clouds } from "#services/clients/cloud/identity.ts";
import type { AnySource, FetchedSource, HeldSource, SourceCall } from "#services/sources/define.ts";
import type { ArtifactStore } from "#services/store/artifacts.ts";
import type { Clock } from "#services/store/clock.ts";
import { changeOf } from "#services/telemetry/ids.ts";
import type { Spans } from "#services/telemetry/spans.ts";
import type { RawObject } from "../facts.ts";
import type { EffectCall } from "../host.ts";
import { identityOf } from "./cloud-identity.ts";
import { shown, type Effects } from "./effects.ts";
import type { HubObjects } from "./hub-objects.ts";

/** It is kept in the record: one tenant's long text must not stand in the way of others'. Letters. */
const longestObserved = 128 * 1024;

export type SourcePorts = {
  kinds: Record<string, AnySource>;
  hub: HubObjects;
  artifacts: Pick<ArtifactStore, "get" | "put" | "has" | "retain" | "remove">;
  /** The artifact another source holds now: from its actor's record, wherever that lives. */
  held(source: ActorKey): Promise<{ artifact: Artifact; traceparent: string } | "no artifact" | "no source">;
  tenancy: Tenancy;
  spans: Pick<Spans, "recordSpan">;
  clock: Clock;
  /** Throws Fault LeaseLost when this worker may not act for the source now. */
  guard(key: ActorKey): void;
  /** Sources have no identity in a cloud when absent. */
  clouds?: Clouds | undefined;
  notation?: SourceCall<unknown>["notation"];
};

export function sourceEffects({ kinds, hub, artifacts, held, tenancy, spans, clock, guard, clouds, notation }: SourcePorts): Effects {
  /** @param madeOf where the marks of the artifacts go that the call is given */
  const callOf = async ({ key, signal }: EffectCall, timeoutMs: number, madeOf: string[]): Promise<SourceCall<unknown>> => {
    const object = await hub.need(key);
    return {
      key,
      spec: specOf(object),
      generation: object.metadata.generation ?? 0,
      secret: (name) => hub.secret(key.namespace, name),
      pullSecrets: (account) => hub.pullSecrets(key.namespace, account),
      ...(clouds && { identity: (named) => identityOf(clouds, key, named, tenancy) }),
      ...(definitionOf(key.kind)?.source?.isForeign && { offered: (object["status"] as { artifact?: unknown } | undefined)?.artifact }),
      isStored: async (path, digest) => (await artifacts.get(path, { digest }).catch(() => undefined)) !== undefined,
      source: (reference) => heldSource(key, reference, madeOf),
      ...(notation && { notation }),
      siblings: async (kind) => (await hub.list(kind.toLowerCase(), key.namespace)).map((each) => ({ name: each.metadata.name, spec: specOf(each) })),
      signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
    };
  };

  async function heldSource(key: ActorKey, { kind, name, namespace = key.namespace }: SourceReference, madeOf: string[]): Promise<HeldSource> {
    const source = { kind: kind.toLowerCase(), namespace, name };
    const subject = shown(kind, source);
    if (!mayRefer(key, namespace, tenancy))
      throw new Fault("AccessDenied", `${key.namespace}/${key.name}`, { detail: `can't access '${subject}', cross-namespace references have been blocked` });
    const found = await held(source);
    const object = await hub.find(source);
    if (!object || found === "no source") throw new Fault("SourceMissing", subject, { detail: "not found" });
    if (found === "no artifact") return { shown: subject, spec: specOf(object) };
    const { artifact: { revision, digest, path }, traceparent } = found;
    madeOf.push(markOf(found.artifact));
    return { shown: subject, spec: specOf(object), artifact: { revision, digest, traceparent, stored: found.artifact, read: () => artifacts.get(path, { digest }) } };
  }

  /** Where the archive lies from now on. */
  async function kept(call: EffectCall, folder: string, { archive, file, lies }: FetchedSource): Promise<Pick<Artifact, "path" | "digest" | "sizeBytes">> {
    const before = (call.context["artifact"] as Artifact | null)?.path;
    const made = lies ?? (await artifacts.put(`${folder}/${file}`, archive));
    // The one before stays for consumers that are still reading it (flux.md 2.0, 9).
    await artifacts.retain(folder, [made.path, ...(before ? [before] : [])], () => guard(call.key));
    return made;
  }

  return {
    adopt: ({ key }) => hub.addFinalizer(key),

    async resolve(call): Promise<Resolved> {
      const { path } = call.input as { path: string };
      const madeOf: string[] = [];
      const found = await kindOf(kinds, call.key).resolve({ ...(await callOf(call, timeoutOf(call), madeOf)), maxAgeMs: maxAgeOf(call) });
      const { revision, observed, included } = typeof found === "string" ? { revision: found } : found;
      const stored = path !== "" && (await artifacts.has(path, (call.context["artifact"] as Artifact | null)?.digest));
      return { revision, stored, ...(observed && { observed }), ...(included && { included }), ...(madeOf.length > 0 && { madeOf: [...new Set(madeOf)] }) };
    },

    async fetch(call): Promise<Fetched> {
      const { revision } = call.input as { revision: string };
      const madeOf: string[] = [];
      const found = await kindOf(kinds, call.key).fetch({ ...(await callOf(call, timeoutOf(call), madeOf)), revision });
      if (JSON.stringify(found.observed ?? {}).length > longestObserved)
        throw new Fault("SourceTooLarge", `${call.key.namespace}/${call.key.name}`, { detail: "what the spec leaves out or picks is too long to be repeated in the status" });
      const { kind, namespace, name } = call.key;
      const folder = `${kind}/${namespace}/${name}`;
      const { path, digest, sizeBytes } = await kept(call, folder, found);

      const change = changeOf({ ...found.change, committedAtMs: found.committedAtMs, subject: found.subject });
      const nowMs = clock.nowMs();
      spans.recordSpan({ ...change, endMs: nowMs });
      spans.recordSpan({
        name: "fetch", parent: change.traceparent, startMs: call.run.sinceMs, endMs: nowMs,
        attributes: { "gitops.unit": folder, "artifact.hash": digest, "gitops.artifact.bytes": sizeBytes },
      });
      const storedAt = `${new Date(nowMs).toISOString().slice(0, 19)}Z`;
      return {
        artifact: { revision: found.revision, digest, sizeBytes, path, storedAt, ...(found.metadata && { metadata: found.metadata }) },
        subject: found.subject,
        ...(found.told && { told: found.told }),
        ...(found.observed && { observed: found.observed }),
        ...(found.included && { included: found.included }),
        traceparent: change.traceparent,
        ...(found.verified && { verified: found.verified }),
        ...(found.summary && { summary: found.summary }),
        ...(found.making && { making: found.making }),
        ...(madeOf.length > 0 && { madeOf: [...new Set(madeOf)] }),
      };
    },

    async dissolve({ key }) {
      await artifacts.remove(`${key.kind}/${key.namespace}/${key.name}`, () => guard(key));
      await hub.dropFinalizer(key);
      return null;
    },

    async remove({ key }) {
      await artifacts.remove(`${key.kind}/${key.namespace}/${key.name}`, () => guard(key));
      await hub.removeFinalizer(key);
      return null;
    },
  };
}

function kindOf(kinds: Record<string, AnySource>, { kind }: ActorKey): AnySource {
  const found = Object.hasOwn(kinds, kind) ? kinds[kind] : undefined;
  if (!found) throw new Fault("Unexpected", kind, { detail: "no such kind of source" });
  return found;
}

const specOf = (object: RawObject): unknown => object["spec"];

const timeoutOf = ({ context }: EffectCall): number => (context["facts"] as { timeoutMs?: number } | null)?.timeoutMs ?? 60_000;

/** A look at the interval may take what another source was told of the same upstream a moment ago. */
function maxAgeOf({ context }: EffectCall): number {
  const { facts, fresh = true } = context as { facts?: { intervalMs?: number } | null; fresh?: boolean };
  return fresh ? 0 : Math.min((facts?.intervalMs ?? 0) / 2, mostAgeMs);
}

const mostAgeMs = 30_000;
