/** Decryption by the real decryptor in builds by the real kustomize. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import test from "node:test";
import { Fault } from "#protocol/errors/fault.ts";
import { Decryptor } from "#services/decrypt/decryptor.ts";
import { clear, sealed, testKeys } from "#services/decrypt/fixtures/sealed-file.ts";
import type { Decryption } from "./decryption.ts";
import { artifact, lines, renderer, type Files } from "./fixtures.ts";
import { parseJson } from "./json.ts";
import type { RenderedObject } from "./objects.ts";

const made = await renderer();
const decryptor = new Decryptor();
test.after(() => decryptor.close());
const { signal } = new AbortController();
const keys = async () => testKeys("age.agekey");

const decryption = (more: Partial<Decryption> = {}): Decryption => ({
  settings: { secret: "sops" },
  openFiles: (build, wanted) => decryptor.openFiles(build, keys, wanted),
  openObjects: (built, wanted) => decryptor.openObjects({ ...built, parse: parseJson }, keys, wanted),
  ...more,
});

async function render(files: Files, { path = "app", use = decryption() as Decryption | "none", spec = {} } = {}) {
  const rendered = await made.render({ artifact: await artifact(files), path, spec, decryption: use === "none" ? undefined : use }, signal);
  return rendered.unchanged ? assert.fail("nothing was built") : rendered;
}

const named = (objects: RenderedObject[], kind: string) => objects.find(({ object }) => object.kind === kind) ?? assert.fail(`no ${kind}`);
const dataOf = ({ object }: RenderedObject) =>
  Object.fromEntries(Object.entries((object["data"] ?? {}) as Record<string, string>).map(([key, value]) => [key, object.kind === "Secret" ? Buffer.from(value, "base64").toString() : value]));
const text = (name: string) => sealed(name).toString();

test("[SO11] a secret generator takes in decrypted files; a ConfigMap's gets the same, as with Flux", async () => {
  const { objects } = await render({
    "app/kustomization.yaml": lines("generatorOptions: { disableNameSuffixHash: true }", "secretGenerator: [{ name: s, files: [app.ini], envs: [app.env] }]", "configMapGenerator: [{ name: c, files: [app.ini] }]"),
    "app/app.env": text("app.env"), "app/app.ini": text("app.ini"),
  });
  assert.deepEqual(dataOf(named(objects, "Secret")), { "app.ini": clear("app.ini").toString(), USER: "shop", PASSWORD: "a=b #c \"d\"\\nsecond line", EMPTY: "", SPACED: " x ", UNICODE: "grüße" });
  assert.equal(dataOf(named(objects, "ConfigMap"))["app.ini"], clear("app.ini").toString());
  assert.ok(objects.every(({ secret }) => secret), "any of the objects may hold what was decrypted");
});

test("[SO12] a patch is decrypted before it is applied", async () => {
  const { objects } = await render({
    "app/kustomization.yaml": "resources: [a.yaml]\npatches: [{ path: secret.yaml }]", "app/secret.yaml": text("secret.yaml"),
    "app/a.yaml": lines("apiVersion: v1", "kind: Secret", "metadata: { name: shop, namespace: shop }", "stringData: { more: x }"),
  });
  assert.equal(dataOf(named(objects, "Secret"))["password"], "correct horse battery staple");
  assert.equal(dataOf(named(objects, "Secret"))["more"], "x");
});

test("[SO14] whole objects are decrypted after kustomize has moved, renamed and labelled them", async () => {
  const { objects, readSet } = await render({ "app/secret.yaml": text("secret.yaml"), "app/docs.yaml": text("documents.yaml") }, { spec: { targetNamespace: "moved", namePrefix: "x-", commonMetadata: { labels: { a: "b" } } } });
  const [shop, one, plain, three] = ["x-shop", "x-one", "x-plain", "x-three"].map((name) => objects.find(({ object }) => object.metadata.name === name) ?? assert.fail(name));
  assert.deepEqual(dataOf(shop!), { certificate: "-----BEGIN-----\n", user: "shop", password: "correct horse battery staple" });
  assert.deepEqual([dataOf(one!), dataOf(plain!), dataOf(three!)], [{ a: "first" }, { b: "open" }, { c: "third" }]);
  assert.deepEqual([shop!.object.metadata.namespace, shop!.object["sops"]], ["moved", undefined]);
  assert.ok(readSet.files.includes("app/secret.yaml"));
});

test("[SO22] the render's key covers the encrypted files and the settings, and nothing that was decrypted", async () => {
  const files = { "app/secret.yaml": text("secret.yaml"), "app/kustomization.yaml": "resources: [secret.yaml]\nsecretGenerator: [{ name: s, envs: [app.env] }]", "app/app.env": text("app.env") };
  const first = await render(files);
  const again = (more: Files = {}, use = decryption()) => artifact({ ...files, ...more }).then((handle) =>
    made.render({ artifact: handle, path: "app", spec: {}, decryption: use, previous: { key: first.key, readSet: first.readSet } }, signal));
  assert.deepEqual(await again({ "elsewhere.txt": "x" }, decryption({ openFiles: () => assert.fail("opened"), openObjects: () => assert.fail("opened") })), { unchanged: true, key: first.key });
  assert.equal((await again({ "app/app.env": `MORE_unencrypted=x\n${text("app.env")}` }).catch((thrown: Fault) => thrown.code)), "DecryptionMacMismatch");
  assert.equal((await again({}, decryption({ settings: { secret: "other" } }))).unchanged, false);
});

test("[SO23] what kustomize says about a decrypted file quotes nothing of it", async () => {
  // It names the line that stands twice where it looks for variables.
  const files = { "app/kustomization.yaml": "secretGenerator: [{ name: s, envs: [strings.yaml] }]", "app/strings.yaml": text("strings.yaml") };
  await assert.rejects(render(files), (thrown: unknown) => {
    assert.ok(thrown instanceof Fault && thrown.code === "BuildFailed");
    assert.match(thrown.message, /failed with the decrypted app\/strings\.yaml; the words are withheld/);
    assert.doesNotMatch(JSON.stringify([thrown, String(thrown.cause), thrown.stack]), /line one/);
    return true;
  });
});

test("[SO20] the next build of the same artifact sees the encrypted file again: nothing stays laid over it", async () => {
  const files = { "app/kustomization.yaml": "generatorOptions: { disableNameSuffixHash: true }\nsecretGenerator: [{ name: s, files: [app.ini] }]", "app/app.ini": text("app.ini") };
  assert.match(dataOf(named((await render(files)).objects, "Secret"))["app.ini"] ?? "", /a;b#c/);
  const plain = await render(files, { use: "none" });
  assert.equal(dataOf(named(plain.objects, "Secret"))["app.ini"], text("app.ini"));
  assert.equal(named(plain.objects, "Secret").secret, undefined);
});

test("[SO18] an encrypted Secret in a unit that decrypts nothing is refused", async () => {
  await assert.rejects(render({ "app/secret.yaml": text("secret.yaml") }, { use: "none" }), (thrown: unknown) => thrown instanceof Fault && thrown.code === "DecryptionUnset" && thrown.subject === "Secret/shop/shop");
});
