import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import test from "node:test";
import { load } from "js-yaml";
import { Fault } from "#protocol/errors/fault.ts";
import { Decryptor } from "./decryptor.ts";
import { clear, sealed, testKeys } from "./fixtures/sealed-file.ts";

const { signal } = new AbortController();
const keys = async () => testKeys("age.agekey");
const decryptor = new Decryptor({ limits: { idleMs: 0 } });
test.after(() => decryptor.close());

const treeOf = (files: Record<string, string | Buffer>) => ({ files: new Map(Object.entries(files).map(([path, content]) => [path, Buffer.from(content)])) });
const texts = ({ files }: { files: { path: string; content: Uint8Array }[] }) => Object.fromEntries(files.map(({ path, content }) => [path, Buffer.from(content).toString()]));
type Thing = { apiVersion: string; kind: string; metadata: { name: string; labels?: object; annotations?: object }; data?: Record<string, string>; stringData?: Record<string, string>; sops?: unknown };
const built = (name = "secret.yaml", change: (object: Thing) => void = () => {}): Thing => {
  const object = load(sealed(name).toString()) as Thing;
  change(object);
  return object;
};
const openObjects = async (objects: Thing[], files: Record<string, string | Buffer> = { "app/secret.yaml": sealed("secret.yaml") }, { use = decryptor, read = keys } = {}) =>
  (await use.openObjects({ tree: treeOf(files), read: Object.keys(files), objects, parse: JSON.parse }, read, signal)) as { object: Thing; digestKey?: Uint8Array }[];
const isFault = (code: string, says: RegExp) => (thrown: unknown) => thrown instanceof Fault && thrown.code === code && says.test(thrown.message);

test("[SO11] files that a build takes in come out decrypted, those that are not encrypted not at all", async () => {
  const tree = treeOf({
    "app/kustomization.yaml": "secretGenerator: [{ name: a, envs: [app.env, plain.env] , files: [secret.yaml, missing.yaml] }]",
    "app/app.env": sealed("app.env"), "app/plain.env": "A=1\n", "app/secret.yaml": sealed("secret.yaml"), "app/unused.yaml": sealed("types.yaml"),
  });
  const opened = await decryptor.openFiles({ tree, directory: "app", components: [] }, keys, signal);
  assert.deepEqual(texts(opened), { "app/app.env": clear("app.env").toString(), "app/secret.yaml": clear("secret.yaml").toString() });
  assert.ok(opened.plain.some((bytes) => Buffer.from(bytes).toString() === "correct horse battery staple"));
});

test("[SO19] where nothing is encrypted no key is read", async () => {
  const never = () => assert.fail("a key was read");
  assert.deepEqual(await decryptor.openFiles({ tree: treeOf({ "kustomization.yaml": "resources: []" }), directory: "", components: [] }, never, signal), { files: [], plain: [] });
  const [opened] = await openObjects([{ apiVersion: "v1", kind: "Secret", metadata: { name: "a" }, data: { a: "Yg==" } }], {}, { read: never });
  assert.equal(opened?.digestKey, undefined);
});

test("[SO14] a whole object of any kind is decrypted and loses its metadata, whatever kustomize changed in the open", async () => {
  const object = built("secret.yaml", (secret) => Object.assign(secret.metadata, { namespace: "elsewhere", labels: { a: "b" } }));
  const other = { ...built("secret.yaml"), apiVersion: "example.com/v1", kind: "Thing" };
  const [secret, thing, plain] = await openObjects([object, other, { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "c" } }]);
  assert.deepEqual(secret?.object, {
    apiVersion: "v1", kind: "Secret", metadata: { name: "shop", namespace: "elsewhere", labels: { a: "b" } }, type: "Opaque",
    data: { certificate: "LS0tLS1CRUdJTi0tLS0tCg==" }, stringData: { user: "shop", password: "correct horse battery staple" },
  });
  assert.equal(thing?.object.stringData?.["password"], "correct horse battery staple");
  assert.deepEqual([secret?.digestKey?.length, plain?.digestKey], [32, undefined]);
});

test("[SO3] the MAC of an object is that of its file: one changed there is refused, and so is a value from elsewhere", async () => {
  const changed = sealed("secret.yaml").toString().replace("type: Opaque", "type: Other");
  await assert.rejects(openObjects([built()], { "app/secret.yaml": changed }), isFault("DecryptionMacMismatch", /^Secret\/shop\/shop: does not match its MAC/));
  await assert.rejects(openObjects([built()], {}), isFault("DecryptionMacMismatch", /has a MAC that none of the files/));
  const older = built("secret.yaml", ({ stringData = {} }) => { stringData["user"] = (built("mac-only-encrypted.yaml").stringData ?? {})["user"] ?? ""; });
  await assert.rejects(openObjects([older]), isFault("DecryptionMacMismatch", /has a value that was not in the file with its MAC: stringData\.user/));
  const lenient = new Decryptor({ ignoreMac: true, limits: { idleMs: 0 } });
  assert.equal((await openObjects([built()], { "app/secret.yaml": changed }, { use: lenient }))[0]?.object.stringData?.["user"], "shop");
  await lenient.close();
});

test("[SO14] an object out of a file of several is decrypted, and the file's MAC is verified over all of them", async () => {
  const files = { "all.yaml": sealed("documents.yaml") };
  const [first] = sealed("documents.yaml").toString().split("\n---\n").map((text) => load(text) as Thing);
  assert.ok(first);
  assert.deepEqual((await openObjects([first], files))[0]?.object.stringData, { a: "first" });
  await assert.rejects(openObjects([first], { "all.yaml": sealed("documents.yaml").toString().replace("b: open", "b: shut") }), isFault("DecryptionMacMismatch", /does not match/));
});

test("[SO15] values of a Secret that are encrypted files are decrypted in the format of their key", async () => {
  const data = Object.fromEntries([["app.env", "app.env"], ["a.yaml", "secret.yaml"], ["c.json", "secret.yaml"], ["bytes", "bytes.bin"], ["app.ini", "app.ini"]].map(([key = "", name = ""]) => [key, sealed(name).toString("base64")]));
  const [opened] = await openObjects([{ apiVersion: "v1", kind: "Secret", metadata: { name: "a" }, data: { ...data, plain: "Yg==" } }]);
  const value = (key: string) => Buffer.from(opened?.object.data?.[key] ?? "", "base64");
  assert.deepEqual(value("app.env"), clear("app.env"));
  assert.deepEqual(value("a.yaml"), clear("secret.yaml"));
  assert.deepEqual(value("bytes"), clear("bytes.bin"));
  assert.deepEqual(value("app.ini"), clear("app.ini"));
  assert.deepEqual((JSON.parse(value("c.json").toString()) as Thing).stringData, { user: "shop", password: "correct horse battery staple" });
  assert.equal(opened?.object.data?.["plain"], "Yg==");
});

test("[SO15] one whose key says no format is named", () =>
  assert.rejects(openObjects([{ apiVersion: "v1", kind: "Secret", metadata: { name: "a" }, data: { token: sealed("secret.yaml").toString("base64") } }]), isFault("DecryptionFailed", /^Secret\/a: data\.token holds keys and values, but its name says nothing of a format/)));

for (const value of ["disabled", "Disabled"])
  test(`[SO16] what is annotated with decrypt: ${value} stays as it is`, async () => {
    const object = built("secret.yaml", ({ metadata }) => { metadata.annotations = { "kustomize.toolkit.fluxcd.io/decrypt": value }; });
    assert.deepEqual((await openObjects([object], {}, { read: () => assert.fail("a key was read") }))[0], { object });
  });

test("[SO17] an encrypted file above 5 MiB is named, and not read", async () => {
  const tree = treeOf({ "kustomization.yaml": "secretGenerator: [{ name: a, files: [a.yaml] }]", "a.yaml": Buffer.concat([sealed("secret.yaml"), Buffer.alloc(5 * 1024 * 1024, "#")]) });
  await assert.rejects(decryptor.openFiles({ tree, directory: "", components: [] }, keys, signal), isFault("DecryptionFailed", /^a\.yaml: has \d+ bytes; an encrypted file may have 5242880/));
});

test("[SO21] the digest key is another for another data key, and the same for the same", async () => {
  const keyOf = async (name: string) => Buffer.from((await openObjects([built(name)], { [name]: sealed(name) }))[0]?.digestKey ?? []).toString("hex");
  const [once, again, other] = [await keyOf("secret.yaml"), await keyOf("secret.yaml"), await keyOf("mac-only-encrypted.yaml")];
  assert.equal(once, again);
  assert.notEqual(once, other);
});

test("[SO24] what takes too long is ended, and what is given up as well; others go on", async () => {
  const hasty = new Decryptor({ limits: { timeoutMs: 1, threads: 1, idleMs: 0 } });
  await assert.rejects(openObjects([built()], undefined, { use: hasty }), isFault("DecryptionFailed", /not done after 0\.001 s/));
  await hasty.close();
  const aborted = new AbortController();
  const given = decryptor.openObjects({ tree: treeOf({}), read: [], objects: [built()], parse: JSON.parse }, keys, aborted.signal);
  const goesOn = openObjects([built()]);
  aborted.abort(new Error("superseded"));
  await assert.rejects(given, /superseded/);
  assert.equal((await goesOn)[0]?.object.stringData?.["user"], "shop");
});

test("[SO24] what needs too much memory is BuildFailed, and only that", async () => {
  const small = new Decryptor({ limits: { heapMegabytes: 24, idleMs: 0 } });
  const wide = sealed("types.json").toString().replace("{", `{"wide": [${"1,".repeat(2_000_000)}1],`);
  const tree = treeOf({ "kustomization.yaml": "secretGenerator: [{ name: a, files: [a.json] }]", "a.json": wide });
  await assert.rejects(small.openFiles({ tree, directory: "", components: [] }, keys, signal), isFault("DecryptionFailed", /more memory than it may have/));
  assert.equal((await openObjects([built()], undefined, { use: small }))[0]?.object.stringData?.["user"], "shop");
  await small.close();
});
