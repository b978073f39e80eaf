/** On certificates that OpenSSL 3 packed: with its own algorithms, and with those of older programs and of Azure's (pkcs12.json). */
import assert from "node:assert/strict";
import { createPrivateKey, generateKeyPairSync, X509Certificate } from "node:crypto";
import test from "node:test";
import { Fault } from "#protocol/errors/fault.ts";
import { readClientCertificate } from "./client-certificate.ts";
import made from "./pkcs12.json" with { type: "json" };

const read = (clientCertificate: Buffer | string, password = "", signal = AbortSignal.timeout(300_000)) =>
  readClientCertificate({ clientCertificate: Buffer.from(clientCertificate), ...(password && { clientCertificatePassword: Buffer.from(password) }) }, "bucket", signal);
const packed = (base64: string) => Buffer.from(base64, "base64");
const [own, authority] = [new X509Certificate(made.certificate), new X509Certificate(made.authority)];

for (const [what, base64, password, length] of [
  ["AES-256 and SHA-256", made.modern, made.password, 2], ["RC2, triple DES and SHA-1", made.legacy, made.password, 2], ["no password", made.withoutPassword, "", 1],
] as const)
  test(`[BU32] PKCS #12 with ${what}: the application's certificate first, then those that vouch for it, and the key`, async () => {
    const { chain, key } = await read(packed(base64), password);
    assert.deepEqual(chain.map(({ fingerprint256 }) => fingerprint256), [own, authority].slice(0, length).map(({ fingerprint256 }) => fingerprint256));
    assert.ok(own.checkPrivateKey(createPrivateKey(key)));
  });

const otherKey = String(generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey.export({ type: "pkcs8", format: "pem" }));
const refused: { what: string; given: Buffer | string; password?: string; detail: RegExp }[] = [
  { what: "another password", given: packed(made.modern), password: "s3cret", detail: /neither PEM nor PKCS #12 that clientCertificatePassword opens/ },
  { what: "no password", given: packed(made.legacy), detail: /clientCertificatePassword opens/ },
  { what: "one that breaks off", given: packed(made.modern).subarray(0, 900), password: made.password, detail: /neither PEM nor PKCS #12/ },
  { what: "one that was changed", given: Buffer.from(packed(made.modern).fill(0, 1_000, 1_004)), password: made.password, detail: /neither PEM nor PKCS #12/ },
  { what: "something else", given: "s3cret", detail: /neither PEM nor PKCS #12/ },
  { what: "nothing", given: "", detail: /neither PEM nor PKCS #12/ },
  { what: "a key on a curve", given: packed(made.curve), password: made.password, detail: /neither PEM nor PKCS #12|no RSA key/ },
  { what: "PEM without a key", given: made.certificate, detail: /no certificate with an RSA key/ },
  { what: "PEM with another key", given: `${otherKey}${made.certificate}`, detail: /no RSA key that one of its certificates is for/ },
];
for (const { what, given, password, detail } of refused)
  test(`[BU32] ${what}: it is said so, without what is in it`, async () => {
    await assert.rejects(read(given, password), (error: unknown) => {
      assert.ok(error instanceof Fault && error.code === "AuthenticationFailed", String(error));
      assert.match(error.detail ?? "", detail);
      assert.doesNotMatch(error.message, /s3cret|sesame/);
      return true;
    });
  });

test("[BU32] one that was made to take for ever ends with its call, and holds up nobody", async () => {
  // Its integrity check, at the end, takes 2,147,483,647 rounds instead of 2,048.
  const bytes = packed(made.modern);
  const check = bytes.findLastIndex((byte, at) => byte === 0x30 && bytes[at + 1] === bytes.length - at - 2);
  assert.deepEqual([...bytes.subarray(-4)], [2, 2, 8, 0]);
  bytes[check + 1] = (bytes[check + 1] ?? 0) + 2;
  bytes.writeUInt16BE(bytes.readUInt16BE(2) + 2, 2);
  const stop = new AbortController();
  const reading = read(Buffer.concat([bytes.subarray(0, -4), Buffer.from([2, 4, 0x7f, 0xff, 0xff, 0xff])]), made.password, stop.signal);
  const ended = assert.rejects(reading, /given up/);
  await read(packed(made.modern), made.password);
  stop.abort(new RangeError("given up"));
  await ended;
});
