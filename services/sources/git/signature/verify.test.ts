/** On commits and tags that git, ssh-keygen and gpg signed, and on signatures made here. */
import assert from "node:assert/strict";
import { createHash, generateKeyPairSync, sign, type KeyObject } from "node:crypto";
import { readFileSync } from "node:fs";
import test from "node:test";
import { createMessage, generateKey, revokeKey, readPrivateKey, sign as signPgp } from "openpgp";
import { Fault, type FaultCode } from "#protocol/errors/fault.ts";
import { kindOf, splitCommit, splitTag } from "./signed-object.ts";
import { fingerprintOf, readTrustedKeys, verifySsh } from "./ssh-signature.ts";
import { verifyPgp } from "./pgp-signature.ts";
import { verifySigned } from "./verify.ts";

type Named = Record<string, { oid: string; contents: string }>;
const { keys, commits, tags } = JSON.parse(readFileSync(new URL("signed.json", import.meta.url), "utf8")) as {
  keys: Record<string, string>; commits: Named; tags: Named;
};
const objectOf = (from: Named, name: string) => {
  const { oid, contents } = from[name] ?? assert.fail(name);
  return { oid, contents: Buffer.from(contents) };
};
const secretOf = (...names: string[]) =>
  Object.fromEntries(names.map((name) => [keys[name]?.includes("PGP") ? `${name}.asc` : `${name}.sshpub`, Buffer.from(keys[name] ?? "")]));
const ask = (what: { commit?: string; tag?: string; tagName?: string }, secret: Record<string, Uint8Array>) =>
  verifySigned(
    { commit: objectOf(commits, what.commit ?? "unsigned"), tagName: what.tagName ?? "", ...(what.tag && { tag: objectOf(tags, what.tag) }) },
    { commit: what.commit !== undefined, tag: what.tag !== undefined || what.tagName !== undefined, keys: secret },
    "https://git.example.com/shop",
  );
const fault = (code: FaultCode, detail: RegExp) => (error: unknown) => {
  assert.ok(error instanceof Fault, String(error));
  assert.equal(error.code, code, error.message);
  assert.match(error.detail ?? "", detail);
  return true;
};

for (const type of ["ed25519", "rsa", "ecdsa"])
  test(`[SR70] a commit signed over SSH with ${type}, among other keys`, async () => {
    const said = await ask({ commit: type }, secretOf("ed25519", "rsa", "ecdsa", "ada"));
    const [key = Buffer.alloc(0)] = readTrustedKeys(keys[type] ?? "");
    assert.equal(said, `verified signature of\n\t- commit '${commits[type]?.oid}' with key '${fingerprintOf(key)}'`);
  });

test("[SR70] a commit signed with PGP: the id of the primary key is told", async () => {
  const said = await ask({ commit: "ada" }, secretOf("bob", "ada", "ed25519"));
  assert.match(said, /^verified signature of\n\t- commit '[0-9a-f]{40}' with key '[0-9A-F]{16}'$/);
});

test("[SR70] PGP keys count under any name but *.sshpub, as in Flux", async () => {
  assert.match(await ask({ commit: "ada" }, { author: Buffer.from(keys["ada"] ?? "") }), /^verified/);
});

test("[SR71] tags, of either kind, alone and with their commit", async () => {
  assert.match(await ask({ tag: "ada", tagName: "v1.0.0" }, secretOf("ada")), /^verified signature of\n\t- tag 'v1\.0\.0@[0-9a-f]{40}' with key '[0-9A-F]{16}'$/);
  assert.match(await ask({ tag: "ed25519", tagName: "v1.1.0" }, secretOf("ed25519")), /tag 'v1\.1\.0@/);
  const both = await ask({ tag: "ada", tagName: "v1.0.0", commit: "rsa" }, secretOf("ada", "rsa"));
  assert.match(both, /^verified signature of\n\t- tag '.*'\n\t- commit '.*' with key 'SHA256:.{43}'$/);
});

const refused: { what: string; ask: () => Promise<string>; code: FaultCode; says: RegExp }[] = [
  { what: "a commit that is not signed", ask: () => ask({ commit: "unsigned" }, secretOf("ada")), code: "CommitSignatureInvalid", says: /it is not signed/ },
  { what: "a commit by somebody else over SSH", ask: () => ask({ commit: "rsa" }, secretOf("ed25519")), code: "CommitSignatureInvalid", says: /no trusted SSH key: it is signed by SHA256:/ },
  { what: "a commit by somebody else with PGP", ask: () => ask({ commit: "ada" }, secretOf("bob")), code: "CommitSignatureInvalid", says: /no trusted PGP key: it is signed by [0-9A-F]{16}/ },
  { what: "PGP with SSH keys alone", ask: () => ask({ commit: "ada" }, secretOf("rsa")), code: "CommitSignatureInvalid", says: /the Secret no PGP keys/ },
  { what: "SSH with PGP keys alone", ask: () => ask({ commit: "rsa" }, secretOf("ada")), code: "CommitSignatureInvalid", says: /the Secret no SSH keys/ },
  { what: "keys that are not readable", ask: () => ask({ commit: "ada" }, { "a.asc": Buffer.from("x") }), code: "CommitSignatureInvalid", says: /PGP keys are not readable/ },
  { what: "SSH keys that are not readable", ask: () => ask({ commit: "rsa" }, { "a.sshpub": Buffer.from("# one\nx y") }), code: "CommitSignatureInvalid", says: /line 2 holds no public SSH key/ },
  { what: "a tag that is not signed", ask: () => ask({ tag: "unsigned", tagName: "v1.2.0" }, secretOf("ada")), code: "TagUnsigned", says: /'v1\.2\.0' is not signed/ },
  { what: "a light tag", ask: () => ask({ tagName: "v1.2.0" }, secretOf("ada")), code: "TagUnsigned", says: /is not signed/ },
  { what: "a tag by somebody else", ask: () => ask({ tag: "ada", tagName: "v1.0.0" }, secretOf("bob")), code: "TagSignatureInvalid", says: /no trusted PGP key/ },
  { what: "a tag under another name", ask: () => ask({ tag: "ada", tagName: "v2.0.0" }, secretOf("ada")), code: "TagSignatureInvalid", says: /'v2\.0\.0' was signed under the name 'v1\.0\.0'/ },
  { what: "no tag at all", ask: () => ask({ tag: "ada" }, secretOf("ada")), code: "VerificationModeInvalid", says: /^$/ },
];
for (const { what, ask: run, code, says } of refused) test(`[SR72] ${what}: ${code}`, () => assert.rejects(run(), fault(code, says)));

for (const [name, { contents }] of Object.entries({ ...commits, ...tags }))
  test(`[SR72] ${name}, with any of its letters changed, is not what was signed`, async () => {
    const isTag = contents.startsWith("object");
    const { payload, signature } = (isTag ? splitTag : splitCommit)(Buffer.from(contents));
    if (signature === "") return assert.ok(payload.equals(Buffer.from(contents)));
    const check = async (text: Buffer) =>
      kindOf(signature) === "ssh" ? verifySsh(signature, text, Object.values(keys).flatMap((key) => (key.includes("PGP") ? [] : readTrustedKeys(key)))) : verifyPgp(signature, text, [keys["ada"] ?? ""]);
    await check(payload);
    for (let i = 0; i < payload.length; i += 13) {
      const changed = Buffer.from(payload);
      changed[i] = (changed[i] ?? 0) ^ 1;
      await assert.rejects(async () => check(changed), RangeError);
    }
  });

test("[SR72] two signatures are none", () => {
  const twice = (commits["rsa"]?.contents ?? "").replace("\n\n", "\ngpgsig -----BEGIN SSH SIGNATURE-----\n AAAA\n\n");
  assert.throws(() => splitCommit(Buffer.from(twice)), /more than one signature/);
});

test("[SR72] a signature in the message is none", () => {
  const { signature, payload } = splitCommit(Buffer.from(`tree ${"1".repeat(40)}\n\ngpgsig -----BEGIN PGP SIGNATURE-----\n`));
  assert.equal(signature, "");
  assert.match(String(payload), /gpgsig/);
});

// SSHSIG by hand, to make what ssh-keygen would not
const field = (value: string | Buffer) => Buffer.concat([Buffer.from([0, 0, 0, 0]), Buffer.from(value)]);
function lengthed(value: string | Buffer): Buffer {
  const bytes = field(value);
  bytes.writeUInt32BE(bytes.length - 4);
  return bytes;
}
const text = Buffer.from("what is signed");
type Made = { space?: string; hash?: string; version?: number; type?: string; signer?: (data: Buffer) => Buffer; after?: Buffer; blob?: Buffer };
const ed = generateKeyPairSync("ed25519");
const rawPublic = (key: KeyObject) => Buffer.from(String(key.export({ format: "jwk" }).x), "base64url");
const edBlob = Buffer.concat([lengthed("ssh-ed25519"), lengthed(rawPublic(ed.publicKey))]);
function sshSignature({ space = "git", hash = "sha512", version = 1, type = "ssh-ed25519", signer = (data) => sign(null, data, ed.privateKey), after = Buffer.alloc(0), blob = edBlob }: Made): string {
  const digest = createHash(hash).update(text).digest();
  const signed = Buffer.concat([Buffer.from("SSHSIG"), lengthed(space), lengthed(""), lengthed(hash), lengthed(digest)]);
  const value = Buffer.concat([lengthed(type), lengthed(signer(signed)), after]);
  const body = Buffer.concat([Buffer.from("SSHSIG"), Buffer.from([0, 0, 0, version]), lengthed(blob), lengthed(space), lengthed(""), lengthed(hash), lengthed(value)]);
  return `-----BEGIN SSH SIGNATURE-----\n${body.toString("base64")}\n-----END SSH SIGNATURE-----\n`;
}

test("[SR72] SSH signatures for another purpose, of another version, with weak hashes or keys", () => {
  assert.equal(verifySsh(sshSignature({}), text, [edBlob]), fingerprintOf(edBlob));
  assert.throws(() => verifySsh(sshSignature({ space: "file" }), text, [edBlob]), /another purpose/);
  assert.throws(() => verifySsh(sshSignature({ hash: "sha1" }), text, [edBlob]), /a hash that is not accepted/);
  assert.throws(() => verifySsh(sshSignature({ version: 2 }), text, [edBlob]), /another version/);
  assert.throws(() => verifySsh(sshSignature({ type: "ssh-rsa" }), text, [edBlob]), /does not fit/);
  assert.throws(() => verifySsh(sshSignature({ after: Buffer.from("x") }), text, [edBlob]), /does not fit/);
  assert.throws(() => verifySsh("-----BEGIN SSH SIGNATURE-----\nAAAA\n-----END SSH SIGNATURE-----", text, [edBlob]), /not readable/);

  const rsa = (bits: number, type: string, hash: string) => {
    const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: bits });
    const { n = "", e = "" } = publicKey.export({ format: "jwk" });
    const mp = (number: string) => lengthed(Buffer.concat([Buffer.from([0]), Buffer.from(number, "base64url")]));
    const blob = Buffer.concat([lengthed("ssh-rsa"), mp(e), mp(n)]);
    return () => verifySsh(sshSignature({ blob, type, signer: (data) => sign(hash, data, privateKey) }), text, [blob]);
  };
  assert.match(rsa(2048, "rsa-sha2-256", "sha256")(), /^SHA256:/);
  assert.throws(rsa(1024, "rsa-sha2-512", "sha512"), /does not fit/);
  assert.throws(rsa(2048, "ssh-rsa", "sha1"), /does not fit/);
});

test("[SR70] [SR72] a key in hardware counts when it was touched", () => {
  const application = "ssh:";
  const sha256 = (bytes: string | Buffer) => createHash("sha256").update(bytes).digest();
  const blob = Buffer.concat([lengthed("sk-ssh-ed25519@openssh.com"), lengthed(rawPublic(ed.publicKey)), lengthed(application)]);
  const made = (flags: number) => {
    const after = Buffer.from([flags, 0, 0, 0, 7]);
    const signer = (data: Buffer) => sign(null, Buffer.concat([sha256(application), after, sha256(data)]), ed.privateKey);
    return sshSignature({ blob, type: "sk-ssh-ed25519@openssh.com", after, signer });
  };
  assert.equal(verifySsh(made(1), text, [blob]), fingerprintOf(blob));
  assert.throws(() => verifySsh(made(0), text, [blob]), /without anybody's touch/);
});

test("[SR70] trusted keys may have options, comments and empty lines around them", () => {
  const line = keys["ed25519"] ?? "";
  const read = readTrustedKeys(`# ours\n\n${line} ada@example.com\ncommand="ssh-rsa is a word",no-pty ${line}\n`);
  assert.deepEqual(read.map(fingerprintOf), Array(2).fill(fingerprintOf(readTrustedKeys(line)[0] as Buffer)));
});

test("[SR72] PGP keys that have expired, or were revoked, sign no more", async () => {
  const longAgo = new Date(Date.now() - 10 * 86_400_000);
  const pair = async (keyExpirationTime: number) =>
    generateKey({ userIDs: [{ name: "Eve", email: "eve@example.com" }], date: longAgo, keyExpirationTime, format: "armored" });
  const signed = async (armored: string) =>
    String(await signPgp({ message: await createMessage({ binary: new Uint8Array(text) }), signingKeys: await readPrivateKey({ armoredKey: armored }), detached: true, date: new Date(longAgo.getTime() + 60_000) }));
  const good = await pair(0);
  const signature = await signed(good.privateKey);
  assert.match(await verifyPgp(signature, text, [good.publicKey]), /^[0-9A-F]{16}$/);
  const { publicKey: revoked } = await revokeKey({ key: await readPrivateKey({ armoredKey: good.privateKey }), format: "armored" });
  await assert.rejects(verifyPgp(signature, text, [revoked]), /may not sign|expired, or was revoked/);
  const expired = await pair(86_400);
  await assert.rejects(verifyPgp(await signed(expired.privateKey), text, [expired.publicKey]), /expired, or was revoked/);
  await assert.rejects(verifyPgp("-----BEGIN PGP SIGNATURE-----\nx\n-----END PGP SIGNATURE-----", text, [good.publicKey]), /not readable/);
});
