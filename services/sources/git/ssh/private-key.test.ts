import assert from "node:assert/strict";
import { createPrivateKey, generateKeyPairSync } from "node:crypto";
import test from "node:test";
import ssh2 from "ssh2";
import { newKey } from "../../../../deploy/local/ssh-server.ts";
import { isLocked } from "./identity.ts";
import { unlock } from "./private-key.ts";

const publicOf = (pem: string): string => {
  const key = ssh2.utils.parseKey(pem);
  assert.ok(!(key instanceof Error), String(key));
  return key.getPublicSSH().toString("base64");
};

for (const type of ["ed25519", "rsa", "ecdsa"] as const) {
  test(`[SR64] ${type}: without a passphrase, and with one`, () => {
    const open = newKey(type);
    assert.equal(unlock({ pem: `\n${open.private}\n`, passphrase: "not needed" }), open.private.trim());
    const locked = newKey(type, { passphrase: "a b c" });
    assert.deepEqual([isLocked({ pem: open.private, passphrase: "" }), isLocked({ pem: locked.private, passphrase: "" })], [false, true]);
    assert.equal(publicOf(unlock({ pem: locked.private, passphrase: "a b c" })), locked.public.split(" ")[1]);
    assert.throws(() => unlock({ pem: locked.private, passphrase: "" }), /^RangeError: the identity is encrypted, and the Secret has no password/);
    assert.throws(() => unlock({ pem: locked.private, passphrase: "other" }), /^RangeError: .*its password is another/);
  });
}

const pkcs8 = { type: "pkcs8", format: "pem" } as const;
const pairs = {
  ed25519: generateKeyPairSync("ed25519"),
  rsa: generateKeyPairSync("rsa", { modulusLength: 2048 }),
  ec: generateKeyPairSync("ec", { namedCurve: "P-384" }),
};
for (const [type, { privateKey }] of Object.entries(pairs))
  test(`[SR64] ${type} in PKCS#8 is the same key`, () => {
    const unlocked = unlock({ pem: String(privateKey.export(pkcs8)), passphrase: "" });
    const parsed = ssh2.utils.parseKey(unlocked);
    assert.ok(!(parsed instanceof Error), String(parsed));
    assert.deepEqual(createPrivateKey(parsed.getPrivatePEM()).export(pkcs8), privateKey.export(pkcs8));
  });

test("[SR64] OpenSSL's older format, with a passphrase and without", () => {
  const { privateKey } = pairs.rsa;
  const plain = String(privateKey.export({ type: "pkcs1", format: "pem" }));
  const locked = String(privateKey.export({ type: "pkcs1", format: "pem", cipher: "aes-128-cbc", passphrase: "abc" }));
  assert.equal(unlock({ pem: locked, passphrase: "abc" }), plain);
  assert.throws(() => unlock({ pem: locked, passphrase: "" }), /no password/);
});

/** A locked key whose passphrase would take hours. */
function slow(): string {
  const { private: pem } = newKey("ed25519", { passphrase: "abc" });
  const [head = "", ...lines] = pem.trim().split("\n");
  const bytes = Buffer.from(lines.slice(0, -1).join(""), "base64");
  const at = bytes.indexOf("bcrypt") + "bcrypt".length + 4 + 4 + 16;
  bytes.writeUInt32BE(0xffff_ffff, at);
  return [head, bytes.toString("base64"), lines.at(-1)].join("\n");
}

const bad: { pem: string; says: RegExp; what: string }[] = [
  { what: "nothing", pem: "", says: /no readable private key/ },
  { what: "another text", pem: "hello", says: /no readable private key/ },
  { what: "a public key", pem: newKey("ed25519").public, says: /not a private key/ },
  { what: "a certificate's kind of key", pem: String(generateKeyPairSync("ed448").privateKey.export(pkcs8)), says: /neither Ed25519, RSA nor ECDSA/ },
  { what: "encrypted PKCS#8", pem: String(pairs.ec.privateKey.export({ ...pkcs8, cipher: "aes-256-cbc", passphrase: "a" })), says: /ssh-keygen -p/ },
  { what: "a broken one", pem: "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----", says: /no readable private key/ },
  { what: "a passphrase that takes hours", pem: slow(), says: /more than 1000 rounds/ },
  { what: "a very long one", pem: `-----BEGIN RSA PRIVATE KEY-----\n${"a: b\n".repeat(100_000)}`, says: /too long/ },
];
for (const { what, pem, says } of bad)
  test(`[SR64] ${what} is refused in words that quote nothing`, () =>
    assert.throws(() => unlock({ pem, passphrase: "abc" }), (error: Error) => error instanceof RangeError && says.test(error.message)));
