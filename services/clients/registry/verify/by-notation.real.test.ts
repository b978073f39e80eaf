/** Signatures of notation, made by its own library, in a registry with and without the API for referrers. */
import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, beforeEach, test } from "node:test";
import { gzipSync } from "node:zlib";
import { Fault } from "#protocol/errors/fault.ts";
import { closeConnections } from "#services/clients/http/connections.ts";
import { notationProgram } from "#services/render/notation/program.ts";
import { Notation } from "#services/render/notation/verifier.ts";
import { buildWasm } from "#services/render/wasm-file.ts";
import { createOciRepository, ociThreads } from "#services/sources/oci/oci.ts";
import { fluxContent, startRegistry, type LocalRegistry } from "../../../../deploy/local/registry.ts";
import { scratchFolder } from "../../../../test/kit/cluster.ts";
import { attachEnvelopes, described, envelopes, hours, Notary, trustSecret, type Described, type Pair } from "../../../../test/kit/notation.ts";
import type { Verification } from "./verify.ts";

const threads = ociThreads(1);
const oci = createOciRepository({ threads });
const notary = await Notary.open();
const notation = new Notation({ wasm: await buildWasm(() => {}, process.env, notationProgram) });
const [root, stranger] = [notary.authority("root"), notary.authority("stranger")];
const good = [notary.signer(root, "release"), root];
let registry: LocalRegistry;
let count = 0;

before(async () => { registry = await startRegistry({ dir: scratchFolder() }); });
beforeEach(() => { registry.spoil = undefined; });
after(() => Promise.all([closeConnections(), threads.close(), notation.close(), registry.stop()]));

type Artifact = Described & { name: string };

/** A new artifact, which nobody has signed. */
async function artifact(): Promise<Artifact> {
  const name = `shop-${++count}`; // and of other contents
  const { manifest } = await registry.push(name, "latest", [{ mediaType: fluxContent, bytes: gzipSync(Buffer.alloc(1024 * count)) }]);
  return { name, ...described(manifest) };
}

const bare = ({ mediaType, digest, size }: Artifact): Described => ({ mediaType, digest, size });
const attach = (to: Artifact, ...blobs: Buffer[]) => attachEnvelopes(registry, to.name, bare(to), blobs.map((blob) => ({ mediaType: envelopes.jws, blob })));

/** One that is signed as it should be, but for what is said. */
async function signed(chain: Pair[] = good, how: Parameters<Notary["sign"]>[2] = {}): Promise<Artifact> {
  const made = await artifact();
  const mediaType = envelopes[how.format ?? "jws"];
  await attachEnvelopes(registry, made.name, bare(made), [{ mediaType, blob: notary.sign(bare(made), chain, how) }]);
  return made;
}

type Trust = Record<string, string | Uint8Array>;
const verify: Verification = { provider: "notation", secretRef: { name: "trust" } };

function fetch({ name, digest }: Artifact, trust: Trust, { given = notation, wanted = verify }: { given?: Notation | null; wanted?: Verification } = {}) {
  registry.requests.length = 0;
  return oci.fetch({
    key: { kind: "ocirepository", namespace: "apps", name: "shop" }, spec: { url: registry.repoUrl(name), verify: wanted }, signal: AbortSignal.timeout(300_000),
    secret: async () => Object.fromEntries(Object.entries(trust).map(([key, value]) => [key, Buffer.from(value as Uint8Array)])), revision: `latest@${digest}`, ...(given && { notation: given }),
  });
}

async function refused(of: Artifact, trust: Trust, detail: RegExp, how: Parameters<typeof fetch>[2] = {}): Promise<void> {
  await assert.rejects(fetch(of, trust, how), (error: unknown) => {
    assert.ok(error instanceof Fault, String(error));
    assert.equal(error.code, "VerificationFailed", error.message);
    assert.match(error.detail ?? "", detail);
    assert.doesNotMatch(error.message, /s3cret/);
    return true;
  });
}

/** What is said of it. */
const verdictOf = async (of: Artifact, trust: Trust): Promise<string> => (await fetch(of, trust)).verified ?? "let through";
const accepted = async (of: Artifact, trust: Trust) => assert.equal(await verdictOf(of, trust), `verified signature of revision latest@${of.digest}`);

for (const format of ["jws", "cose"] as const)
  for (const how of ["tag", "referrer"] as const)
    test(`[OC34] signed by somebody who is trusted, as ${format}; found by ${how}`, async () => {
      const made = await artifact();
      const index = await attachEnvelopes(registry, made.name, bare(made), [{ mediaType: envelopes[format], blob: notary.sign(bare(made), good, { format }) }]);
      if (how === "referrer") {
        await registry.remove(made.name, made.digest.replace(":", "-"));
        registry.spoil = ({ path }) => (path.endsWith(`/referrers/${made.digest}`) ? { status: 200, headers: { "content-type": "application/vnd.oci.image.index.v1+json" }, body: JSON.stringify(index) } : undefined);
      }
      await accepted(made, trustSecret([stranger, root]));
      await refused(made, trustSecret([stranger]), /among 1: .*does not contain any trusted certificate/);
    });

test("[OC34] a certificate is read whatever its last byte is, as PEM, as DER, and with lines around it", async () => {
  const derOf = ({ certificate }: Pair) => new X509Certificate(certificate).raw;
  let odd = notary.authority("odd");
  while (!/\s$/.test(derOf(odd).toString("latin1"))) odd = notary.authority("odd");
  const made = await signed([notary.signer(odd, "release"), odd]);
  const trust: Trust = trustSecret([odd]);
  const [file = ""] = Object.keys(trust).filter((name) => name !== "trustpolicy.json");
  for (const certificate of [odd.certificate, `\n${odd.certificate}\n`, derOf(odd)]) await accepted(made, { ...trust, [file]: certificate });
});

test("[OC34] what is not signed, or signed for something else, is refused before any of its layers is fetched", async () => {
  const trust = trustSecret([root]);
  const [unsigned, other, changed] = [await artifact(), await artifact(), await artifact()];
  await refused(unsigned, trust, /not signed/);
  assert.deepEqual(registry.requests.filter(({ path }) => path.includes("/blobs/")), []);
  await attach(other, notary.sign(bare(unsigned), good));
  await refused(other, trust, /mismatch/);
  const blob = JSON.parse(notary.sign(bare(changed), good).toString()) as { payload: string };
  const payload = Buffer.from(blob.payload, "base64url").toString().replace(/"size":\d+/, '"size":1');
  await attach(changed, Buffer.from(JSON.stringify({ ...blob, payload: Buffer.from(payload).toString("base64url") })));
  await refused(changed, trust, /signature is invalid/);
});

test("[OC34] an identity is a part of the certificate's subject", async () => {
  const made = await signed();
  await accepted(made, trustSecret([root], { identities: ["x509.subject: C=DE, ST=HH, O=example, CN=release"] }));
  await refused(made, trustSecret([root], { identities: ["x509.subject: C=DE, ST=HH, O=other"] }), /does not match the X\.509 trusted identities/);
});

test("[OC34] a policy counts for its scopes", async () => {
  const made = await signed();
  const scope = registry.repoUrl(made.name).replace("oci://", "");
  await accepted(made, trustSecret([root], { scopes: [scope] }));
  await refused(made, trustSecret([root], { scopes: ["registry.example.com/shop"] }), /no applicable trust policy/);
});

const [longAgo, soon] = [hours(-48), hours(-24)];
type Level = NonNullable<NonNullable<Parameters<typeof trustSecret>[1]>["level"]>;
const levels: { what: string; make: () => Promise<Artifact>; is: Record<Level, RegExp | "verified" | "let through"> }[] = [
  { what: "good", make: () => signed(), is: { strict: "verified", permissive: "verified", audit: "verified", skip: "let through" } },
  { what: "of a stranger", make: () => signed([notary.signer(stranger, "release"), stranger]), is: { strict: /trusted/i, permissive: /trusted/i, audit: "let through", skip: "let through" } },
  { what: "expired", make: () => signed(good, { at: longAgo, expiry: soon }), is: { strict: /has expired/, permissive: "verified", audit: "verified", skip: "let through" } },
  { what: "of a certificate that is over", make: () => signed([notary.signer(root, "release", { to: soon }), root], { at: longAgo }), is: { strict: /expired at/, permissive: "verified", audit: "verified", skip: "let through" } },
  { what: "none", make: () => artifact(), is: { strict: /not signed/, permissive: /not signed/, audit: /not signed/, skip: "let through" } },
];
for (const { what, make, is } of levels)
  test(`[OC35] how much is asked of a signature: ${what}`, async () => {
    const made = await make();
    for (const [level, verdict] of Object.entries(is) as [Level, RegExp | string][]) {
      const trust = trustSecret([root], { level });
      if (verdict instanceof RegExp) await refused(made, trust, verdict);
      else assert.match(await verdictOf(made, trust), new RegExp(`^${verdict}`), level);
    }
  });

test("[OC35] a mark of time keeps the signature of a certificate that is over", async () => {
  const [times, otherTimes] = [notary.authority("times"), notary.authority("other times")];
  const clockOf = (issuer: Pair) => [notary.signer(issuer, "clock", { clock: true }), issuer];
  const chain = [notary.signer(root, "release", { to: soon }), root];
  const marked = await signed(chain, { at: longAgo, clock: clockOf(times) });
  const trusting = trustSecret([root, times], { stores: ["ca:shop", "tsa:times"] });
  await accepted(marked, trusting);
  await refused(marked, trustSecret([root, otherTimes], { stores: ["ca:shop", "tsa:times"] }), /timestamp countersignature/);
  await refused(marked, trustSecret([root, times]), /expired at/);
  const unmarked = await signed(chain, { at: longAgo });
  await refused(unmarked, trusting, /no timestamp countersignature/);
});

/** Somebody who is asked what became of certificates. */
async function statusServer() {
  const asked: string[] = [];
  let answer: Buffer | undefined;
  const server = createServer((request, response) => {
    asked.push(`${request.method} ${request.url?.split("/")[1]}`);
    request.resume();
    if (answer) response.end(answer);
    else response.writeHead(500).end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    asked, base: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    says: (said: Buffer | undefined) => { answer = said; },
    [Symbol.asyncDispose]: () => new Promise<void>((resolve) => { server.closeAllConnections(); server.close(() => resolve()); }),
  };
}

for (const by of ["ocsp", "crl"] as const)
  test(`[OC36] what became of a certificate is asked where that counts: ${by}`, async () => {
    await using server = await statusServer();
    const serial = 7;
    const made = await signed([notary.signer(root, "release", { serial, [by]: `${server.base}/${by}` }), root]);
    const strict = trustSecret([root]);
    const says = (revoked: boolean) => server.says(notary.status(root, serial, { revoked, list: by === "crl" }));
    says(false);
    await accepted(made, strict);
    says(true);
    await refused(made, strict, /is revoked/);
    server.says(undefined);
    await refused(made, strict, /status is unknown/);
    server.says(Buffer.from("no answer"));
    await refused(made, strict, /status is unknown/);
    assert.ok(server.asked.length >= 4 && server.asked.every((each) => each.endsWith(by)), server.asked.join());

    server.asked.length = 0;
    await accepted(made, trustSecret([root], { level: "permissive" }));
    await accepted(made, trustSecret([root], { override: { revocation: "skip" } }));
    await refused(made, trustSecret([stranger]), /trusted/i);
    await refused(made, trustSecret([stranger], { override: { authenticity: "log" } }), /status is unknown/);
    assert.deepEqual(server.asked, [], "of nobody who is not trusted, and not for nothing");
  });

test("[OC36] a certificate that names many to ask, or one who leads in circles, is not asked about for ever", async () => {
  let asked = 0;
  const server = createServer((request, response) => {
    asked++;
    response.writeHead(302, { location: `${request.url}x` }).end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const made = await signed([notary.signer(root, "release", { crl: `${base}/list` }), root]);
    await refused(made, trustSecret([root]), /status is unknown|too many questions/);
    assert.ok(asked <= 32, `${asked} questions`);
  } finally {
    server.closeAllConnections();
    server.close();
  }
});

test("[OC37] what lies beside an artifact and is no signature is passed over, whatever it is", async () => {
  const trust = trustSecret([root]);
  const made = await artifact();
  const own = notary.sign(bare(made), good);
  const rubbish = [Buffer.from("no"), Buffer.from("{}"), Buffer.alloc(2 ** 20 + 1, "x"), Buffer.from(JSON.stringify({ ...JSON.parse(own.toString()) as object, header: { x5c: Array.from({ length: 5_000 }, () => "AAAA") } }))];
  await attach(made, ...rubbish);
  await refused(made, trust, /among 4/);
  await attach(made, ...rubbish, own);
  await accepted(made, trust);
  const cose = await artifact();
  await attachEnvelopes(registry, cose.name, bare(cose), [Buffer.alloc(1000, 0x9f), Buffer.alloc(100_000, 0x81)].map((blob) => ({ mediaType: envelopes.cose, blob })));
  await refused(cose, trust, /among 2/);
});

test("[OC37] of more signatures than anybody needs not all are looked at", async () => {
  const made = await artifact();
  const by = notary.sign(bare(made), [notary.signer(stranger, "release"), stranger]);
  await attach(made, ...Array.from({ length: 200 }, (_, i) => Buffer.from(JSON.stringify({ ...JSON.parse(by.toString()) as object, note: i }))));
  await refused(made, trustSecret([root]), /among 64/);
  assert.ok(registry.requests.length < 64 * 2 + 10, `${registry.requests.length} requests`);
  registry.spoil = ({ path }) => (path.includes("/referrers/") ? "endless" : undefined);
  await assert.rejects(fetch(made, trustSecret([root])), (error: unknown) => error instanceof Fault && error.code === "SourceTooLarge");
});

const unreadable: { what: string; trust: Trust; wanted?: Verification; detail: RegExp }[] = [
  { what: "no Secret is named", trust: {}, wanted: { provider: "notation" }, detail: /spec\.verify\.secretRef/ },
  { what: "a Secret without a policy", trust: { "ca.crt": root.certificate }, detail: /holds no trustpolicy\.json/ },
  { what: "a Secret without certificates", trust: trustSecret([]), detail: /no certificate under \*\.crt or \*\.pem/ },
  { what: "a policy that is none", trust: { ...trustSecret([root]), "trustpolicy.json": "s3cret" }, detail: /trustpolicy\.json cannot be read/ },
  { what: "a policy without statements", trust: { ...trustSecret([root]), "trustpolicy.json": '{"version":"1.0"}' }, detail: /zero trust policy statements/ },
  { what: "a level that is none", trust: trustSecret([root], { level: "lax" as "audit" }), detail: /signature verification level/ },
  { what: "a certificate that is none", trust: { ...trustSecret([]), "ca.crt": "s3cret" }, detail: /certificate 1 of the Secret cannot be read/ },
];
for (const { what, trust, wanted, detail } of unreadable)
  test(`[OC34] ${what}: it is said so, and nothing is published`, async () => refused(await signed(), trust, detail, wanted && { wanted }));

test("[OC34] where there is no verifier nothing is published", async () => refused(await signed(), trustSecret([root]), /not at hand/, { given: null }));
