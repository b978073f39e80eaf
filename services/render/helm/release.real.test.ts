/**
 * Post-renderers, and digests of releases, by the real engine. Every manifest and digest in here was compared once with what
 * helm-controller 1.6.1 on Helm 4.2.4 makes natively of the same chart.
 */
import assert from "node:assert/strict";
import test from "node:test";
import { configMap, deployment, lines, type Files } from "../fixtures.ts";
import { faultOf, helmEngine, renderFiles } from "./fixtures.ts";
import type { PostRender, ReleaseDocument } from "./types.ts";

const engine = await helmEngine();
const { signal } = new AbortController();
const origin = { name: "hr", namespace: "flux" };
const job = (name: string, hook: string) => `apiVersion: batch/v1\nkind: Job\nmetadata:\n  name: ${name}\n  annotations: {helm.sh/hook: "${hook}"}\n`;
const files: Files = { "templates/a.yaml": configMap("a"), "templates/b.yaml": `${deployment("web", "nginx:1")}---\n${job("pre", "pre-install")}` };
const postRendered = async (postRender: PostRender, of = files) => (await renderFiles(engine, of, {}, { postRender })).document;
const patch = (kind: string, path: string, value: unknown) => ({ target: { kind }, patch: JSON.stringify([{ op: "add", path, value }]) });

test("[HE16] images and patches in their order, then common metadata, then the labels of the HelmRelease, which win", async () => {
  const document = await postRendered({
    renderers: [
      { kustomize: { images: [{ name: "nginx", newName: "reg/nginx", newTag: "2" }], patches: [patch("ConfigMap", "/data", { a: "first" })] } }, {},
      { kustomize: { patches: [{ patch: "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {b: second}\n" }] } },
    ],
    commonMetadata: { labels: { team: "x", "helm.toolkit.fluxcd.io/name": "other" }, annotations: { note: "y" } }, origin,
  });
  assert.equal(document.manifest?.split("---\n")[1], lines(
    "# Source: web/templates/a.yaml", "apiVersion: v1", "data:", "  a: first", "  b: second", "kind: ConfigMap", "metadata:", "  annotations:", "    note: \"y\"", "  labels:",
    "    helm.toolkit.fluxcd.io/name: hr", "    helm.toolkit.fluxcd.io/namespace: flux", "    team: x", "  name: a", "",
  ));
  assert.match(document.manifest ?? "", /image: reg\/nginx:2/);
  assert.match(document.hooks?.[0]?.manifest ?? "", /team: x/);
  assert.equal(document.hooks?.[0]?.path, "web/templates/b.yaml");
});

const strategies: { strategy: PostRender["strategy"]; hook: boolean; both: RegExp | undefined }[] = [
  { strategy: undefined, hook: true, both: /may not add resource with an already registered id: Job/ },
  { strategy: "combined", hook: true, both: /may not add resource with an already registered id: Job/ },
  { strategy: "nohooks", hook: false, both: undefined },
  { strategy: "separate", hook: true, both: undefined },
];
for (const { strategy, hook, both } of strategies)
  test(`[HE17] ${strategy ?? "by default"} hooks are ${hook ? "" : "not "}post-rendered, and an object that is a hook too ${both ? "fails" : "is kept"}`, async () => {
    const document = await postRendered({ origin, strategy });
    assert.equal(document.hooks?.[0]?.manifest.includes("helm.toolkit.fluxcd.io/name: hr"), hook);
    assert.match(document.manifest ?? "", /helm\.toolkit\.fluxcd\.io\/name: hr/);
    const twice = { "templates/a.yaml": `${job("pre", "pre-install")}---\napiVersion: batch/v1\nkind: Job\nmetadata: {name: pre}\n` };
    if (both) assert.match((await faultOf(postRendered({ origin, strategy }, twice))).detail ?? "", both);
    else assert.deepEqual(((made) => [made.hooks?.length, made.manifest?.match(/kind: Job/g)?.length])(await postRendered({ origin, strategy }, twice)), [1, 1]);
  });

const refused: { what: string; postRender: PostRender; says: RegExp }[] = [
  { what: "a patch that finds nothing", postRender: { renderers: [{ kustomize: { patches: [{ patch: "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: none}\n" }] } }] }, says: /post render on files: no resource matches strategic merge patch/ },
  { what: "a patch that is none", postRender: { renderers: [{ kustomize: { patches: [{ patch: "a: [" }] } }] }, says: /post render on files: / },
  { what: "a patch in a file", postRender: { renderers: [{ kustomize: { patches: [{ path: "/etc/passwd" } as never] } }] }, says: /written in patch, not in a file/ },
];
for (const { what, postRender, says } of refused)
  test(`[HE16] ${what} fails the render: ${says.source}`, async () => {
    const fault = await faultOf(postRendered(postRender));
    assert.equal(fault.code, "ReleaseRenderFailed");
    assert.match(fault.detail ?? "", says);
  });

test("[HE18] the digests of post-renderers and of common metadata are Flux's", async () => {
  const spec: PostRender = {
    renderers: [
      {
        kustomize: {
          images: [{ name: "nginx", newName: "reg/nginx", newTag: "2" }],
          patches: [
            { patch: "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: shop}\nspec: {replicas: 5}\n" },
            { target: { kind: "Service" }, patch: '[{"op":"add","path":"/metadata/annotations","value":{"p":"<1>"}}]' },
            { target: { kind: "Job" }, patch: '[{"op":"add","path":"/metadata/labels","value":{"hooked":"x"}}]' },
          ],
        },
      },
      { kustomize: { patches: [{ target: { kind: "ConfigMap", name: "db" }, patch: "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: db}\ndata: {more: z}\n" }] } },
    ],
    commonMetadata: { labels: { team: "a", "helm.toolkit.fluxcd.io/name": "zz" }, annotations: { note: "b" } },
  };
  assert.deepEqual(await engine.digestSpec(spec, signal), {
    postRenderersDigest: "sha256:e6baf269f044359f90f4f83c0ad4e33df7c3e7fec17425a9fa5f3e211ce85a14",
    commonMetadataDigest: "sha256:24e474af1205e1ecfb4464d962123b4f3756437027df9a4adb2de1ff094b5e0f",
  });
  assert.deepEqual(await engine.digestSpec({}, signal), { postRenderersDigest: "", commonMetadataDigest: "" });
});

const stored: ReleaseDocument = {
  name: "shop", namespace: "apps", version: 3, manifest: "---\n# Source: web/a.yaml\na: <b> & ü\n", apply_method: "ssa", config: { a: { z: 1000000, b: 1.5 }, list: [null, "x"] },
  info: { first_deployed: "2026-01-02T03:04:05.000600Z", last_deployed: "2026-02-02T03:04:05+01:00", status: "deployed", description: "Upgrade <complete>", notes: "hi" },
  chart: { metadata: { name: "web", version: "1.2.3", appVersion: "7", apiVersion: "v2", dependencies: [{ name: "db", version: "*", repository: "", enabled: true }] }, templates: [{ name: "a", data: "YQ==" }], values: { a: 1 } },
  hooks: [
    { name: "pre", kind: "Job", path: "web/b.yaml", manifest: "b", events: ["pre-install"], last_run: { started_at: "2026-01-02T03:04:05Z", completed_at: "2026-01-02T03:04:06Z", phase: "Succeeded" }, weight: -5 },
    { name: "try", kind: "Pod", path: "web/c.yaml", manifest: "c", events: ["test"], last_run: { phase: "Failed" } },
  ],
};

const digests: { what: string; document: ReleaseDocument; oci?: string; digest: string }[] = [
  { what: "a name and nothing else", document: { name: "foo" } as ReleaseDocument, digest: "f1498f27a16a09cd7e1ee610d924df065c03d30035638babc95dd9a8d412ce4d" },
  { what: "a release", document: stored, digest: "24600d173fbbd53e277de266b61700af2be8fb5465f8891e401956c6a87c2dcf" },
  { what: "a release whose test was run again", document: { ...stored, hooks: stored.hooks?.map((hook) => (hook.name === "try" ? { ...hook, last_run: { phase: "Succeeded" } } : hook)) ?? [] }, digest: "24600d173fbbd53e277de266b61700af2be8fb5465f8891e401956c6a87c2dcf" },
  { what: "a release with an OCI artifact", document: stored, oci: "sha256:abc", digest: "d99b8392da5bcfa7f157d26f9a08689062cc09b584eaf5957e8c76b75b323e64" },
  { what: "one of Helm 3, with times that are empty and no method", document: { ...stored, apply_method: undefined, info: { ...stored.info, deleted: "" }, hooks: [{ ...stored.hooks?.[0], last_run: { started_at: "", completed_at: "", phase: "" } }] } as unknown as ReleaseDocument, digest: "e95082330b3f735122e0ee7ff9606fb9dbd4cd5c7395db796051e16f9528c957" },
];
for (const { what, document, oci = "", digest } of digests)
  test(`[HE19] the digest of ${what} is that of Flux's snapshot`, async () => assert.equal((await engine.digest(document, oci, signal)).digest, `sha256:${digest}`));

test("[HE19] a release has the digest of its values too; what is none is refused", async () => {
  const { configDigest } = await engine.digest(stored, "", signal);
  assert.equal(configDigest, (await engine.composeValues({ sources: [], inline: stored.config }, signal)).digest);
  for (const document of [{ ...stored, version: "x" }, { ...stored, hooks: 5 }, { ...stored, info: { first_deployed: "yesterday" } }])
    assert.equal((await faultOf(engine.digest(document as never, "", signal))).code, "ReleaseInvalid");
});

test("[HE20] a stored manifest is taken apart as it stands, or as Helm installs and uninstalls it", async () => {
  const manifest = `---\n# Source: a\n${configMap("one")}---\n${deployment("two")}---\n# nothing\n---\napiVersion: v1\nkind: List\nitems: [{apiVersion: v1, kind: Namespace, metadata: {name: three}}]\n`;
  const names = async (order?: "install" | "uninstall") => (await engine.objects(manifest, order, signal)).map(({ metadata }) => metadata.name);
  assert.deepEqual(await names(), ["one", "two", "three"]);
  assert.deepEqual(await names("install"), ["one", "two", "three"]);
  assert.deepEqual(await names("uninstall"), ["two", "one", "three"]);
  for (const text of ["a: [", "a: b", "- a"]) assert.equal((await faultOf(engine.objects(text, "install", signal))).code, "ReleaseInvalid");
});
