import assert from "node:assert/strict";
import test from "node:test";
import type { ValuesReference } from "#protocol/api/helm-release.ts";
import { Fault, isPassing, type FaultCode } from "#protocol/errors/fault.ts";
import type { Offered } from "#protocol/messages/release.ts";
import { actorId, type ActorKey } from "#protocol/names/actor.ts";
import { kindName } from "../kinds.ts";
import { Tree } from "#services/render/tree.ts";
import { filesFor, offersTo } from "./release-sources.ts";

const release = { kind: "helmrelease", namespace: "apps", name: "shop" };
const chart = { kind: "ocirepository", namespace: "apps", name: "shop" };
const offer = (revision: string): Offered => ({ artifact: { revision, digest: `sha256:${revision}`, sizeBytes: 1, path: "p", storedAt: "" }, traceparent: revision });
const file = (name: string, more: Partial<ValuesReference> = {}): ValuesReference => ({ kind: "GitRepository", name, valuesKey: "a.yaml", ...more });

const held: Record<string, Offered | "no artifact"> = { "ocirepository/apps/shop": offer("chart"), "gitrepository/apps/fleet": offer("fleet"), "gitrepository/shared/defaults": offer("defaults"), "gitrepository/apps/new": "no artifact" };
function find(valuesFrom: ValuesReference[], noCrossNamespaceRefs = false, making: object = {}, busySinceMs?: number) {
  const asked: string[] = [];
  const ports = { recordOf: async () => ({ snapshot: { context: making }, busySinceMs }) as never, held: async (source: ActorKey) => (asked.push(actorId(source)), held[actorId(source)] ?? ("no source" as const)), kindOf: kindName, tenancy: { noCrossNamespaceRefs } };
  return { asked, found: offersTo(release, { valuesFrom }, chart, ports) };
}

test("[HR18] each source is asked once, and Secrets and ConfigMaps are none", async () => {
  const { asked, found } = find([file("fleet"), { kind: "Secret", name: "fleet" }, file("fleet", { valuesKey: "b.yaml" }), file("defaults", { namespace: "shared" })]);
  assert.deepEqual(await found, { chart: offer("chart"), values: { "gitrepository/apps/fleet": offer("fleet"), "gitrepository/shared/defaults": offer("defaults") }, behind: false });
  assert.deepEqual(asked, ["ocirepository/apps/shop", "gitrepository/apps/fleet", "gitrepository/shared/defaults"]);
  assert.deepEqual(await find([{ kind: "ConfigMap", name: "a" }]).found, { chart: offer("chart") });
});

test("[HR18] a source that may be missing is left out when all that name it say so", async () => {
  assert.deepEqual(await find([file("none", { optional: true })]).found, { chart: offer("chart"), values: {}, behind: false });
});

const refused: { what: string; from: ValuesReference[]; locked?: true; code: FaultCode; says: RegExp }[] = [
  { what: "a source that is missing", from: [file("none")], code: "ValuesMissing", says: /^could not find GitRepository 'apps\/none'$/ },
  { what: "one that is optional in one place only", from: [file("none", { optional: true }), file("none")], code: "ValuesMissing", says: /could not find/ },
  { what: "a source without an artifact", from: [file("new")], code: "ArtifactMissing", says: /^GitRepository 'apps\/new' is not ready: does not have an artifact$/ },
  { what: "the same, optional: it will come", from: [file("new", { optional: true })], code: "ArtifactMissing", says: /is not ready/ },
  { what: "another namespace's, where that is locked down", from: [file("defaults", { namespace: "shared" })], locked: true, code: "AccessDenied", says: /^can't access 'GitRepository\/shared\/defaults', cross-namespace references have been blocked$/ },
];
for (const { what, from, locked, code, says } of refused)
  test(`[HR18] ${what} -> ${code}`, async () => {
    const { asked, found } = find(from, locked);
    await assert.rejects(found, (error: unknown) => error instanceof Fault && error.code === code && says.test(error.detail ?? ""));
    if (locked) assert.deepEqual(asked, ["ocirepository/apps/shop"], "what may not be read is not asked for");
  });

test("[HR18] files are those of the artifacts that were found; a source that the spec names only now is looked for first", async () => {
  const asked: string[] = [];
  const renderer = { tree: async ({ digest, load }: { digest: string; load(): Promise<Uint8Array> }) => (asked.push(digest, String(await load())), new Tree([["a.yaml", new Uint8Array()]])) };
  const artifacts = { get: async (path: string) => new TextEncoder().encode(path) };
  const context = { facts: { madeFrom: ["gitrepository/apps/fleet", "gitrepository/apps/none"] }, valuesFrom: { "gitrepository/apps/fleet": offer("fleet").artifact } } as never;
  const files = filesFor(release, context, { renderer, artifacts });
  const found = await files({ kind: "gitrepository", namespace: "apps", name: "fleet" });
  assert.deepEqual([found?.revision, found?.tree.files.has("a.yaml"), asked], ["fleet", true, ["sha256:fleet", "112"]]);
  assert.equal(await files({ kind: "gitrepository", namespace: "apps", name: "none" }), undefined);
  await assert.rejects(files({ kind: "bucket", namespace: "apps", name: "other" }), (error: unknown) => error instanceof Fault && error.code === "InputsChanged");
});

test("[HR18] an artifact that its source has replaced since is no failure of the release: it is looked for again", async () => {
  const context = { facts: { madeFrom: ["gitrepository/apps/fleet"] }, valuesFrom: { "gitrepository/apps/fleet": offer("fleet").artifact } } as never;
  const fails = (fault: Fault) => filesFor(release, context, { renderer: { tree: () => Promise.reject(fault) }, artifacts: { get: () => assert.fail("read") } })({ kind: "gitrepository", namespace: "apps", name: "fleet" });
  await assert.rejects(fails(new Fault("ArtifactMissing", "p", { detail: "not in the artifact store" })), (error: unknown) => error instanceof Fault && error.code === "InputsChanged" && isPassing(error.code));
  await assert.rejects(fails(new Fault("ArtifactCorrupt", "p")), (error: unknown) => error instanceof Fault && error.code === "ArtifactCorrupt");
});

const madeFrom = (suspended = false) => ({ suspended, madeFrom: ["gitrepository/apps/fleet"] });
for (const { what, making, busySinceMs, behind } of [
  { what: "made of what its source holds now", making: { facts: madeFrom(), madeOf: ["fleet sha256:fleet"] }, behind: false },
  { what: "made of what that held before", making: { facts: madeFrom(), madeOf: ["before sha256:before"] }, behind: true },
  { what: "the same, and suspended", making: { facts: madeFrom(true), madeOf: ["before sha256:before"] }, behind: false },
  { what: "looked up in what its source holds now, and not fetched yet", making: { facts: madeFrom(), madeOf: ["fleet sha256:fleet"] }, busySinceMs: 1, behind: true },
  { what: "made from another source, and busy", making: { facts: { suspended: false, madeFrom: ["gitrepository/apps/other"] } }, busySinceMs: 1, behind: false },
  { what: "made from another source", making: { facts: { suspended: false, madeFrom: ["gitrepository/apps/other"] }, madeOf: ["before sha256:before"] }, behind: false },
  { what: "made from nothing", making: { facts: { suspended: false } }, behind: false },
])
  test(`[HR20] a chart that is ${what} -> ${behind ? "" : "not "}behind the values of its source`, async () => {
    assert.equal((await find([file("fleet")], false, making, busySinceMs).found).behind, behind);
  });
