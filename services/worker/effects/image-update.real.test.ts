/** The chart and its effects against a real Git server and the real renderer: every step may be the last of the worker that takes it. */
import assert from "node:assert/strict";
import { chmod, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { after, before, test } from "node:test";
import { imageUpdate, type ImageUpdateContext } from "#machines/image-update/machine.ts";
import { imageUpdateStatus } from "#machines/image-update/status.ts";
import { Fault } from "#protocol/errors/fault.ts";
import { parseActorId, type ActorKey } from "#protocol/names/actor.ts";
import { Engine } from "#services/render/engine.ts";
import { sources } from "#services/sources/index.ts";
import { startGitServer, type GitServer } from "../../../deploy/local/git-server.ts";
import { scratchFolder } from "../../../test/kit/cluster.ts";
import { Play } from "../../../test/simulate/play.ts";
import { factsOf, type RawObject } from "../facts.ts";
import { imageUpdateEffects, withTrailer } from "./image-update.ts";

const dir = scratchFolder();
const user = { username: "robot", password: "hunter2hunter2" };
const engine = new Engine();
let server: GitServer;
before(async () => {
  server = await startGitServer({ dir, auth: user });
});
after(() => server.stop());

const namespace = "apps";
const cause = `00-${"a".repeat(32)}-${"b".repeat(16)}-01`;
const deployment = (tag: string, policy = "apps:shop") => `image: ghcr.io/team/shop:${tag} # {"$imagepolicy": "${policy}"}\n`;
let count = 0;

/** An automation with a repository of its own, and what it stands among. */
class Bed {
  readonly name = `shop${count++}`;
  readonly play = new Play<ImageUpdateContext>(imageUpdate, `imageupdateautomation/${namespace}/${this.name}`);
  readonly objects = new Map<string, RawObject>();
  readonly secrets = new Map<string, Record<string, Uint8Array>>([["git", { username: Buffer.from(user.username), password: Buffer.from(user.password) }]]);
  readonly stored = new Map<string, Uint8Array>();
  readonly spans: { name: string; traceparent?: string; parent?: string }[] = [];
  tags: Record<string, string> = { shop: "v1" };
  nowMs = 1_800_000_000_000;
  generation = 0;

  static async open(files: Record<string, string> = { "shop.yaml": deployment("v1") }, spec: Record<string, unknown> = {}): Promise<Bed> {
    const bed = new Bed();
    await server.createRepo(bed.name);
    await server.git(bed.name, "config", "http.receivepack", "true");
    if (Object.keys(files).length > 0) await bed.commit(files);
    bed.put("GitRepository", bed.name, { url: server.repoUrl(bed.name), ref: { branch: "main" }, interval: "1m", secretRef: { name: "git" } });
    bed.write(spec);
    return bed;
  }

  put(kind: string, name: string, spec: object, more: Partial<RawObject["metadata"]> = {}): RawObject {
    const group = kind.startsWith("Image") ? "image" : "source";
    const object = { apiVersion: `${group}.toolkit.fluxcd.io/v1`, kind, metadata: { name, namespace, uid: "u1", resourceVersion: "1", generation: 1, finalizers: ["finalizers.fluxcd.io"], ...more }, spec };
    this.objects.set(`${kind.toLowerCase()}/${namespace}/${name}`, object);
    return object;
  }

  /** Its spec, from now on. */
  write({ git = {}, ...spec }: Record<string, unknown>, annotations: Record<string, string> = {}): this {
    const wanted = { interval: "10m", sourceRef: { kind: "GitRepository", name: this.name }, git: { commit: { author: { email: "robot@example.com" } }, ...git as object }, update: { strategy: "Setters" }, ...spec };
    const object = this.put("ImageUpdateAutomation", this.name, wanted, { generation: ++this.generation, annotations });
    this.play.send({ type: "object", facts: factsOf("imageupdateautomation", object) });
    return this;
  }

  commit(files: Record<string, string | null>, branch = "main"): Promise<string> {
    return server.commit(this.name, { files, message: "theirs", branch });
  }

  private effects() {
    const hub = {
      need: async (key: ActorKey) => this.objects.get(`${key.kind}/${key.namespace}/${key.name}`) ?? assert.fail(key.name),
      find: async (key: ActorKey) => this.objects.get(`${key.kind}/${key.namespace}/${key.name}`),
      secret: async (_: string, name: string) => this.secrets.get(name) ?? Promise.reject(new Fault("SecretMissing", `Secret/${namespace}/${name}`)),
      list: async () => Object.keys(this.tags).map((name) => ({ metadata: { name, namespace, uid: name, labels: { app: name } } })),
    };
    const missing = (path: string) => new Fault("ArtifactMissing", path);
    return imageUpdateEffects({
      kinds: sources, hub: hub as never, engine, tenancy: {}, clock: { nowMs: () => this.nowMs } as never, guard: () => undefined, kindOf: () => "ImageUpdateAutomation",
      artifacts: {
        get: async (path: string) => this.stored.get(path) ?? Promise.reject(missing(path)),
        put: async (path: string, bytes: Uint8Array) => (this.stored.set(path, bytes), { path, digest: `sha256:${this.stored.size}`, sizeBytes: bytes.length }),
        has: async (path: string) => this.stored.has(path),
        retain: async (_: string, paths: string[]) => { for (const path of this.stored.keys()) if (!paths.includes(path)) this.stored.delete(path); },
        remove: async () => this.stored.clear(),
      } as never,
      recordOf: async ({ name }) => ({ snapshot: { context: { facts: { uid: name }, election: { latest: { name: "ghcr.io/team/shop", tag: this.tags[name] } }, traceparent: cause } } }) as never,
      spans: { recordSpan: (span: { name: string }) => (this.spans.push(span), "") } as never,
    });
  }

  /** What the chart asks for is done. @returns its answer, which nobody has heard yet */
  async perform(): Promise<{ answer: unknown } | { code: string; fault: Fault }> {
    const [run] = this.play.record.runs;
    if (!run) throw new Error(`nothing runs in ${this.play.state}`);
    this.nowMs += 1_000;
    const call = { key: parseActorId(`imageupdateautomation/${namespace}/${this.name}`), context: this.play.context as never, input: run.input, run, signal: AbortSignal.timeout(60_000), recovered: false };
    try {
      return { answer: await this.effects()[run.src]?.(call) };
    } catch (error) {
      return { code: Fault.from(error, "").code, fault: Fault.from(error, "") };
    }
  }

  /** One step, and the chart hears of it. */
  async step(): Promise<void> {
    const done = await this.perform();
    if ("answer" in done) this.play.answer(done.answer);
    else this.play.fail(done.fault.code, done.fault.detail ?? done.fault.subject);
  }

  /** Until it rests. */
  async run(): Promise<this> {
    for (let steps = 0; this.play.running !== ""; steps++) {
      assert.ok(steps < 20, "it comes to rest");
      await this.step();
    }
    return this;
  }

  look(): Promise<this> {
    this.play.send({ type: "look" });
    return this.run();
  }

  git(...args: string[]): Promise<string> {
    return server.git(this.name, ...args);
  }

  /** Subjects of a branch, newest first. */
  async log(branch = "main"): Promise<string[]> {
    return (await this.git("log", "--format=%s", branch)).split("\n");
  }

  get ready(): string {
    const [{ status = "", reason = "", message = "" } = {}] = imageUpdateStatus(this.play.state, this.play.context)?.conditions ?? [];
    return `${status} ${reason}: ${message}`;
  }

  get told(): string[] {
    return this.play.notices.map(({ reason, message }) => `${reason}: ${message}`);
  }
}

const ours = "Update from image update automation";

test("[IM97] a policy's new image becomes one commit that carries its trace, and nothing is left to do", async () => {
  const bed = await (await Bed.open()).run();
  assert.deepEqual([bed.ready, await bed.log()], ["True Succeeded: repository up-to-date", ["theirs"]]);
  bed.tags = { shop: "v2" };
  await bed.look();
  const head = await bed.git("rev-parse", "main");
  assert.deepEqual([await bed.log(), await bed.git("show", "main:shop.yaml")], [[ours, "theirs"], deployment("v2").trimEnd()]);
  assert.deepEqual(bed.told, [`Succeeded: pushed commit '${head.slice(0, 7)}' to branch 'main'\n${ours}`]);
  assert.deepEqual(imageUpdateStatus(bed.play.state, bed.play.context)?.observed, {
    lastAutomationRunTime: "2027-01-15T08:00:02Z", lastPushCommit: head, lastPushTime: "2027-01-15T08:00:03Z",
    observedSourceRevision: `main@sha1:${head}`, observedPolicies: { shop: { name: "ghcr.io/team/shop", tag: "v2" } },
  });
  const [, trailer] = /\n\nTraceparent: (\S+)$/.exec(await bed.git("log", "-1", "--format=%B")) ?? [];
  assert.match(trailer ?? "", new RegExp(`^00-${"a".repeat(32)}-[0-9a-f]{16}-01$`));
  assert.deepEqual(bed.spans.map(({ name, parent }) => [name, parent]), [[`update main@${head.slice(0, 7)}`, cause], ["push main", trailer]]);
  const asked = server.requests.length;
  await bed.look();
  assert.deepEqual([await bed.log(), server.requests.slice(asked).filter(({ path }) => path.startsWith(`/${bed.name}`)).length], [[ours, "theirs"], 1], "one question is all it takes");
});

for (const point of ["before it is pushed", "while it is pushed", "after it was pushed", "after it was pushed, and somebody else pushed onto it"])
  test(`[IM98] a worker that ends ${point} leaves one commit to whoever comes next`, async () => {
    const bed = await (await Bed.open()).run();
    bed.tags = { shop: "v2" };
    bed.play.send({ type: "look" });
    await bed.step();
    const commit = bed.play.context.intent?.commit ?? assert.fail("no commit was written down");
    assert.equal(bed.play.running, "push");
    if (point === "while it is pushed") {
      server.spoil = ({ method, path }) => (method === "POST" && path === `/${bed.name}.git/git-receive-pack` ? { status: 502 } : undefined);
      await bed.perform();
      server.spoil = undefined;
    } else if (point.startsWith("after")) await bed.perform(); // and its answer is lost
    if (point.includes("somebody")) await bed.commit({ note: "x" });
    await bed.run();
    assert.deepEqual((await bed.log()).filter((subject) => subject === ours).length, 1);
    assert.equal(bed.play.context.last?.commit, commit);
    assert.deepEqual([bed.ready, bed.told.length], ["True Succeeded: repository up-to-date", 1]);
    assert.ok((await bed.git("rev-list", "main")).split("\n").includes(commit));
  });

test("[IM98] a push whose answer never came is looked for, and neither made again nor told twice", async () => {
  const bed = await (await Bed.open()).run();
  bed.tags = { shop: "v2" };
  bed.play.send({ type: "look" });
  await bed.step();
  server.spoil = ({ method, path }) => (method === "POST" && path === `/${bed.name}.git/git-receive-pack` ? { truncateAfterBytes: 10 } : undefined);
  await bed.step();
  server.spoil = undefined;
  assert.match(bed.ready, /^False GitOperationFailed/);
  bed.play.wait();
  await bed.run();
  assert.deepEqual([await bed.log(), bed.told.filter((text) => text.includes("pushed commit")).length], [[ours, "theirs"], 1]);
});

test("[IM93] of a race with others the change comes out on top of theirs, whoever is first", async () => {
  const bed = await (await Bed.open()).run();
  bed.tags = { shop: "v2" };
  bed.play.send({ type: "look" });
  await bed.step();
  await bed.commit({ note: "x" });
  await bed.run();
  assert.deepEqual([await bed.log(), bed.told.length], [[ours, "theirs", "theirs"], 1]);
});

test("[IM99] another branch is made from what is checked out, put anew onto it for a later image, and built on where others have pushed", async () => {
  const bed = await (await Bed.open({ "shop.yaml": deployment("v0") }, { git: { push: { branch: "auto" } } })).run();
  assert.deepEqual([await bed.log("auto"), await bed.log()], [[ours, "theirs"], ["theirs"]]);
  const first = await bed.git("rev-parse", "auto");
  const news = await bed.commit({ note: "x" });
  await bed.look();
  assert.equal(await bed.git("rev-parse", "auto"), first, "it says already what it should");
  bed.tags = { shop: "v2" };
  await bed.look();
  assert.deepEqual([await bed.log("auto"), await bed.git("rev-parse", "auto^")], [[ours, "theirs", "theirs"], news]);
  const theirs = await bed.commit({ fix: "y" }, "auto");
  bed.tags = { shop: "v3" };
  await bed.look();
  assert.equal(await bed.git("rev-parse", "auto^"), theirs, "nobody's commit is lost");
  bed.tags = { shop: "v4" };
  await bed.look();
  assert.equal(await bed.git("rev-parse", "auto^^"), theirs);
  assert.equal(await bed.git("show", "auto:shop.yaml"), deployment("v4").trimEnd());
  assert.equal(bed.told.length, 4);
});

test("[IM97] policies count by the selector; the message is the template's, and its trailers stay together", async () => {
  const messageTemplate = "{{ range .Changed.Changes }}{{ .NewValue }}{{ end }} for {{ .Values.cluster }}\n\nSigned-off-by: {{ .AutomationObject.Name | upper }} <robot@example.com>\n";
  const spec = { git: { commit: { author: { email: "robot@example.com", name: "Robot" }, messageTemplate, messageTemplateValues: { cluster: "prod" } } }, policySelector: { matchLabels: { app: "shop" } } };
  const bed = await Bed.open({ "shop.yaml": deployment("v0"), "other.yaml": deployment("v0", "apps:other") }, spec);
  bed.tags = { shop: "v1", other: "v1" };
  await bed.run();
  assert.match(await bed.git("log", "-1", "--format=%an|%B"), /^Robot\|ghcr\.io\/team\/shop:v1 for prod\n\nSigned-off-by: SHOP\d+ <robot@example\.com>\nTraceparent: 00-/);
  assert.equal(await bed.git("show", "main:other.yaml"), deployment("v0", "apps:other").trimEnd());
  assert.equal(withTrailer("a: b", "t"), "a: b\n\nTraceparent: t\n");
});

const bad: { name: string; files?: Record<string, string>; spec?: Record<string, unknown>; ready: RegExp; spoil?: (bed: Bed) => Promise<unknown> }[] = [
  { name: "an empty repository", files: {}, ready: /^False GitOperationFailed: .*push a first commit/ },
  { name: "no source", ready: /^False SourceManagerFailed: .*does not exist/, spoil: async (bed) => bed.objects.delete(`gitrepository/${namespace}/${bed.name}`) },
  { name: "no Secret of the source", ready: /^False SourceManagerFailed: .*create the Secret/, spoil: async (bed) => bed.secrets.delete("git") },
  { name: "a wrong password", ready: /^False GitOperationFailed: .*HTTP 401/, spoil: async (bed) => bed.secrets.set("git", { username: Buffer.from("robot"), password: Buffer.from("hunter3") }) },
  { name: "a path that is not there", spec: { update: { strategy: "Setters", path: "./overlays" } }, ready: /^False UpdateFailed: .*overlays.*correct spec\.update\.path/ },
  { name: "no spec.git", ready: /^False InvalidSourceConfiguration: .*set spec\.git/, spoil: async (bed) => bed.put("ImageUpdateAutomation", bed.name, { interval: "10m", sourceRef: { kind: "GitRepository", name: bed.name } }) },
  { name: "a selector that is none", spec: { policySelector: { matchExpressions: [{ key: "app", operator: "Is" }] } }, ready: /^False InvalidPolicySelector: .*no operator/ },
  { name: "a template that fails", spec: { git: { commit: { author: { email: "r@e.x" }, messageTemplate: "{{ .Nothing }}" } } }, ready: /^False GitOperationFailed: .*messageTemplate/ },
  { name: "a template that loops", spec: { git: { commit: { author: { email: "r@e.x" }, messageTemplate: '{{ define "a" }}{{ template "a" . }}{{ end }}{{ template "a" . }}' } } }, ready: /^False GitOperationFailed: .*messageTemplate/ },
  { name: "a field that was removed", spec: { git: { commit: { author: { email: "r@e.x" }, messageTemplate: "{{ .Updated }}" } } }, ready: /^False RemovedTemplateField: / },
  { name: "no signing key", spec: { git: { commit: { author: { email: "r@e.x" }, signingKey: { secretRef: { name: "sign" } } } } }, ready: /^False SourceManagerFailed: .*there is no such Secret/ },
  { name: "a signing key that is none", spec: { git: { commit: { author: { email: "r@e.x" }, signingKey: { type: "ssh", secretRef: { name: "git" } } } } }, ready: /^False SourceManagerFailed: .*has no identity/ },
  {
    name: "a branch that is protected", ready: /^False GitOperationFailed: .*pre-receive hook declined; the server says: main is protected.*spec\.git\.push/,
    async spoil(bed) {
      const hook = join(server.path(bed.name), "hooks/pre-receive");
      await writeFile(hook, "#!/bin/sh\necho 'main is protected' >&2\nexit 1\n");
      await chmod(hook, 0o755);
    },
  },
];
for (const { name, files = { "shop.yaml": deployment("v0") }, spec = {}, ready, spoil } of bad)
  test(`[IM89] ${name}: it is said what to do, and nothing is committed`, async () => {
    const bed = await Bed.open(files, spec);
    await spoil?.(bed);
    await bed.run();
    assert.match(bed.ready, ready);
    if (Object.keys(files).length > 0) assert.deepEqual(await bed.log(), ["theirs"]);
    assert.doesNotMatch(JSON.stringify([bed.play.record, bed.play.emits, bed.spans]), /hunter|cm9ib3Q6/);
  });

test("[IM88] a pull request is opened for another branch, once, and what stands in its way is told", async () => {
  const pulls: Record<string, unknown>[] = [];
  const forge = createServer((request, response) => {
    void text(request).then((body) => {
      if (request.headers.authorization !== "token open-sesame") return void response.writeHead(401).end("{}");
      if (request.method === "POST") pulls.push({ ...(JSON.parse(body) as object), number: 1, html_url: "https://git.example.com/pulls/1" });
      const shown = pulls.map((pull) => ({ ...pull, head: { ref: pull["head"] }, base: { ref: pull["base"] } }));
      response.end(JSON.stringify(request.method === "GET" ? shown : shown[0]));
    });
  }).listen(0, "127.0.0.1");
  await once(forge, "listening");
  try {
    const url = `http://127.0.0.1:${(forge.address() as AddressInfo).port}/api/v1`;
    const asked = { "flotilla.dev/pull-request": "gitea", "flotilla.dev/pull-request-secret": "forge", "flotilla.dev/pull-request-api": url };
    const bed = await Bed.open({ "shop.yaml": deployment("v0") });
    await bed.write({}, asked).run();
    assert.match(bed.ready, /^False PullRequestFailed: .*set spec\.git\.push\.branch/);
    await bed.commit({ "shop.yaml": deployment("v0") });
    const git = { commit: { author: { email: "robot@example.com" }, messageTemplate: "Serve v1\n\nfor dev" }, push: { branch: "auto" } };
    // The path of a repository at a forge has an owner in it.
    const source = bed.objects.get(`gitrepository/${namespace}/${bed.name}`) ?? assert.fail();
    await server.git(bed.name, "clone", "--quiet", "--bare", ".", join(dir, "team", `${bed.name}.git`));
    bed.put("GitRepository", bed.name, { ...(source["spec"] as object), url: `${server.url}/team/${bed.name}.git` });
    await bed.write({ git }, asked).run();
    assert.match(bed.ready, /^False PullRequestFailed: .*there is no such Secret/);
    bed.secrets.set("forge", { token: Buffer.from("open-sesame\n") });
    bed.play.wait();
    await bed.run();
    assert.deepEqual(pulls.map(({ head, base, title, body }) => [head, base, title, body]), [["auto", "main", "Serve v1", "for dev"]]);
    assert.match(bed.told.at(-2) ?? "", /opened pull request https:\/\/git\.example\.com\/pulls\/1/);
    assert.match(bed.ready, /^True/);
    assert.doesNotMatch(JSON.stringify([bed.play.record, bed.play.emits]), /open-sesame/);
  } finally {
    forge.close();
    forge.closeAllConnections();
  }
});

test("[IM95] a marker that names no policy, and a file that is no YAML, are told, and stop nothing else", async () => {
  const bed = await (await Bed.open({ "shop.yaml": deployment("v0"), "gone.yaml": deployment("v0", "apps:gone"), "broken.yaml": `a: [ # {"$imagepolicy": "apps:shop"}\n` })).run();
  assert.deepEqual([bed.ready, await bed.log()], ["True Succeeded: repository up-to-date", [ours, "theirs"]]);
  const warning = bed.told.find((text) => text.startsWith("UpdateFailed")) ?? "";
  assert.match(warning, /gone\.yaml:1: the marker names no policy of this namespace.*apps:gone/);
  assert.match(warning, /broken\.yaml.*cannot be read and stays as it is/);
});
