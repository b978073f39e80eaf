import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { armor, Encrypter } from "age-encryption";
import { accounts, startKeyServices } from "./fixtures/key-services.ts";
import { clear, sealed, testKeys } from "./fixtures/sealed-file.ts";
import { formatOf, writeDocument } from "./formats/format.ts";
import { dataKeyOf } from "./keys/data-key.ts";
import { openDocument } from "./open.ts";

const services = await startKeyServices();
test.after(() => services.close());
const { aws, vault } = accounts;
const accountsFile = { "sops.aws-kms": Buffer.from(`{aws_access_key_id: ${aws.id}, aws_secret_access_key: ${aws.secret}}`), "sops.vault-token": Buffer.from(vault.token) };
const { signal } = new AbortController();

/** What comes out of an encrypted file. */
async function open(name: string, { content = sealed(name), secret = testKeys("age.agekey"), ignoreMac = false }: { content?: Buffer; secret?: Record<string, Buffer>; ignoreMac?: boolean } = {}): Promise<string> {
  const { document } = await openDocument(content, formatOf(name), { dataKeyOf: (metadata) => dataKeyOf(metadata, { secret, send: services.send, nowMs: Date.now, tokens: new Map(), signal }), ignoreMac });
  return writeDocument(document, formatOf(name)).toString("latin1");
}

const rules: [RegExp, string][] = [[/^age/, "[SO5]"], [/^pgp/, "[SO6]"], [/^groups/, "[SO4]"], [/suffix|regex/, "[SO2]"], [/^mac/, "[SO3]"], [/^aws/, "[SO7]"], [/^vault/, "[SO10]"], [/./, "[SO1]"]];
const ruleOf = (name: string): string => rules.find(([pattern]) => pattern.test(name))?.[1] ?? "";

for (const name of readdirSync(join(import.meta.dirname, "fixtures/sealed")))
  test(`${ruleOf(name)} ${name} decrypts to the very bytes that sops prints`, async () => {
    const secret = { ...testKeys("age.agekey", "age-pq.agekey", "pgp-rsa.asc", "pgp-ecc.asc"), ...accountsFile };
    assert.equal(await open(name, { secret }), clear(name).toString("latin1"));
  });

test("[SO4] any two of three key groups open a file, and one does not", async () => {
  const expected = clear("groups.yaml").toString();
  for (const secret of [testKeys("age.agekey", "age-second.agekey"), testKeys("age.agekey", "pgp-rsa.asc"), testKeys("age-second.agekey", "pgp-rsa.asc"), testKeys("age.agekey", "age-second.agekey", "pgp-rsa.asc")])
    assert.equal(await open("groups.yaml", { secret }), expected);
  await assert.rejects(open("groups.yaml"), /2 of 3 key groups are needed and 1 opened: age age1.*: no age key of the Secret opens it; PGP [0-9A-F]{40}: the Secret holds no PGP key/);
});

test("[SO3] a broken MAC is let pass only when that is asked for", async () => {
  const content = Buffer.from(sealed("secret.yaml").toString().replace("name: shop", "name: shap"));
  await assert.rejects(open("secret.yaml", { content }), /does not match its MAC/);
  assert.match(await open("secret.yaml", { content, ignoreMac: true }), /name: shap/);
});

const text = (name: string) => sealed(name).toString();
const dataKeyFor = async (bytes: number): Promise<string> => {
  const encrypter = new Encrypter();
  encrypter.addRecipient(/public key: (\S+)/.exec(testKeys("age.agekey")["age.agekey"]?.toString() ?? "")?.[1] ?? "");
  return armor.encode(await encrypter.encrypt(new Uint8Array(bytes)));
};
/** The armoured data key of a YAML file, replaced. */
const withDataKey = (armored: string) => text("secret.yaml").replace(/ {12}-----BEGIN AGE[^]*END AGE ENCRYPTED FILE-----/, armored.trim().split("\n").map((line) => " ".repeat(12) + line).join("\n"));

const bomb = `bomb_unencrypted:\n    a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n${Array.from({ length: 9 }, (_, at) => `    a${at + 1}: &a${at + 1} [${Array(10).fill(`*a${at}`).join(", ")}]\n`).join("")}`;

/** Each a way a file can be wrong. */
const rows: { what: string; name?: string; content: () => string | Promise<string>; secret?: Record<string, Buffer>; says: RegExp }[] = [
  { what: "a key it was not encrypted for", content: () => text("secret.yaml"), secret: testKeys("age-stranger.agekey"), says: /cannot be decrypted: age age1[a-z0-9]+: no age key of the Secret opens it/ },
  { what: "no keys at all", content: () => text("secret.yaml"), secret: {}, says: /the Secret holds no age key/ },
  { what: "a key that is none", content: () => text("secret.yaml"), secret: { "a.agekey": Buffer.from("AGE-SECRET-KEY-1WRONG") }, says: /a\.agekey of the Secret is not a usable age key/ },
  { what: "a PGP key that is none", name: "pgp-rsa.yaml", content: () => text("pgp-rsa.yaml"), secret: { "a.asc": Buffer.from("-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nx\n-----END PGP PRIVATE KEY BLOCK-----") }, says: /a\.asc of the Secret is not a PGP private key/ },
  { what: "another PGP key", name: "pgp-rsa.yaml", content: () => text("pgp-rsa.yaml"), secret: testKeys("pgp-ecc.asc"), says: /PGP [0-9A-F]{40}: no PGP key of the Secret opens it/ },
  { what: "a value changed in the open", content: () => text("secret.yaml").replace("type: Opaque", "type: Other"), says: /does not match its MAC/ },
  { what: "a value added in the open", content: () => text("secret.yaml").replace("type: Opaque", "type: Opaque\nmore: x"), says: /does not match its MAC/ },
  { what: "two values exchanged", content: () => text("secret.yaml").replace(/user: (ENC.*)\n {4}password: (ENC.*)/, "user: $2\n    password: $1"), says: /stringData\.user was changed or moved since it was encrypted/ },
  { what: "an encrypted value damaged", content: () => text("secret.yaml").replace(/(user: ENC\[AES256_GCM,data:)..../, "$1AAAA"), says: /stringData\.user was changed or moved/ },
  { what: "an encrypted value replaced by text", content: () => text("secret.yaml").replace(/user: ENC.*/, "user: hunter2-in-plain"), says: /stringData\.user is not encrypted, though it should be/ },
  { what: "an encrypted value replaced by a number", content: () => text("secret.yaml").replace(/user: ENC.*/, "user: 4711"), says: /stringData\.user is not encrypted/ },
  { what: "an encrypted value with a tag cut short", content: () => text("secret.yaml").replace(/(user: ENC.*tag:).{4}/, "$1"), says: /stringData\.user is not complete/ },
  { what: "no MAC", content: () => text("secret.yaml").replace(/ {4}mac: .*\n/, ""), says: /has no MAC/ },
  { what: "the MAC of another file", content: () => text("secret.yaml").replace(/ {4}mac: .*\n/, /mac: .*\n/.exec(text("types.yaml"))?.[0]?.replace(/^/, "    ") ?? ""), says: /has a MAC that is not its own/ },
  { what: "the time of another change", content: () => text("secret.yaml").replace(/lastmodified: "....-/, 'lastmodified: "1999-'), says: /has a MAC that is not its own/ },
  { what: "a time that is none", content: () => text("secret.yaml").replace(/lastmodified: .*/, "lastmodified: yesterday"), says: /cannot be read: lastmodified/ },
  { what: "a file cut short", content: () => text("secret.yaml").slice(0, 600), says: /is not YAML|has no metadata|no key|cannot be read/ },
  { what: "JSON cut short", name: "types.json", content: () => text("types.json").slice(0, 600), says: /ends too early|is not JSON/ },
  { what: "what is no JSON", name: "types.json", content: () => text("types.json").replace('"bool":', '"bool" hunter2'), says: /is not JSON: line \d+/ },
  { what: "dotenv without an equals sign", name: "app.env", content: () => `hunter2-in-plain\n${text("app.env")}`, says: /is not dotenv: line 1 has no "="/ },
  { what: "INI without a key", name: "app.ini", content: () => `hunter2-in-plain\n${text("app.ini")}`, says: /is not INI: line 1 has no key/ },
  { what: "what is no YAML", content: () => `x: [hunter2-in-plain\n${text("secret.yaml")}`, says: /is not YAML: .* in line \d+/ },
  { what: "a key twice", content: () => text("secret.yaml").replace("type: Opaque", "type: Opaque\ntype: Opaque"), says: /is not YAML: duplicate key in line/ },
  { what: "metadata that is not", content: () => `${text("secret.yaml").replace(/^sops:[^]*/m, "")}sops: hunter2`, says: /has a key sops that is not metadata/ },
  { what: "no metadata", content: () => text("secret.yaml").replace(/^sops:[^]*/m, ""), says: /has no metadata of sops/ },
  { what: "no holder", content: () => text("secret.yaml").replace(/^ {4}age:[^]*?(?= {4}encrypted_regex)/m, ""), says: /names no key/ },
  { what: "two rules of what is encrypted", content: () => text("secret.yaml").replace(/( {4})encrypted_regex/, "$1encrypted_suffix: x\n$1encrypted_regex"), says: /more than one rule.*encrypted_suffix, encrypted_regex/ },
  { what: "a data key of 16 bytes", content: async () => withDataKey(await dataKeyFor(16)), says: /has a data key of 16 bytes instead of 32/ },
  { what: "a data key of no bytes", content: async () => withDataKey(await dataKeyFor(0)), says: /has a data key of 0 bytes instead of 32/ },
  { what: "another data key", content: async () => withDataKey(await dataKeyFor(32)), says: /was changed or moved since it was encrypted/ },
  { what: "armour without a key in it", content: () => withDataKey("-----BEGIN AGE ENCRYPTED FILE-----\nAAAA\n-----END AGE ENCRYPTED FILE-----"), says: /no age key of the Secret opens it|is damaged/ },
  { what: "a bomb of aliases", content: () => bomb + text("secret.yaml"), says: /holds more than 500000 values/ },
  { what: "an alias without an anchor", content: () => `x: *nothing\n${text("secret.yaml")}`, says: /alias/ },
  { what: "too many levels", content: () => `x: ${"[".repeat(500)}${"]".repeat(500)}\n${text("secret.yaml")}`, says: /nested more than 200 levels deep/ },
  { what: "JSON of too many levels", name: "types.json", content: () => `{"x": ${"[".repeat(100_000)}`, says: /nested more than 200 levels deep/ },
  { what: "a list at the top", content: () => `- x\n${text("secret.yaml").split("\n").map((line) => `# ${line}`).join("\n")}`, says: /not a mapping/ },
  { what: "a number for a key", content: () => text("secret.yaml").replace("type: Opaque", "type: Opaque\n7: x"), says: /has a key that is not text/ },
  { what: "an expression that a naive matcher never finishes", content: () => text("secret.yaml").replace(/encrypted_regex: .*/, "encrypted_regex: ^(data|stringData|(a+)+b)$").replace("name: shop", `name: shop\n    ${"a".repeat(60)}: x`), says: /does not match its MAC/ },
  { what: "a later format", content: () => text("secret.yaml").replace(/version: .*/, "version: 4.0.0").replace("type: Opaque", "type: Other"), says: /does not match its MAC.*; it was written by sops 4, which this release does not know/ },
  { what: "holders of an unknown kind", content: () => text("secret.yaml").replace(/^ {4}age:/m, "    hckms:"), says: /hckms: keys of this kind are not supported/ },
];

for (const { what, name = "secret.yaml", content, secret = testKeys("age.agekey"), says } of rows)
  test(`[SO25] ${what}: is told in words that quote no value`, async () => {
    await assert.rejects(async () => open(name, { content: Buffer.from(await content()), secret }), (thrown: Error) => {
      assert.match(thrown.message, says);
      assert.doesNotMatch(thrown.message, /hunter2|4711|correct horse|ENC\[/);
      return true;
    });
  });

test("[SO2] an expression is Go's, not JavaScript's", async () => {
  const content = Buffer.from(text("unencrypted-regex.yaml").replace("(?i)OPEN", "(?i)\\QOPEN\\E"));
  assert.equal(await open("unencrypted-regex.yaml", { content }), clear("unencrypted-regex.yaml").toString());
});

test("[SO2] the number of a later version alone is no reason to refuse a file", async () =>
  assert.equal(await open("secret.yaml", { content: Buffer.from(text("secret.yaml").replace(/version: .*/, "version: 4.0.0")) }), clear("secret.yaml").toString()));
