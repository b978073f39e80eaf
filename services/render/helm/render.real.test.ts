/** Releases by the real engine. The manifests were compared once with what Helm 4.2.4 and helm-controller 1.6.1 give natively. */
import assert from "node:assert/strict";
import { hash } from "node:crypto";
import test from "node:test";
import { Fault } from "#protocol/errors/fault.ts";
import { eventually } from "../../../deploy/local/eventually.ts";
import { configMap, lines, type Files } from "../fixtures.ts";
import { chart, chartYaml, faultOf, helmEngine, noValues, plainly, renderFiles } from "./fixtures.ts";
import type { RenderRequest } from "./types.ts";

const engine = await helmEngine();
const { signal } = new AbortController();
const render = (files: Files, values?: unknown, more?: Partial<RenderRequest>) => renderFiles(engine, files, values, more);
const dataOf = async (template: string, values?: unknown, more?: Partial<RenderRequest>) => {
  const { objects } = await render({ "templates/a.yaml": `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n${template}\n` }, values, more);
  return objects[0]?.["data"] as Record<string, unknown>;
};
const failure = async (files: Files, values?: unknown, more?: Partial<RenderRequest>) => faultOf(render(files, values, more));

test("[HE8] the manifest is in Helm's install order, by template; notes and partials are no part of it", async () => {
  const { document, objects } = await render({
    "templates/a.yaml": `{{ include "name" . }}`, "templates/b.yaml": `${configMap("b")}---\napiVersion: v1\nkind: Namespace\nmetadata: {name: ns}\n`,
    "templates/_c.tpl": `{{ define "name" }}apiVersion: v1\nkind: Service\nmetadata: {name: {{ .Release.Name }}-{{ .Values.x }}}{{ end }}`,
    "templates/NOTES.txt": "{{ .Chart.Name }} {{ .Chart.AppVersion }} in {{ .Release.Namespace }}", "templates/empty.yaml": "{{ if false }}x{{ end }}", "values.yaml": "x: y\n",
  });
  assert.equal(document.manifest, lines(
    "---", "# Source: web/templates/b.yaml", "apiVersion: v1", "kind: Namespace", "metadata: {name: ns}", "", "---", "# Source: web/templates/b.yaml",
    "apiVersion: v1", "kind: ConfigMap", "metadata: {name: b}", "data: {}", "", "---", "# Source: web/templates/a.yaml", "apiVersion: v1", "kind: Service", "metadata: {name: shop-true}",
  ));
  assert.deepEqual(objects.map(({ kind, metadata }) => `${kind}/${metadata.name}`), ["Namespace/ns", "ConfigMap/b", "Service/shop-true"]);
  assert.equal(document.info?.notes, "web 7.8 in apps");
  assert.deepEqual([document.name, document.namespace, document.version, document.config], ["shop", "apps", 1, undefined]);
});

test("[HE8] hooks are apart, with their events, weights and policies; an unknown event leaves an object out", async () => {
  const hook = (name: string, annotations: string) => `apiVersion: batch/v1\nkind: Job\nmetadata:\n  name: ${name}\n  annotations: {${annotations}}\n`;
  const { document, objects } = await render({
    "templates/a.yaml": hook("one", `helm.sh/hook: "pre-install,post-upgrade", helm.sh/hook-weight: "-5", helm.sh/hook-delete-policy: "hook-succeeded, before-hook-creation"`),
    "templates/b.yaml": hook("two", "helm.sh/hook: test-success, helm.sh/hook-output-log-policy: hook-failed"), "templates/c.yaml": hook("three", "helm.sh/hook: some-day"),
    "templates/d.yaml": configMap("plain"),
  });
  assert.deepEqual(document.hooks?.map(({ manifest, ...rest }) => ({ ...rest, lines: manifest.split("\n").length })), [
    { name: "one", kind: "Job", path: "web/templates/a.yaml", lines: 6, events: ["pre-install", "post-upgrade"], last_run: { phase: "" }, weight: -5, delete_policies: ["hook-succeeded", "before-hook-creation"] },
    { name: "two", kind: "Job", path: "web/templates/b.yaml", lines: 6, events: ["test"], last_run: { phase: "" }, output_log_policies: ["hook-failed"] },
  ]);
  assert.deepEqual(objects.map(({ metadata }) => metadata.name), ["plain"]);
});

test("[HE8] a template sees the release, what the cluster offers, files, and no address of a host", async () => {
  const data = await dataOf(lines(
    "  release: '{{ .Release.Revision }} {{ .Release.IsUpgrade }} {{ .Release.IsInstall }} {{ .Release.Service }}'",
    "  kube: '{{ .Capabilities.KubeVersion.Version }} {{ .Capabilities.KubeVersion.Minor }} {{ .Capabilities.HelmVersion.Version }}'",
    "  has: '{{ .Capabilities.APIVersions.Has \"apps/v1/Deployment\" }} {{ .Capabilities.APIVersions.Has \"batch/v1\" }}'",
    "  host: '[{{ getHostByName \"example.org\" }}]'",
  ), {}, { release: { name: "shop", namespace: "apps", revision: 4, isUpgrade: true } });
  assert.deepEqual(data, { release: "4 true false Helm", kube: "v1.37.2 37 v4.2", has: "true false", host: "[]" });
});

test("[HE6] to a template a whole number that was set is one, and one of YAML is as Helm has it", async () => {
  const { text } = await engine.composeValues({ sources: [{ text: "1000000", targetPath: "set", subject: "" }], inline: { yaml: 1000000 } }, signal);
  const { objects } = await engine.render(plainly(await chart({ "templates/a.yaml": `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {v: "{{ .Values.set }} {{ .Values.yaml }}"}\n` }), { values: { text } }), signal);
  assert.deepEqual(objects[0]?.["data"], { v: "1000000 1e+06" });
});

const schema = JSON.stringify({
  type: "object", required: ["image"], additionalProperties: false,
  properties: { image: { type: "string", pattern: "^[a-z]+$" }, replicas: { type: "integer", minimum: 1 }, password: { type: "string", maxLength: 3, format: "email" }, mode: { enum: ["a", "b"] }, db: {}, global: {} },
});
const unfit: { what: string; values: unknown; says: RegExp }[] = [
  { what: "a type", values: { image: "x", replicas: "hunter2" }, says: /web: at '\/replicas': got string, want integer$/ },
  { what: "a missing field", values: {}, says: /web: at '\/': missing image$/ },
  { what: "a field too much", values: { image: "x", extra: "hunter2" }, says: /web: at '\/': not allowed: extra$/ },
  { what: "a pattern", values: { image: "hunter2" }, says: /web: at '\/image': does not match \^\[a-z\]\+\$$/ },
  { what: "a length", values: { image: "x", password: "hunter2" }, says: /at '\/password': is longer than 3/ },
  { what: "one of some", values: { image: "x", mode: "hunter2" }, says: /at '\/mode': must be one of \[a b\]$/ },
  { what: "a least number", values: { image: "x", replicas: -42 }, says: /at '\/replicas': is less than 1$/ },
];
for (const { what, values, says } of unfit)
  test(`[HE9] values that do not fit the schema in ${what}: the field is named, its value is not`, async () => {
    const fault = await failure({ "values.schema.json": schema, "templates/a.yaml": configMap("a") }, values);
    assert.equal(fault.code, "ValuesRejected");
    assert.match(fault.detail ?? "", says);
    assert.doesNotMatch(fault.detail ?? "", /hunter2|-42/);
  });

test("[HE9] schemas of charts in the chart count too; without validation none does", async () => {
  const db = await chart({ "values.schema.json": JSON.stringify({ properties: { size: { type: "integer" } } }) }, "db");
  const { tgz } = await engine.packageChart({ chart: (await chart({ "templates/a.yaml": configMap("a") })).tgz, dependencies: [db.tgz] }, signal);
  const request = plainly({ digest: `sha256:${hash("sha256", tgz)}`, load: async () => tgz }, { values: { text: '{"db":{"size":"hunter2"}}' } });
  assert.match((await faultOf(engine.render(request, signal))).detail ?? "", /db: at '\/size': got string, want integer$/);
  assert.equal((await engine.render({ ...request, skipSchemaValidation: true }, signal)).objects.length, 1);
  for (const text of ["{", '{"type": 5}'])
    assert.equal((await failure({ "values.schema.json": text, "templates/a.yaml": configMap("a") })).code, "ValuesRejected");
});

for (const url of ["https://example.org/schema.json", "http://127.0.0.1:1/schema.json", "file:///etc/passwd", "other.json"])
  test(`[HE9] a schema that refers to ${url}: it is not fetched, and what to do is said; without validation it does not matter`, async () => {
    const files = { "values.schema.json": JSON.stringify({ properties: { image: { $ref: url } } }), "templates/a.yaml": configMap("a") };
    const { code, detail = "" } = await failure(files, { image: "hunter2" });
    assert.equal(code, "ValuesRejected");
    assert.ok(detail.includes(`refers to ${url.includes(":") ? url : `file:///${url}`}, and schemas are not fetched: put that one under $defs, or set disableSchemaValidation`), detail);
    assert.equal((await renderFiles(engine, files, {}, { skipSchemaValidation: true })).objects.length, 1);
  });

test("[HE9] a schema that is based elsewhere, that is in a meta-schema of its own, or of a chart in the chart, is refused by the address that it names", async () => {
  const based = JSON.stringify({ $id: "https://example.org/charts/root.json", properties: { image: { $ref: "parts.json#/image" } } });
  const own = JSON.stringify({ $schema: "https://meta.example.org/own.json" });
  for (const [files, says] of [
    [{ "values.schema.json": based }, /web: values\.schema\.json refers to https:\/\/example\.org\/charts\/parts\.json, /],
    [{ "values.schema.json": own }, /web: values\.schema\.json refers to https:\/\/meta\.example\.org\/own\.json, /],
    [{ "charts/db/Chart.yaml": chartYaml("", "db"), "charts/db/values.schema.json": own }, /db: values\.schema\.json refers to https:\/\/meta\.example\.org\/own\.json, /],
  ] as const) {
    const { code, detail = "" } = await failure({ ...files, "templates/a.yaml": configMap("a") }, { image: "x", db: {} });
    assert.equal(code, "ValuesRejected");
    assert.match(detail, says);
  }
});

test("[RN19] what a template or a schema says without end has an end", async () => {
  for (const [files, says] of [
    [{ "templates/a.yaml": '{{ fail (repeat 2000000 "x") }}' }, /^execution error at \(web\/templates\/a\.yaml:1:3\): x+ … x+$/],
    [{ "templates/a.yaml": configMap("a"), "values.schema.json": JSON.stringify({ $ref: `https://example.org/${"x".repeat(2_000_000)}` }) }, /refers to https:\/\/example\.org\/x+ … x+, and schemas are not fetched: put that one under \$defs/],
  ] as const) {
    const { detail = "" } = await failure(files);
    assert.ok(detail.length < 10_000);
    assert.match(detail, says);
  }
});

const drafts: [draft: string, definitions: string][] = [
  ["http://json-schema.org/draft-04/schema#", "definitions"], ["http://json-schema.org/draft-06/schema#", "definitions"], ["http://json-schema.org/draft-07/schema#", "definitions"],
  ["https://json-schema.org/draft/2019-09/schema", "$defs"], ["https://json-schema.org/draft/2020-12/schema", "$defs"],
];
for (const [draft, definitions] of drafts)
  test(`[HE9] a schema of ${draft} is understood without a network, and so are references within it and to it`, async () => {
    const within = { properties: { size: { $ref: `#/${definitions}/size` }, shape: { $ref: draft } }, [definitions]: { size: { type: "integer" } } };
    for (const text of [{ $schema: draft, ...within }, { $schema: draft, [draft.includes("04") ? "id" : "$id"]: "https://example.org/root.json", ...within }]) {
      const files = { "values.schema.json": JSON.stringify(text), "templates/a.yaml": configMap("a") };
      assert.equal((await renderFiles(engine, files, { size: 1, shape: { type: "string" } })).objects.length, 1);
      assert.match((await failure(files, { size: "hunter2" })).detail ?? "", /at '\/size': got string, want integer$/);
      assert.match((await failure(files, { size: 1, shape: { type: "hunter2" } })).detail ?? "", /at '\/shape\/type'/);
    }
  });

test("[HE10] conditions and tags leave charts out, aliases name them, import-values takes theirs in; one render changes nothing for the next", async () => {
  const sub = (name: string) => ({ [`charts/${name}/Chart.yaml`]: chartYaml("", name), [`charts/${name}/templates/a.yaml`]: configMap(`${name}-{{ .Values.exports.port }}`, '{g: "{{ .Values.global.g }}"}'), [`charts/${name}/values.yaml`]: "exports: {port: 1}\nenabled: true\n" });
  const files = {
    "Chart.yaml": chartYaml(lines(
      "dependencies:", "- {name: db, version: '*', repository: '', condition: db.enabled, import-values: [{child: exports, parent: fromDb}]}",
      "- {name: cache, version: '*', repository: '', tags: [fast]}", "- {name: db, version: '*', repository: '', alias: second}",
    )),
    ...sub("db"), ...sub("cache"), "templates/own.yaml": configMap("own-{{ (.Values.fromDb).port }}"), "values.yaml": "tags: {fast: false}\nglobal: {g: x}\n",
  };
  const of = await chart(files);
  const names = async (values: object) => (await engine.render(plainly(of, { values: { text: JSON.stringify(values) } }), signal)).objects.map(({ metadata }) => metadata.name);
  const all = ["own-1", "db-1", "db-1"];
  assert.deepEqual((await names({})).toSorted(), all.toSorted());
  assert.deepEqual((await names({ db: { enabled: false }, second: { exports: { port: 9 } } })).toSorted(), ["own-", "db-9"].toSorted());
  assert.deepEqual((await names({ tags: { fast: true } })).toSorted(), [...all, "cache-1"].toSorted());
  assert.deepEqual((await names({})).toSorted(), all.toSorted());
  assert.equal(of.loads, 1);
});

test("[HE10] what a chart needs and does not have is said", async () => {
  const needs = await failure({ "Chart.yaml": chartYaml("dependencies: [{name: db, version: 1.x, repository: 'https://example.org'}]\n"), "templates/a.yaml": configMap("a") });
  assert.deepEqual([needs.code, needs.detail], ["ChartInvalid", "charts of Chart.yaml's dependencies are not in charts/: db"]);
  assert.match((await failure({ "Chart.yaml": chartYaml("kubeVersion: '>=1.99'\n") })).detail ?? "", /requires kubeVersion: >=1\.99 which is incompatible with Kubernetes v1\.37\.2/);
  assert.match((await failure({ "Chart.yaml": chartYaml("type: library\n") })).detail ?? "", /library chart/);
});

const broken: { what: string; template: string; says: RegExp }[] = [
  { what: "a template that does not parse", template: "{{ if }}", says: /parse error at \(web\/templates\/a\.yaml:1\): missing value for if/ },
  { what: "a value that is required", template: `{{ required "set image.tag" .Values.tag }}`, says: /web\/templates\/a\.yaml:1:3[^]*set image\.tag/ },
  { what: "a failure of the chart's own", template: `{{ fail "no such mode" }}`, says: /no such mode/ },
  { what: "an unknown template", template: `{{ include "none" . }}`, says: /no template "none"/ },
  { what: "one that includes itself", template: `{{ define "x" }}{{ include "x" . }}{{ end }}{{ include "x" . }}`, says: /nesting|rendering template has a nested reference name/ },
  { what: "no YAML", template: "a: [", says: /YAML parse error on web\/templates\/a\.yaml/ },
  { what: "no object", template: "a: b", says: /^web\/templates\/a\.yaml: .*not an object with apiVersion, kind and metadata\.name$/ },
];
for (const { what, template, says } of broken)
  test(`[HE8] ${what} fails the render: ${says.source}`, async () => {
    const fault = await failure({ "templates/a.yaml": template });
    assert.equal(fault.code, "ReleaseRenderFailed");
    assert.match(fault.detail ?? "", says);
  });

test("[HE11] lookup gives objects and lists of the cluster, and nothing where there is none", async () => {
  const asked: object[] = [];
  const lookup: RenderRequest["lookup"] = async (of) => {
    asked.push(of);
    if (of.name === "gone") return undefined;
    return of.name ? { apiVersion: "v1", kind: "Secret", metadata: { name: of.name, uid: "ü" }, long: (JSON as unknown as { rawJSON(text: string): object }).rawJSON("9007199254740993") } : { items: [{}, {}] };
  };
  const data = await dataOf(lines(
    `  one: '{{ (lookup "v1" "Secret" "apps" "db").metadata.uid }} {{ (lookup "v1" "Secret" "apps" "db").long }}'`, `  list: '{{ len (lookup "v1" "Secret" "" "").items }}'`,
    `  gone: '{{ if lookup "v1" "Secret" "apps" "gone" }}there{{ else }}none{{ end }}'`,
  ), {}, { lookup });
  assert.deepEqual(data, { one: "ü 9007199254740993", list: "2", gone: "none" });
  assert.deepEqual(asked[0], { apiVersion: "v1", kind: "Secret", namespace: "apps", name: "db" });
  assert.deepEqual(await dataOf(`  x: '{{ lookup "v1" "Secret" "a" "b" }}'`), { x: "map[]" }, "nobody is asked");
});

test("[HE11] a lookup that fails fails the render, in its own words; so do too many, and too large ones", async () => {
  const files = (template: string) => ({ "templates/a.yaml": configMap("a", `{x: '${template}'}`) });
  const denied = await failure(files(`{{ lookup "v1" "Secret" "apps" "db" }}`), {}, { lookup: async () => Promise.reject(new Fault("ObjectForbidden", "Secret/apps/db", { detail: "may not get Secrets" })) });
  assert.match(denied.detail ?? "", /lookup of Secret db: may not get Secrets/);
  const many = await failure(files(`{{ range until 200 }}{{ lookup "v1" "Secret" "apps" "db" }}{{ end }}`), {}, { lookup: async () => undefined });
  assert.match(many.detail ?? "", /lookup: more than 100 in one release/);
  const large = await failure(files(`{{ range until 50 }}{{ $x := lookup "v1" "Secret" "apps" "db" }}{{ end }}`), {}, { lookup: async () => ({ data: "x".repeat(1_000_000) }) });
  assert.match(large.detail ?? "", /lookup: more than 8 MiB in one release/);
});

const endless = (inner = "") => Array.from({ length: 10 }).reduce<string>((body, _, n) => `{{ range $${"abcdefghij"[n]} := until 1000 }}${body}{{ end }}`, inner);

test("[HE12] a template that never ends is stopped, and others go on", async () => {
  const impatient = await helmEngine({ timeoutMs: 2_000, slowMs: 0 });
  const forever = faultOf(impatient.render(plainly(await chart({ "templates/a.yaml": endless() }), { tenant: "one" }), signal));
  const other = await impatient.render(plainly(await chart({ "templates/a.yaml": configMap("a") }), { tenant: "two" }), signal);
  assert.equal(other.objects.length, 1);
  assert.deepEqual(await forever, { code: "RenderTimeout", subject: "release apps/shop", detail: "not done after 2 s" });
  const never = faultOf(impatient.render(plainly(await chart({ "templates/a.yaml": `{{ lookup "v1" "Secret" "a" "b" }}` }), { lookup: () => new Promise(() => {}) }), signal));
  assert.equal((await never).code, "RenderTimeout", "nor one that waits for a lookup");
});

test("[HE12] a template that takes more and more memory fails its own render", async () => {
  const small = await helmEngine({ memoryLimitBytes: 96 * 1024 * 1024 });
  const fault = await faultOf(small.render(plainly(await chart({ "templates/a.yaml": endless("{{ repeat 1000000 `x` }}") })), signal));
  assert.deepEqual([fault.code, fault.detail], ["ReleaseRenderFailed", "the template needs more memory than it may have"]);
  assert.equal((await small.render(plainly(await chart({ "templates/a.yaml": configMap("a") })), signal)).objects.length, 1);
});

test("[HE13] one chart is fetched and loaded once for all releases of it, and again when it has made room for others", async () => {
  const tight = await helmEngine({ loadedLimitBytes: 1 });
  const [one, two] = [await chart({ "templates/a.yaml": configMap("a") }), await chart({ "templates/b.yaml": configMap("b") })];
  for (const each of [one, one, two, one]) await tight.render(plainly(each), signal);
  assert.deepEqual([one.loads, two.loads], [2, 1]);
  const many = await Promise.all(Array.from({ length: 20 }, (_, n) => engine.render(plainly(one, { release: { name: `r${n}`, namespace: "apps", revision: 1, isUpgrade: false } }), signal)));
  assert.deepEqual(many.map(({ document }) => document.name), Array.from({ length: 20 }, (_, n) => `r${n}`));
});

test("[HE21] an engine that nobody asks leaves memory; who asks next, also while it leaves, is answered", async () => {
  const resting = await helmEngine({ idleMs: 0 });
  const of = await chart({ "templates/a.yaml": configMap("a") });
  const rendered = () => resting.render(plainly(of), signal).then(({ objects }) => objects.length);
  assert.deepEqual(await Promise.all([rendered(), rendered()]), [1, 1], "it stays while somebody waits for it");
  for (let round = 0; round < 3; round++) {
    await eventually("nothing of it in memory", () => resting.memoryBytes === 0);
    const before = of.loads;
    assert.deepEqual([await rendered(), of.loads], [1, before + 1], "it knows the chart no longer");
  }
  assert.deepEqual([await rendered(), await rendered()], [1, 1]);
});

test("[HE14] time is the machine's, and chance cannot be foreseen", async () => {
  const of = await chart({ "templates/a.yaml": configMap("a", '{now: "{{ now | unixEpoch }}", word: "{{ randAlphaNum 32 }}", cert: "{{ (genSelfSignedCert "a" nil nil 1).Cert | len }}"}') });
  const words = new Set<unknown>();
  for (const made of [engine, await helmEngine()]) {
    const { objects } = await made.render(plainly(of), signal);
    const { now, word } = (objects[0]?.["data"] ?? {}) as { now: string; word: string };
    assert.ok(Math.abs(Number(now) - Date.now() / 1000) < 3_600);
    words.add(word);
  }
  assert.equal(words.size, 2);
});

test("[HE15] preserved values stay where the new ones say nothing, over the chart's own of before", async () => {
  const template = { "templates/a.yaml": configMap("a", '{v: "{{ .Values.a }} {{ .Values.b }} {{ .Values.c }}"}') };
  const before = await renderFiles(engine, { ...template, "values.yaml": "a: 1\nb: 1\nc: 1\n" }, { b: 2 });
  const after = await renderFiles(engine, { ...template, "values.yaml": "a: 9\nb: 9\nc: 9\n" }, { c: 3 }, { preserve: before.document });
  assert.deepEqual(after.objects[0]?.["data"], { v: "1 2 3" });
  assert.deepEqual(after.document.config, { b: 2, c: 3 });
});

test("[HE12] what is closed answers nobody, and an aborted call throws its reason", async () => {
  const closed = await helmEngine();
  await closed.close();
  assert.equal((await faultOf(closed.composeValues({ sources: [] }, signal))).code, "RendererMissing");
  await assert.rejects(engine.render(plainly(await chart({}), { values: noValues }), AbortSignal.abort(new Error("stop"))), /stop/);
});
