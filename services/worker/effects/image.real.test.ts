/** Scans and elections against go-containerregistry's registry, and against registries that misbehave as it never would. */
import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";
import type { ImageContext } from "#machines/image/machine.ts";
import { Fault, type FaultCode } from "#protocol/errors/fault.ts";
import type { Election, Looked, Scan } from "#protocol/messages/image.ts";
import { actorId, type ActorKey } from "#protocol/names/actor.ts";
import { Clouds } from "#services/clients/cloud/identity.ts";
import { closeConnections } from "#services/clients/http/connections.ts";
import { ociManifest, startRegistry, type LocalRegistry, type RegistryTrouble } from "../../../deploy/local/registry.ts";
import { scratchFolder } from "../../../test/kit/cluster.ts";
import { digestOf } from "../digest.ts";
import type { RawObject } from "../facts.ts";
import type { EffectCall } from "../host.ts";
import { imageEffects, type ImagePorts } from "./image.ts";

const user = { username: "ada", password: "correct-horse" };
let plain: LocalRegistry, basic: LocalRegistry, tokens: LocalRegistry;

before(async () => {
  const dir = scratchFolder();
  [plain, basic, tokens] = await Promise.all([
    startRegistry({ dir }), startRegistry({ dir, auth: { ...user, by: "basic" } }), startRegistry({ dir, auth: { ...user, by: "token" } }),
  ]);
});
after(async () => {
  await Promise.all([plain, basic, tokens].map((each) => each.stop()));
  await closeConnections();
});
beforeEach(() => {
  for (const each of [plain, basic, tokens]) {
    each.spoil = undefined;
    each.requests.length = 0;
  }
});

const repositoryKey = (name = "shop", namespace = "apps"): ActorKey => ({ kind: "imagerepository", namespace, name });
const policyKey = (name = "shop", namespace = "apps"): ActorKey => ({ kind: "imagepolicy", namespace, name });
const pullSecret = (registry: LocalRegistry, login = user) => ({ ".dockerconfigjson": JSON.stringify({ auths: { [registry.host]: login } }) });
const fault = (code: FaultCode, detail: RegExp) => (error: unknown) => {
  assert.ok(error instanceof Fault, String(error));
  assert.equal(error.code, code, error.message);
  assert.match(error.message, detail);
  assert.doesNotMatch(JSON.stringify(error) + error.message, /correct-horse/);
  return true;
};

/** The objects of a hub, what is kept of them, and what was stored: everything the effects act through. */
class Desk {
  readonly objects = new Map<string, RawObject>();
  readonly secrets: Record<string, Record<string, string>> = {};
  readonly labels: Record<string, Record<string, string>> = {};
  readonly stored = new Map<string, Uint8Array>();
  readonly spans: string[] = [];
  private readonly contexts = new Map<string, Partial<ImageContext>>();
  private readonly effects: ReturnType<typeof imageEffects>;

  constructor(more: Partial<ImagePorts> = {}) {
    const secret = async (namespace: string, name: string) =>
      Object.fromEntries(Object.entries(this.secrets[`${namespace}/${name}`] ?? missing(name)).map(([key, value]) => [key, Buffer.from(value)]));
    const hub = {
      need: async (key: ActorKey) => this.objects.get(actorId(key)) ?? assert.fail(actorId(key)), find: async (key: ActorKey) => this.objects.get(actorId(key)),
      secret, pullSecrets: async (namespace: string, account: string) => [await secret(namespace, `of ${account}`)],
    };
    const artifacts = {
      get: async (path: string) => this.stored.get(path) ?? assert.fail(path), has: async (path: string) => this.stored.has(path),
      put: async (at: string | ((digest: string) => string), bytes: Uint8Array) => {
        const digest = digestOf(bytes);
        const path = typeof at === "string" ? at : at(digest);
        this.stored.set(path, bytes);
        return { path, digest, sizeBytes: bytes.byteLength };
      },
      retain: async (prefix: string, keep: string[]) => { for (const path of this.stored.keys()) if (path.startsWith(`${prefix}/`) && !keep.includes(path)) this.stored.delete(path); },
      remove: async (prefix: string) => { for (const path of this.stored.keys()) if (path.startsWith(`${prefix}/`)) this.stored.delete(path); },
    };
    this.effects = imageEffects({
      hub: hub as unknown as ImagePorts["hub"], artifacts,
      held: async (key) => {
        const { artifact, traceparent = "" } = this.contexts.get(actorId(key)) ?? {};
        return artifact ? { artifact, traceparent } : this.objects.has(actorId(key)) ? "no artifact" : "no source";
      },
      namespaceLabels: async (namespace) => this.labels[namespace], tenancy: {}, clouds: new Clouds(), guard: () => undefined,
      spans: { recordSpan: ({ name }: { name: string }) => (this.spans.push(name), "") } as unknown as ImagePorts["spans"], clock: { nowMs: () => Date.now() } as ImagePorts["clock"],
      ...more,
    });
  }

  put({ kind, namespace, name }: ActorKey, spec: Record<string, unknown>, status?: object): this {
    const [of, written] = kind === "imagepolicy"
      ? ["ImagePolicy", { imageRepositoryRef: { name: "shop" }, policy: { semver: { range: "*" } }, ...spec }]
      : ["ImageRepository", { interval: "1m", ...spec }];
    this.objects.set(actorId({ kind, namespace, name }), {
      apiVersion: "image.toolkit.fluxcd.io/v1", kind: of, metadata: { name, namespace, uid: "u1", resourceVersion: "1", generation: 1 }, spec: written, ...(status && { status }),
    });
    return this;
  }

  /** @param fresh somebody said that there is news; at the interval otherwise */
  private async look(key: ActorKey, { fresh = true, timeoutMs = 30_000, observed }: { fresh?: boolean; timeoutMs?: number; /** Generation. */ observed?: number } = {}): Promise<Looked> {
    const before = this.contexts.get(actorId(key)) ?? {};
    const context = { scan: null, election: null, artifact: null, traceparent: "", ...before, fresh, observedGeneration: observed ?? this.objects.get(actorId(key))?.metadata.generation, facts: { intervalMs: 60_000, timeoutMs } };
    const call = { key, context, input: null, run: { sinceMs: Date.now() }, signal: new AbortController().signal, recovered: false } as unknown as EffectCall;
    const looked = (await this.effects["look"]?.(call)) as Looked;
    this.contexts.set(actorId(key), { ...before, ...looked, ...("scan" in looked && { artifact: looked.scan.artifact }) } as Partial<ImageContext>);
    return looked;
  }

  async scan(key = repositoryKey(), how: { fresh?: boolean; timeoutMs?: number; observed?: number } = {}): Promise<Scan> {
    const looked = await this.look(key, how);
    return "scan" in looked ? looked.scan : assert.fail("no scan");
  }

  async elect(key = policyKey(), how: { fresh?: boolean } = {}): Promise<Election> {
    const looked = await this.look(key, how);
    return "election" in looked ? looked.election : assert.fail("no election");
  }

  traceOf(key: ActorKey): string {
    return this.contexts.get(actorId(key))?.traceparent ?? "";
  }
}

const missing = (name: string): never => {
  throw new Fault("SecretMissing", name, { detail: "not found" });
};

async function push(registry: LocalRegistry, name: string, tags: string[], label = "one"): Promise<string> {
  const config = { mediaType: "application/vnd.oci.image.config.v1+json", digest: await registry.pushBlob(name, Buffer.from("{}")), size: 2 };
  let digest = "";
  for (const tag of tags) digest = await registry.pushManifest(name, tag, ociManifest, { schemaVersion: 2, mediaType: ociManifest, config, layers: [], annotations: { label } });
  return digest;
}

const listed = (registry: LocalRegistry) => registry.requests.filter(({ path }) => path.endsWith("/tags/list")).length;
const isList = ({ path }: { path: string }) => path.endsWith("/tags/list");
const answered = (tags: unknown, headers: Record<string, string> = {}): RegistryTrouble => ({ status: 200, headers: { "content-type": "application/json", ...headers }, body: JSON.stringify({ tags }) });

/** Pages, as a registry gives them that gives so many at most. */
const paged = (tags: string[], size: number) => ({ path, query }: { path: string; query: string }): RegistryTrouble | undefined => {
  if (!path.endsWith("/tags/list")) return undefined;
  const from = tags.indexOf(new URLSearchParams(query).get("last") ?? "") + 1;
  const page = tags.slice(from, from + size);
  return answered(page, from + size < tags.length ? { link: `<${path}?last=${page.at(-1)}&n=${size}>; rel="next"` } : {});
};

test("[IM16] the tags are kept, whichever they are: other ones in another place, the same in the same; those before stay for who reads them", async () => {
  const desk = new Desk().put(repositoryKey(), { image: `${plain.host}/team/kept` });
  await push(plain, "team/kept", ["1.0.0", "1.0.0.sig"]);
  const first = await desk.scan();
  assert.deepEqual([first.image, first.tagCount, first.latestTags, first.exclusionList], [`${plain.host}/team/kept`, 1, ["1.0.0"], ["^.*\\.sig$"]]);
  assert.match(first.artifact.path, /^imagerepository\/apps\/shop\/[0-9a-f]{64}\.json\.gz$/);
  assert.deepEqual((await desk.scan()).artifact, first.artifact);
  await push(plain, "team/kept", ["2.0.0"]);
  const second = await desk.scan();
  assert.deepEqual([second.tagCount, [...desk.stored.keys()].sort()], [2, [first.artifact.path, second.artifact.path].sort()]);
  await push(plain, "team/kept", ["3.0.0"]);
  const third = await desk.scan();
  assert.deepEqual([...desk.stored.keys()].sort(), [second.artifact.path, third.artifact.path].sort());
  desk.stored.clear();
  assert.equal((await desk.scan()).artifact.digest, third.artifact.digest);
  assert.ok(desk.stored.has(third.artifact.path), "what was lost is stored again");
});

test("[IM16] another name with the same tags is other news: what is elected is called otherwise", async () => {
  for (const name of ["team/one", "team/other"]) await push(plain, name, ["1.0.0"]);
  const desk = new Desk().put(repositoryKey(), { image: `${plain.host}/team/one` });
  const one = await desk.scan();
  const other = await desk.put(repositoryKey(), { image: `${plain.host}/team/other` }).scan();
  assert.equal(one.revision, other.revision);
  assert.notEqual(one.artifact.digest, other.artifact.digest);
  assert.equal((await desk.put(policyKey(), {}).elect()).latest.name, `${plain.host}/team/other`);
});

test("[IM62] tags come in pages, as many as a registry gives at a time", async () => {
  const tags = Array.from({ length: 1_234 }, (_, i) => `v${i}`);
  plain.spoil = paged(tags, 50);
  const scan = await new Desk().put(repositoryKey(), { image: `${plain.host}/team/paged` }).scan();
  assert.deepEqual([scan.tagCount, listed(plain)], [1_234, 25]);
});

test("[IM62] a list without end is given up, and its fault says why", async () => {
  const desk = new Desk().put(repositoryKey(), { image: `${plain.host}/team/endless` });
  const link = (to: string) => ({ link: `<${to}>; rel="next"` });
  let page = 0;
  for (const [list, words] of [
    [() => answered(["a"], link("/v2/team/endless/tags/list?last=a")), /goes round in circles/],
    [() => answered(Array.from({ length: 9_000 }, (_, i) => `t${page}-${i}`), link(`/v2/team/endless/tags/list?last=${page++}`)), /more than 100000 tags/],
    [() => answered([`t${page}`], link(`/v2/team/endless/tags/list?last=${page++}`)), /more than 2500 pages/],
    [() => "endless" as const, /longer than/],
  ] as const) {
    plain.spoil = (request) => (isList(request) ? list() : undefined);
    await assert.rejects(desk.scan(), fault("TagsTooMany", words));
  }
  plain.spoil = (request) => (isList(request) ? "hang" : undefined);
  await assert.rejects(desk.scan(repositoryKey(), { timeoutMs: 300 }), fault("TimedOut", /spec\.timeout/));
});

test("[IM63] an image that is spelt otherwise is called so, though the registry says that nothing has changed", async () => {
  plain.spoil = (request) => (isList(request) ? (request.known ? { status: 304 } : answered(["1.0.0"], { etag: '"a"' })) : undefined);
  const desk = new Desk().put(repositoryKey(), { image: `${plain.host}/team/spelt` });
  const first = await desk.scan();
  const changed = desk.objects.get(actorId(repositoryKey())) ?? assert.fail();
  changed.metadata.generation = 2;
  await desk.scan(repositoryKey(), { observed: 1 });
  assert.equal(listed(plain), 2);
  assert.equal(plain.requests.at(-1)?.known, undefined);
  assert.equal((await desk.scan()).artifact.digest, first.artifact.digest);
});

test("[IM63] a registry that names its list is asked once for one that has not changed, and nothing is sent again", async () => {
  const desk = new Desk().put(repositoryKey(), { image: `${plain.host}/team/named` });
  let tags = ["1.0.0", "1.1.0"];
  const asked: (string | undefined)[] = [];
  plain.spoil = (request) => {
    if (!isList(request)) return undefined;
    const etag = `"${tags.length}"`;
    asked.push(request.known);
    return request.known === etag ? { status: 304, headers: { etag } } : answered(tags, { etag });
  };
  const first = await desk.scan();
  const second = await desk.scan();
  assert.deepEqual([second.tagCount, second.artifact, plain.requests.length, asked], [2, first.artifact, 2, [undefined, '"2"']]);
  tags = [...tags, "1.2.0"];
  assert.equal((await desk.scan()).tagCount, 3);
  desk.put(repositoryKey(), { image: `${plain.host}/team/named`, exclusionList: ["^1\\.2"] });
  assert.equal((await desk.scan()).tagCount, 2, "another exclusion list wants all tags");
  assert.deepEqual(asked.slice(2), ['"2"', undefined]);
  tags = Array.from({ length: 10 }, (_, i) => `${i}.0.0`);
  await desk.scan();
  await desk.scan();
  assert.equal(asked.at(-1), undefined, "a full page may have a successor that its name says nothing of");
});

test("[IM64] several on one image and the same credentials share a scan at their interval; other credentials never do", async () => {
  await push(tokens, "team/shared", ["1.0.0"]);
  const desk = new Desk();
  const image = `${tokens.host}/team/shared`;
  desk.secrets["apps/pull"] = desk.secrets["other/pull"] = pullSecret(tokens);
  desk.secrets["evil/pull"] = pullSecret(tokens, { username: "eve", password: "guess" });
  for (const namespace of ["apps", "other", "evil"]) desk.put(repositoryKey("shop", namespace), { image, secretRef: { name: "pull" } });
  desk.put(repositoryKey("bare"), { image });
  assert.equal((await desk.scan(repositoryKey("shop", "apps"))).tagCount, 1);
  assert.equal((await desk.scan(repositoryKey("shop", "other"), { fresh: false })).tagCount, 1);
  const lists = tokens.requests.filter((request) => isList(request) && request.authorization).length;
  assert.equal(lists, 1);
  for (const key of [repositoryKey("shop", "evil"), repositoryKey("bare")]) await assert.rejects(desk.scan(key, { fresh: false }), fault("AuthenticationFailed", /HTTP 401/));
  await push(tokens, "team/shared", ["1.1.0"]);
  assert.equal((await desk.scan(repositoryKey("shop", "other"))).tagCount, 2, "whoever was told of news asks anew");
});

test("[IM65] credentials: of a Secret, of a ServiceAccount's pull secrets; with a provider its identity alone; none, wrong ones, no Secret", async () => {
  const desk = new Desk();
  desk.secrets["apps/pull"] = desk.secrets["apps/of robot"] = { ".dockerconfigjson": JSON.stringify({ auths: { [basic.host]: user, [tokens.host]: user } }) };
  desk.secrets["apps/wrong"] = pullSecret(basic, { username: "ada", password: "correct-horse-not" });
  for (const registry of [basic, tokens]) {
    await push(registry, "team/private", ["1.0.0"]);
    const scan = (spec: Record<string, unknown>) => desk.put(repositoryKey(), { image: `${registry.host}/team/private`, ...spec }).scan();
    assert.equal((await scan({ secretRef: { name: "pull" } })).tagCount, 1);
    assert.equal((await scan({ serviceAccountName: "robot" })).tagCount, 1);
    await assert.rejects(scan({}), fault("AuthenticationFailed", /credentials are required/));
    await assert.rejects(scan({ secretRef: { name: "none" } }), fault("SecretMissing", /none/));
    await assert.rejects(scan({ secretRef: { name: "pull" }, provider: "aws" }), fault("ProviderFailed", /is no registry of Amazon's/));
  }
  await assert.rejects(desk.put(repositoryKey(), { image: `${basic.host}/team/private`, secretRef: { name: "wrong" } }).scan(), fault("AuthenticationFailed", /were not accepted/));
});

for (const [image, code, words] of [
  ["https://ghcr.io/team/shop", "ImageNameInvalid", /should not include URL scheme; remove 'https:\/\/'/],
  ["ghcr.io/team/shop:v1", "ImageNameInvalid", /should not include a tag; remove ':v1'/],
  ["ghcr.io:443/team/shop:v1", "ImageNameInvalid", /should not include a tag; remove ':v1'/],
  ["shop:v1", "ImageNameInvalid", /should not include a tag; remove ':v1'/],
  ["ghcr.io/team/shop@sha256:00", "ImageNameInvalid", /should not include a digest/],
  ["ghcr.io/Team/Shop", "ImageNameInvalid", /lower-case/],
  ["", "ImageNameInvalid", /spec\.image/],
] as const)
  test(`[IM66] spec.image ${JSON.stringify(image)} is no name of an image, and says what to remove`, () =>
    assert.rejects(new Desk().put(repositoryKey(), { image }).scan(), fault(code, words)));

test("[IM66] an image that the registry does not have, a list that cannot be read, a pattern that is none", async () => {
  const desk = new Desk().put(repositoryKey(), { image: `${plain.host}/team/none` });
  await assert.rejects(desk.scan(), fault("ImageMissing", /HTTP 404: .*push the image, or correct spec\.image/));
  plain.spoil = (request) => (isList(request) ? answered(7) : undefined);
  await assert.rejects(desk.scan(), fault("UpstreamUnreachable", /cannot be read/));
  plain.spoil = (request) => (isList(request) ? answered(["a"]) : undefined);
  await assert.rejects(desk.put(repositoryKey(), { image: `${plain.host}/team/none`, exclusionList: ["("] }).scan(), fault("ImageTagsUnread", /exclusionList\[0\]/));
});

// Policies

test("[IM17] [IM67] a policy elects among what its repository has kept, and says what was the latest before", async () => {
  await push(plain, "team/elected", ["1.0.0", "1.1.0"]);
  const desk = new Desk().put(repositoryKey(), { image: `${plain.host}/team/elected` }).put(policyKey(), {});
  const { artifact } = await desk.scan();
  const first = await desk.elect();
  const name = `${plain.host}/team/elected`;
  assert.deepEqual(first, { latest: { name, tag: "1.1.0" }, madeOf: [`${artifact.revision} ${artifact.digest}`] });
  assert.deepEqual(await desk.elect(), first);
  await push(plain, "team/elected", ["1.2.0"]);
  await desk.scan();
  const second = await desk.elect();
  assert.deepEqual([second.latest.tag, second.previous], ["1.2.0", { name, tag: "1.1.0" }]);
  assert.deepEqual((await desk.elect()).previous, { name, tag: "1.1.0" }, "and goes on saying it");
});

test("[IM60] the scan that found something begins a trace, which the election goes on with; one that found nothing begins none", async () => {
  await push(plain, "team/traced", ["1.0.0"]);
  const desk = new Desk().put(repositoryKey(), { image: `${plain.host}/team/traced` }).put(policyKey(), {});
  await desk.scan();
  await desk.elect();
  const trace = (key: ActorKey) => desk.traceOf(key).split("-")[1];
  assert.equal(trace(policyKey()), trace(repositoryKey()));
  const before = [...desk.spans];
  await desk.scan();
  await desk.elect();
  assert.deepEqual(desk.spans, before);
});

test("[IM14] [IM67] the digest of what is elected: never; once, and kept however often the tag moves; or every time", async () => {
  const one = await push(plain, "team/moving", ["1.0.0"], "one");
  const desk = new Desk().put(repositoryKey(), { image: `${plain.host}/team/moving` });
  await desk.scan();
  const digestOf = async (digestReflectionPolicy: string, status?: object, name: string = digestReflectionPolicy.toLowerCase()) =>
    (await desk.put(policyKey(name), { digestReflectionPolicy, ...(digestReflectionPolicy === "Always" && { interval: "1m" }) }, status).elect(policyKey(name))).latest.digest;
  assert.deepEqual([await digestOf("Never"), await digestOf("IfNotPresent"), await digestOf("Always")], [undefined, one, one]);
  const two = await push(plain, "team/moving", ["1.0.0"], "two");
  assert.deepEqual([await digestOf("Never"), await digestOf("IfNotPresent"), await digestOf("Always")], [undefined, one, two]);
  const said = { latestRef: { name: `${plain.host}/team/moving`, tag: "1.0.0", digest: one } };
  assert.equal(await digestOf("IfNotPresent", said, "moved-from-flux"), one, "what Flux found before counts on");
  plain.spoil = ({ path }) => (path.includes("/manifests/") ? { status: 404 } : undefined);
  await assert.rejects(digestOf("Always"), fault("ImageMissing", /HTTP 404/));
});

test("[IM68] from another namespace a repository is referred to where it allows it, and nothing of it is told otherwise", async () => {
  const desk = new Desk().put(policyKey("guest", "guests"), { imageRepositoryRef: { name: "shop", namespace: "apps" } });
  const elect = () => desk.elect(policyKey("guest", "guests"));
  await assert.rejects(elect(), fault("ImageRepositoryMissing", /does not exist/));
  await push(plain, "team/lent", ["1.0.0"]);
  const image = `${plain.host}/team/lent`;
  await desk.put(repositoryKey(), { image }).scan();
  await assert.rejects(elect(), fault("AccessDenied", /'apps\/shop' can't be accessed due to missing ACL labels on 'accessFrom'/));
  desk.put(repositoryKey(), { image, accessFrom: { namespaceSelectors: [{ matchLabels: { team: "a" } }, { matchLabels: { team: "b", env: "prod" } }] } });
  for (const labels of [{}, { team: "b" }, { env: "prod" }]) {
    desk.labels["guests"] = labels;
    await assert.rejects(elect(), fault("AccessDenied", /ACL labels mismatch on namespace 'guests'/));
  }
  desk.labels["guests"] = { team: "b", env: "prod", more: "x" };
  assert.equal((await elect()).latest.tag, "1.0.0");
  desk.put(repositoryKey(), { image, accessFrom: { namespaceSelectors: [{}] } });
  delete desk.labels["guests"];
  assert.equal((await elect()).latest.tag, "1.0.0", "all of them");
  desk.put(repositoryKey(), { image, accessFrom: { namespaceSelectors: [] } });
  await assert.rejects(elect(), fault("AccessDenied", /mismatch/));
  const strict = new Desk({ tenancy: { noCrossNamespaceRefs: true } }).put(policyKey("guest", "guests"), { imageRepositoryRef: { name: "shop", namespace: "apps" } }).put(repositoryKey(), { image, accessFrom: { namespaceSelectors: [{}] } });
  await assert.rejects(strict.elect(policyKey("guest", "guests")), fault("AccessDenied", /cross-namespace references have been blocked/));
});

test("[IM67] what cannot be elected: of no tags, of a name that is none, by an order that is none, among tags that do not fit", async () => {
  const desk = new Desk().put(repositoryKey(), { image: `${plain.host}/team/unfit` }).put(policyKey(), {});
  await assert.rejects(desk.elect(), fault("ImageTagsMissing", /no tags in database/));
  plain.spoil = (request) => (isList(request) ? answered([]) : undefined);
  await desk.scan();
  await assert.rejects(desk.elect(), fault("ImageTagsMissing", /no tags in database/));
  plain.spoil = (request) => (isList(request) ? answered(["latest"]) : undefined);
  await desk.scan();
  await assert.rejects(desk.elect(), fault("ImageTagsUnfit", /unable to determine latest version/));
  await assert.rejects(desk.put(policyKey(), { policy: {} }).elect(), fault("ImagePolicyInvalid", /names no order/));
  await assert.rejects(desk.put(policyKey(), { filterTags: { pattern: "(" } }).elect(), fault("ImagePolicyInvalid", /filterTags\.pattern/));
  await assert.rejects(desk.put(repositoryKey(), { image: `${plain.host}/team/unfit:v1` }).elect(), fault("ImageNameInvalid", /remove ':v1'/));
});

test("[IM67] patterns of one namespace are tried one after the other, so that another's are not kept waiting", async () => {
  plain.spoil = (request) => (isList(request) ? answered(["1.0.0"]) : undefined);
  const busy = new Map<string, number>();
  let most = 0;
  const started = Promise.withResolvers<void>();
  const goOn = Promise.withResolvers<void>();
  const threads = {
    async run(kind: string, { shown }: { shown: string }) {
      if (kind === "keep") return { revision: "1", tagCount: 1, latestTags: [], kept: new Uint8Array() };
      const [, namespace = ""] = shown.split("/");
      busy.set(namespace, (busy.get(namespace) ?? 0) + 1);
      most = Math.max(most, busy.get(namespace) ?? 0);
      if (namespace === "slow") await goOn.promise;
      else started.resolve();
      busy.set(namespace, (busy.get(namespace) ?? 1) - 1);
      return { image: "shop", tag: "1.0.0" };
    },
  } as unknown as NonNullable<ImagePorts["threads"]>;
  const desk = new Desk({ threads });
  const names = ["a", "b", "c"];
  for (const namespace of ["slow", "quick"]) {
    await desk.put(repositoryKey("shop", namespace), { image: `${plain.host}/team/slow` }).scan(repositoryKey("shop", namespace));
    for (const name of names) desk.put(policyKey(name, namespace), {});
  }
  const slow = names.map((name) => desk.elect(policyKey(name, "slow")));
  const quick = desk.elect(policyKey("a", "quick"));
  await started.promise;
  assert.equal((await quick).latest.tag, "1.0.0");
  goOn.resolve();
  await Promise.all(slow);
  assert.equal(most, 1);
});
