import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { hash } from "node:crypto";
import test from "node:test";
import { Fault } from "#protocol/errors/fault.ts";
import { clear, digestOf, joinedKey, refuseEncrypted, withheld } from "./decryption.ts";

const key = (fill: number) => Buffer.alloc(32, fill);

test("[SO21] a digest over decrypted data is keyed, and stays while the data key does", () => {
  const object = { data: { pin: "1234" } };
  assert.equal(digestOf(object, undefined), hash("sha256", '{"data":{"pin":"1234"}}'));
  assert.notEqual(digestOf(object, key(1)), digestOf(object, undefined));
  assert.notEqual(digestOf(object, key(1)), digestOf(object, key(2)));
  assert.equal(digestOf(object, key(1)), digestOf({ ...object }, key(1)));
  assert.notEqual(digestOf(object, key(1)), digestOf({ data: { pin: "1235" } }, key(1)));
});

test("[SO21] files and an object that were both encrypted make one key", () => {
  assert.equal(joinedKey(undefined, undefined), undefined);
  assert.deepEqual(joinedKey(key(1), undefined), key(1));
  assert.deepEqual(joinedKey(undefined, key(2)), key(2));
  assert.notDeepEqual(joinedKey(key(1), key(2)), joinedKey(key(1), key(3)));
});

const opened = (...plain: string[]) => ({ files: [{ path: "app/patch.yaml", content: Buffer.from("x") }], plain: plain.map((text) => Buffer.from(text)) });
const failed = (detail: string) => new Fault("BuildFailed", "app", { detail, cause: new Error(detail) });
const said = (detail: string, ...plain: string[]) => withheld(failed(detail), opened(...plain)) as Fault;

const quoting = [
  { detail: "unable to parse patch [password: hunter2-in-plain]", plain: "hunter2-in-plain" },
  { detail: "unable to parse patch [password: hunt", plain: "hunter2-in-plain", why: "a message that was cut off" },
  { detail: 'unable to parse "line\\nsecond"', plain: "line\nsecond", why: "escaped" },
  { detail: "illegal base64 aHVudGVyMi1pbi1wbGFpbg==", plain: "hunter2-in-plain", why: "as in a Secret's data" },
];
for (const { detail, plain, why = "as it is" } of quoting)
  test(`[SO23] kustomize's words are withheld when they quote what was decrypted: ${why}`, () => {
    const fault = said(detail, "other", plain);
    assert.match(fault.detail ?? "", /failed with the decrypted app\/patch\.yaml; the words are withheld/);
    assert.equal(fault.cause, undefined);
    assert.equal(fault.code, "BuildFailed");
  });

test("[SO23] words that quote nothing are passed on, and so is what has nothing to do with it", () => {
  assert.equal(said("no such file: deployment.yaml", "hunter2-in-plain", "abc").detail, "no such file: deployment.yaml");
  const timeout = new Fault("RenderTimeout", "app", { detail: "hunter2" });
  assert.equal(withheld(timeout, opened("hunter2")), timeout);
  const other = failed("hunter2");
  assert.equal(withheld(other, { files: [], plain: [] }), other);
});

test("[SO20] files and texts are zeroed", () => {
  const files = opened("secret");
  clear(files);
  assert.ok([...files.files.map(({ content }) => content), ...files.plain].every((bytes) => bytes.every((byte) => byte === 0)));
});

const secret = { apiVersion: "v1", kind: "Secret", metadata: { name: "a", namespace: "b" }, sops: {} };
const fault = (code: string, says: RegExp) => (thrown: unknown) => thrown instanceof Fault && thrown.code === code && says.test(thrown.message);

test("[SO18] a Secret that is still encrypted is refused, unless that is what its annotation asks for", () => {
  assert.throws(() => refuseEncrypted([secret], false), fault("DecryptionUnset", /^Secret\/b\/a: is SOPS encrypted, .*set spec\.decryption/));
  assert.throws(() => refuseEncrypted([secret], true), fault("DecryptionFailed", /metadata of sops without a MAC/));
  refuseEncrypted([{ ...secret, metadata: { ...secret.metadata, annotations: { "kustomize.toolkit.fluxcd.io/decrypt": "Disabled" } } }], false);
  refuseEncrypted([{ ...secret, kind: "Thing" }, { apiVersion: "v1", kind: "Secret", metadata: { name: "c" } }], false);
});
