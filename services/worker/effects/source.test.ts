import assert from "node:assert/strict";
import test from "node:test";
import { Fault, type FaultCode } from "#protocol/errors/fault.ts";
import type { ActorKey } from "#protocol/names/actor.ts";
import type { Artifact, Resolved } from "#protocol/messages/source.ts";
import type { AnySource, SourceCall } from "#services/sources/define.ts";
import type { SourceReference } from "#protocol/api/kind.ts";
import type { RawObject } from "../facts.ts";
import type { EffectCall } from "../host.ts";
import { sourceEffects, type SourcePorts } from "./source.ts";

const key = { kind: "derived", namespace: "apps", name: "shop" };
const artifact: Artifact = { revision: "main@sha1:1", digest: "sha256:1", sizeBytes: 3, path: "upstream/apps/one/a", storedAt: "2026-01-01T00:00:00Z" };
const refused = (code: FaultCode) => (thrown: unknown) => thrown instanceof Fault && thrown.code === code;

/** One kind whose effects are given; of other sources only `one` has an artifact. */
function resolve(find: (call: SourceCall<unknown>) => Promise<string>, tenancy: SourcePorts["tenancy"] = {}): Promise<Resolved> {
  const kind: AnySource = { kind: "Derived", resolve: find, fetch: () => Promise.reject(new Error("not here")) };
  const objects: Record<string, RawObject> = Object.fromEntries(["one", "bare", "shop"].map((name) => [name, { metadata: { name, namespace: "apps", generation: 4 }, spec: { url: name } }]));
  const hub = {
    need: async ({ name }: ActorKey) => objects[name], find: async ({ name }: ActorKey) => objects[name],
    list: async () => Object.values(objects), secret: async () => ({}), pullSecrets: async () => [],
  };
  const effects = sourceEffects({
    kinds: { derived: kind }, hub: hub as unknown as SourcePorts["hub"], tenancy,
    artifacts: { get: async () => Buffer.from("abc"), has: async () => true } as unknown as SourcePorts["artifacts"],
    held: async ({ name }) => (name === "one" ? { artifact, traceparent: "" } : name === "bare" ? "no artifact" : "no source"),
    spans: { recordSpan: () => "" } as unknown as SourcePorts["spans"], clock: { nowMs: () => 0 } as SourcePorts["clock"], guard: () => undefined,
  });
  const call = { key, context: {}, input: { path: "" }, run: {}, signal: new AbortController().signal, recovered: false } as unknown as EffectCall;
  return effects["resolve"]?.(call) as Promise<Resolved>;
}

const source = (call: SourceCall<unknown>, reference: Partial<SourceReference>) => call.source?.({ kind: "Upstream", name: "one", ...reference }) ?? assert.fail("no sources");

test("[SR80] a source is given others: what they say, and the artifact they hold; which one is remembered", async () => {
  const found = await resolve(async (call) => {
    const { shown, spec, artifact: held } = await source(call, {});
    assert.deepEqual([shown, spec, held?.revision, call.generation], ["Upstream/apps/one", { url: "one" }, "main@sha1:1", 4]);
    assert.equal((await source(call, { name: "bare" })).artifact, undefined);
    assert.deepEqual((await call.siblings?.("Upstream"))?.map(({ name }) => name), ["one", "bare", "shop"]);
    return String(await held?.read());
  });
  assert.deepEqual(found, { revision: "abc", stored: false, madeOf: ["main@sha1:1 sha256:1"] });
});

test("[SR80] one that is not there, and one of another namespace where that is locked down, are refused", async () => {
  await assert.rejects(resolve(async (call) => (await source(call, { name: "none" })).shown), refused("SourceMissing"));
  const elsewhere = async (call: SourceCall<unknown>) => (await source(call, { namespace: "other" })).shown;
  await assert.rejects(resolve(elsewhere, { noCrossNamespaceRefs: true }), refused("AccessDenied"));
  assert.equal((await resolve(elsewhere)).revision, "Upstream/other/one");
});
