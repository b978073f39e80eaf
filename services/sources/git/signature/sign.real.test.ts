/** What is signed here is verified by gpg, ssh-keygen and git themselves. */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { after } from "node:test";
import { armor, enums, generateKey, revokeKey, unarmor } from "openpgp";
import { Fault } from "#protocol/errors/fault.ts";
import { readSigningKey, signCommit } from "./sign.ts";
import { verifyPgp } from "./pgp-signature.ts";
import { readTrustedKeys, verifySsh } from "./ssh-signature.ts";

const without = (program: string) => spawnSync(program, ["--help"], { stdio: "ignore" }).error !== undefined && `there is no ${program} here`;
const [noGpg, noKeygen] = [without("gpg"), without("ssh-keygen")];

const folder = mkdtempSync(join(tmpdir(), "sign-"));
const home = join(folder, "gnupg");
mkdirSync(home, { mode: 0o700 });
const env = { ...process.env, GNUPGHOME: home, HOME: folder, GIT_CONFIG_NOSYSTEM: "1", GIT_AUTHOR_NAME: "a", GIT_AUTHOR_EMAIL: "a@example.com", GIT_COMMITTER_NAME: "a", GIT_COMMITTER_EMAIL: "a@example.com" };
const run = (program: string, args: string[], input?: string) => execFileSync(program, args, { cwd: folder, env, encoding: "utf8", stdio: ["pipe", "pipe", "pipe"], ...(input !== undefined && { input }) });
after(() => {
  try {
    run("gpgconf", ["--kill", "all"]);
  } catch {
    // none was started
  }
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
});

run("git", ["init", "-q", "-b", "main"]);
const tree = run("git", ["mktree"], "").trim();
const payload = `tree ${tree}\nauthor Ada <ada@example.com> 1700000000 +0000\ncommitter Ada <ada@example.com> 1700000000 +0000\n\nDeploy größer 😀\n`;

/** A commit as it would be pushed. */
function committed(signature: string): string {
  const [head = "", body = ""] = payload.split("\n\n");
  return run("git", ["hash-object", "-t", "commit", "-w", "--stdin"], `${head}\ngpgsig ${signature.trimEnd().replaceAll("\n", "\n ")}\n\n${body}`).trim();
}

let keys = 0;
function sshKey(args: string[], passphrase = "", comment = "a@example.com"): { secret: Record<string, Buffer>; publicKey: string } {
  const path = join(folder, `key${keys++}`);
  run("ssh-keygen", ["-q", ...args, "-N", passphrase, "-C", comment, "-f", path]);
  return { secret: { identity: readFileSync(path), ...(passphrase && { password: Buffer.from(passphrase) }) }, publicKey: readFileSync(`${path}.pub`, "utf8") };
}

const sshKeys: { title: string; args: string[]; passphrase?: string }[] = [
  { title: "Ed25519", args: ["-t", "ed25519"] },
  { title: "Ed25519 with a passphrase", args: ["-t", "ed25519", "-a", "4"], passphrase: "open sesame" },
  { title: "ECDSA 256", args: ["-t", "ecdsa", "-b", "256"] },
  { title: "ECDSA 384 with a passphrase", args: ["-t", "ecdsa", "-b", "384", "-a", "4"], passphrase: "x" },
  { title: "ECDSA 521", args: ["-t", "ecdsa", "-b", "521"] },
  { title: "RSA", args: ["-t", "rsa", "-b", "2048"] },
  { title: "RSA in PEM", args: ["-t", "rsa", "-b", "2048", "-m", "PEM"] },
  { title: "ECDSA in PKCS #8", args: ["-t", "ecdsa", "-b", "256", "-m", "PKCS8"] },
];
for (const { title, args, passphrase } of sshKeys)
  test(`[IM41] ${title}: ssh-keygen and git verify what is signed`, { skip: noKeygen }, async () => {
    const { secret, publicKey } = sshKey(args, passphrase);
    const signature = await signCommit(readSigningKey("ssh", secret, "apps/key"), payload, "apps/key");
    const signers = join(folder, `signers${keys}`);
    writeFileSync(signers, `a@example.com ${publicKey}`);
    const file = join(folder, `signature${keys}`);
    writeFileSync(file, signature);
    assert.match(run("ssh-keygen", ["-Y", "verify", "-f", signers, "-I", "a@example.com", "-n", "git", "-s", file], payload), /^Good "git" signature/);
    run("git", ["-c", "gpg.format=ssh", "-c", `gpg.ssh.allowedSignersFile=${signers}`, "verify-commit", committed(signature)]);
  });

async function pgpKey(more = {}, passphrase?: string) {
  const made = await generateKey({ userIDs: [{ name: "Ada", email: "ada@example.com" }], format: "armored", ...(passphrase && { passphrase }), ...more });
  return { ...made, secret: { "git.asc": Buffer.from(made.privateKey), ...(passphrase && { passphrase: Buffer.from(passphrase) }) } as Record<string, Buffer> };
}

for (const { title, more, passphrase } of [
  { title: "Curve25519", more: { type: "ecc" } }, { title: "Curve25519 with a passphrase", more: { type: "ecc" }, passphrase: "open sesame" },
  { title: "RSA", more: { type: "rsa", rsaBits: 2048 } }, { title: "a part of its own for signing", more: { type: "ecc", subkeys: [{ sign: true }] } },
])
  test(`[IM40] PGP, ${title}: gpg and git verify what is signed`, async () => {
    const { secret, publicKey } = await pgpKey(more, passphrase);
    for (const type of ["gpg", undefined] as const) {
      const signature = await signCommit(readSigningKey(type, secret, "apps/key"), payload, "apps/key");
      assert.match(await verifyPgp(signature, Buffer.from(payload), [publicKey]), /^[0-9A-F]{16}$/);
      if (noGpg) continue;
      run("gpg", ["--batch", "--import"], publicKey);
      run("git", ["verify-commit", committed(signature)]);
    }
  });

for (const [title, key] of [
  ["Ed25519", generateKeyPairSync("ed25519")], ["RSA", generateKeyPairSync("rsa", { modulusLength: 2048 })], ["ECDSA", generateKeyPairSync("ec", { namedCurve: "P-384" })],
] as const)
  test(`[IM41] ${title} in PKCS #8: what is signed is verified as sources are`, async () => {
    const identity = Buffer.from(String(key.privateKey.export({ type: "pkcs8", format: "pem" })));
    const signature = await signCommit(readSigningKey("ssh", { identity }, "apps/key"), payload, "apps/key");
    const bytes = Buffer.from(signature.split("\n").slice(1, -2).join(""), "base64");
    const publicKey = bytes.subarray(14, 14 + bytes.readUInt32BE(10)); // behind the magic and the version
    const type = publicKey.toString("latin1", 4, 4 + publicKey.readUInt32BE(0));
    assert.match(verifySsh(signature, Buffer.from(payload), readTrustedKeys(`${type} ${publicKey.toString("base64")}`)), /^SHA256:/);
  });

test("[IM40] PGP: a key that gpg made, with a passphrase, and one whose first part stayed at home", { skip: noGpg }, async () => {
  run("gpg", ["--batch", "--passphrase", "open sesame", "--pinentry-mode", "loopback", "--quick-generate-key", "Bob <bob@example.com>", "ed25519", "cert", "never"]);
  const [, fingerprint = ""] = /^fpr:+([0-9A-F]{40}):/m.exec(run("gpg", ["--with-colons", "--list-keys", "bob@example.com"])) ?? [];
  run("gpg", ["--batch", "--passphrase", "open sesame", "--pinentry-mode", "loopback", "--quick-add-key", fingerprint, "ed25519", "sign", "never"]);
  const exported = (what: string) => run("gpg", ["--batch", "--passphrase", "open sesame", "--pinentry-mode", "loopback", "--armor", what, fingerprint]);
  for (const what of ["--export-secret-keys", "--export-secret-subkeys"]) {
    const key = readSigningKey("gpg", { "git.asc": Buffer.from(exported(what)), passphrase: Buffer.from("open sesame") }, "apps/key");
    run("git", ["verify-commit", committed(await signCommit(key, payload, "apps/key"))]);
  }
});

const long = new Date(Date.now() - 10 * 86_400_000);
const faults: { title: string; type?: "gpg" | "ssh"; secret: () => Promise<Record<string, Buffer>> | Record<string, Buffer>; says: RegExp }[] = [
  { title: "no key", secret: () => ({ identity: Buffer.from("x") }), says: /^it has no git\.asc$/ },
  { title: "no key", type: "ssh", secret: () => ({ "git.asc": Buffer.from("x") }), says: /^it has no identity$/ },
  { title: "an empty key", type: "ssh", secret: () => ({ identity: Buffer.from("") }), says: /^it has no identity$/ },
  { title: "not a key", secret: () => ({ "git.asc": Buffer.from("secret-words") }), says: /^git\.asc is no armoured PGP private key$/ },
  { title: "not a key", type: "ssh", secret: () => ({ identity: Buffer.from("secret-words") }), says: /no readable private key/ },
  { title: "a public key", secret: async () => ({ "git.asc": Buffer.from((await pgpKey()).publicKey) }), says: /PGP private key$/ },
  { title: "a public key", type: "ssh", secret: () => ({ identity: Buffer.from(sshKey(["-t", "ed25519"]).publicKey) }), says: /not a private key|no readable private key/ },
  { title: "two keys", secret: async () => {
    const both = await Promise.all([pgpKey(), pgpKey()].map(async (made) => (await unarmor((await made).privateKey)).data as Uint8Array));
    return { "git.asc": Buffer.from(armor(enums.armor.privateKey, Buffer.concat(both))) };
  }, says: /several keys/ },
  { title: "a wrong passphrase", secret: async () => ({ ...(await pgpKey({}, "right")).secret, passphrase: Buffer.from("wrong") }), says: /passphrase is another$/ },
  { title: "a wrong passphrase", type: "ssh", secret: () => ({ ...sshKey(["-t", "ed25519", "-a", "2"], "right").secret, password: Buffer.from("wrong") }), says: /password is another$/ },
  { title: "no passphrase", secret: async () => ({ "git.asc": (await pgpKey({}, "right")).secret["git.asc"] ?? assert.fail() }), says: /is encrypted, and the Secret has no passphrase/ },
  { title: "no passphrase", type: "ssh", secret: () => ({ identity: sshKey(["-t", "ed25519", "-a", "2"], "right").secret["identity"] ?? assert.fail() }), says: /is encrypted, and the Secret has no password/ },
  { title: "an expired key", secret: async () => (await pgpKey({ date: long, keyExpirationTime: 86_400 })).secret, says: /^the PGP key has expired$/ },
  { title: "a revoked key", secret: async () => {
    const { privateKey, revocationCertificate } = await generateKey({ userIDs: [{ name: "Ada" }], format: "object" });
    const { privateKey: revoked } = await revokeKey({ key: privateKey, ...(revocationCertificate && { revocationCertificate }), format: "armored" });
    return { "git.asc": Buffer.from(revoked) };
  }, says: /^the PGP key was revoked$/ },
  { title: "a small RSA key", type: "ssh", secret: () => ({ identity: Buffer.from(String(generateKeyPairSync("rsa", { modulusLength: 1024 }).privateKey.export({ type: "pkcs1", format: "pem" }))) }), says: /less than 2048 bits/ },
  { title: "a key of another kind", type: "ssh", secret: () => ({ identity: Buffer.from(String(generateKeyPairSync("ed448").privateKey.export({ type: "pkcs8", format: "pem" }))) }), says: /neither Ed25519, RSA nor ECDSA/ },
];
for (const { title, type, secret, says } of faults)
  test(`[IM42] ${type ?? "gpg"}, ${title}: ${says.source}`, { skip: type === "ssh" && noKeygen }, async () => {
    const data = await secret();
    await assert.rejects(async () => signCommit(readSigningKey(type, data, "apps/key"), payload, "apps/key"), (error) => {
      assert.ok(error instanceof Fault, String(error));
      assert.equal(error.code, "SigningKeyInvalid");
      assert.match(error.detail ?? "", says);
      for (const value of Object.values(data)) assert.ok(value.length === 0 || !error.message.includes(value.toString()), "quotes nothing of the Secret");
      return true;
    });
  });
