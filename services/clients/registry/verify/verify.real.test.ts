/** Signatures in cosign's formats, in a registry with and without the API for referrers. */
import assert from "node:assert/strict";
import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { after, before, beforeEach, test } from "node:test";
import { gzipSync } from "node:zlib";
import { Fault } from "#protocol/errors/fault.ts";
import { closeConnections } from "#services/clients/http/connections.ts";
import { fluxContent, startRegistry, type LocalRegistry } from "../../../../deploy/local/registry.ts";
import { scratchFolder } from "../../../../test/kit/cluster.ts";
import { bundleByKey, payloadOf, signByKey, Sigstore, type Signature } from "../../../../test/kit/sigstore.ts";
import { createOciRepository, ociThreads } from "#services/sources/oci/oci.ts";
import { defaultLimits } from "#services/sources/oci/limits.ts";
import { PublicRoot } from "./public-root.ts";
import { NotGood } from "./signed.ts";
import type { Verification } from "./verify.ts";

const threads = ociThreads(1);
const oci = createOciRepository({ limits: defaultLimits, threads });
const sigstore = new Sigstore();
const keys = { ec: generateKeyPairSync("ec", { namedCurve: "P-256" }), rsa: generateKeyPairSync("rsa", { modulusLength: 2048 }), ed: generateKeyPairSync("ed25519") };
const stranger = generateKeyPairSync("ec", { namedCurve: "P-256" });
const [issuer, subject] = ["https://token.example.com", "https://git.example.com/team/shop/release.yaml"];
let registry: LocalRegistry;
let count = 0;

before(async () => { registry = await startRegistry({ dir: scratchFolder() }); });
beforeEach(() => { registry.spoil = undefined; });
after(() => Promise.all([closeConnections(), threads.close(), registry.stop()]));

/** A new artifact, which nobody has signed. */
async function artifact() {
  const name = `shop-${++count}`; // and of other contents
  const { digest } = await registry.push(name, "latest", [{ mediaType: fluxContent, bytes: gzipSync(Buffer.alloc(1024 * count)) }]);
  return { name, digest };
}
type Artifact = Awaited<ReturnType<typeof artifact>>;

const pem = (key: KeyObject) => String(key.export({ type: "spki", format: "pem" }));
const secrets: Record<string, Record<string, string>> = {
  keys: { "a.pub": pem(stranger.publicKey), "b.pub": pem(keys.ec.publicKey), "c.pub": pem(keys.rsa.publicKey), "d.pub": pem(keys.ed.publicKey), note: "of no meaning" },
  other: { "a.pub": pem(stranger.publicKey) },
  empty: { "cosign.key": "s3cret" },
  broken: { "a.pub": "s3cret" },
  root: { "trusted_root.json": sigstore.trustedRoot() },
  "other root": { "trusted_root.json": new Sigstore().trustedRoot() },
  "broken root": { "trusted_root.json": "{" },
};
const byKey: Verification = { provider: "cosign", secretRef: { name: "keys" } };
const keyless = (more: Partial<Verification> = {}): Verification => ({
  provider: "cosign", trustedRootSecretRef: { name: "root" }, matchOIDCIdentity: [{ issuer: "^https://other", subject: "." }, { issuer: "^https://token\\.example\\.com$", subject: "/team/shop/" }], ...more,
});

function fetch({ name, digest }: Artifact, verify: Verification) {
  const secret = async (name: string) => {
    const data = secrets[name];
    if (!data) throw new Fault("SecretMissing", `Secret/apps/${name}`, { detail: "not found" });
    return Object.fromEntries(Object.entries(data).map(([key, value]) => [key, Buffer.from(value)]));
  };
  registry.requests.length = 0;
  const key = { kind: "ocirepository", namespace: "apps", name: "shop" };
  return oci.fetch({ key, spec: { url: registry.repoUrl(name), verify }, secret, signal: AbortSignal.timeout(30_000), revision: `latest@${digest}` });
}
async function refused(artifact: Artifact, verify: Verification, detail: RegExp): Promise<void> {
  await assert.rejects(fetch(artifact, verify), (error: unknown) => {
    assert.ok(error instanceof Fault, String(error));
    assert.equal(error.code, "VerificationFailed", error.message);
    assert.match(error.detail ?? "", detail);
    assert.doesNotMatch(error.message, /s3cret/);
    return true;
  });
  const wanted = registry.requests.filter(({ path }) => path.endsWith(`/manifests/${artifact.digest}`));
  assert.deepEqual(wanted, [], "nothing of it is fetched");
}
async function accepted(artifact: Artifact, verify: Verification): Promise<void> {
  const { verified } = await fetch(artifact, verify);
  assert.equal(verified, `verified signature of revision latest@${artifact.digest}`);
}

/** As cosign 2 leaves it. */
const attach = ({ name, digest }: Artifact, ...signatures: Signature[]) =>
  (async () => {
    const layers = [];
    for (const { payload, annotations } of signatures)
      layers.push({ mediaType: "application/vnd.dev.cosign.simplesigning.v1+json", digest: await registry.pushBlob(name, payload), size: payload.length, annotations });
    const config = { mediaType: "application/vnd.oci.image.config.v1+json", digest: await registry.pushBlob(name, Buffer.from("{}")), size: 2 };
    const mediaType = "application/vnd.oci.image.manifest.v1+json";
    await registry.pushManifest(name, `${digest.replace(":", "-")}.sig`, mediaType, { schemaVersion: 2, mediaType, config, layers });
  })();

/** As cosign 3 leaves it: by the API for referrers, or in the list under a tag. */
async function attachBundle({ name, digest }: Artifact, bundle: object, how: "referrer" | "tag" = "tag"): Promise<void> {
  const artifactType = "application/vnd.dev.sigstore.bundle.v0.3+json";
  const subject = { mediaType: "application/vnd.oci.image.manifest.v1+json", digest, size: 1 };
  const bytes = Buffer.from(JSON.stringify(bundle));
  const pushed = await registry.push(name, `bundle-${++count}`, [{ mediaType: artifactType, bytes }], { artifactType, subject });
  const index = { schemaVersion: 2, mediaType: "application/vnd.oci.image.index.v1+json", manifests: [{ mediaType: subject.mediaType, digest: pushed.digest, size: 1, artifactType }] };
  if (how === "tag") await registry.pushManifest(name, digest.replace(":", "-"), index.mediaType, index);
  else registry.spoil = ({ path }) => (path.endsWith(`/referrers/${digest}`) ? { status: 200, headers: { "content-type": index.mediaType }, body: JSON.stringify(index) } : undefined);
}

for (const [name, { privateKey }] of Object.entries(keys))
  test(`[OC30] [OC31] signed with a key (${name}), as cosign 2 does: any of the Secret's public keys will do`, async () => {
    const signed = await artifact();
    await attach(signed, signByKey(stranger.privateKey, signed.digest, Buffer.from("{}")), signByKey(privateKey, signed.digest));
    await accepted(signed, byKey);
    await refused(signed, { ...byKey, secretRef: { name: "other" } }, /none of the keys/);
  });

test("[OC30] [OC31] signed with a key, as cosign 3 does, whether or not the registry knows referrers", async () => {
  for (const how of ["referrer", "tag"] as const) {
    const signed = await artifact();
    await attachBundle(signed, bundleByKey(keys.ec.privateKey, signed.digest), how);
    await accepted(signed, byKey);
    await refused(signed, { ...byKey, secretRef: { name: "other" } }, /none of the keys/);
  }
});

test("[OC30] what is not signed, or signed for something else, is refused before anything of it is fetched", async () => {
  const [unsigned, other] = [await artifact(), await artifact()];
  await refused(unsigned, byKey, /not signed/);
  await attach(other, signByKey(keys.ec.privateKey, `sha256:${"0".repeat(64)}`));
  await refused(other, byKey, /not signed/);
  await attachBundle(unsigned, bundleByKey(keys.ec.privateKey, `sha256:${"0".repeat(64)}`));
  await refused(unsigned, byKey, /not signed/);
  const attested = await artifact();
  await attachBundle(attested, bundleByKey(keys.ec.privateKey, attested.digest, "https://slsa.dev/provenance/v1"));
  await refused(attested, byKey, /not signed/);
  const changed = await artifact();
  const { annotations } = signByKey(keys.ec.privateKey, changed.digest);
  await attach(changed, { annotations, payload: Buffer.from(`${payloadOf(changed.digest)} `) });
  await refused(changed, byKey, /none of the keys/);
});

test("[OC30] what lies beside an artifact and is no signature is passed over", async () => {
  const signed = await artifact();
  const rubbish = [{ payload: Buffer.from("no"), annotations: {} }, { payload: Buffer.from("[]"), annotations: { "dev.cosignproject.cosign/signature": "AA==" } }, { payload: payloadOf(signed.digest), annotations: { "dev.cosignproject.cosign/signature": "???" } }];
  await attachBundle(signed, { mediaType: "none" });
  await attach(signed, ...rubbish);
  await refused(signed, byKey, /none of the keys/);
  await attach(signed, ...rubbish, signByKey(keys.ec.privateKey, signed.digest));
  await accepted(signed, byKey);
});

test("[OC32] signed without a key, by somebody who is named, as cosign 2 and 3 do", async () => {
  const signer = sigstore.signer(issuer, subject);
  const [second, third] = [await artifact(), await artifact()];
  await attach(second, sigstore.sign(signer, second.digest));
  await attachBundle(third, sigstore.bundle(signer, third.digest));
  for (const signed of [second, third]) {
    await accepted(signed, keyless());
    await accepted(signed, keyless({ matchOIDCIdentity: undefined }));
    await refused(signed, keyless({ matchOIDCIdentity: [{ issuer: "^https://token\\.example\\.com$", subject: "/team/other/" }] }), /none of spec\.verify\.matchOIDCIdentity is "https:\/\/git\.example\.com/);
    await refused(signed, keyless({ trustedRootSecretRef: { name: "other root" } }), /no matching signatures/);
  }
});

test("[OC32] whom no authority, or no log, vouches for", async () => {
  const foreign = await artifact();
  await attach(foreign, new Sigstore().sign(new Sigstore().signer(issuer, subject), foreign.digest));
  await refused(foreign, keyless(), /certificate chain/);
  const unlogged = await artifact();
  await attach(unlogged, sigstore.sign(sigstore.signer(issuer, subject, { logged: false }), unlogged.digest));
  await refused(unlogged, keyless(), /SCT/);
  const early = await artifact();
  await attach(early, sigstore.sign(sigstore.signer(issuer, subject), early.digest, { integratedTime: Date.parse("2019-01-01") / 1000 }));
  await refused(early, keyless(), /chain|expired/);
  const silent = await artifact();
  const { annotations: { "dev.sigstore.cosign/bundle": entry, ...rest }, payload } = sigstore.sign(sigstore.signer(issuer, subject), silent.digest);
  await attach(silent, { payload, annotations: rest });
  await refused(silent, keyless(), /no transparency log/);
  const forged = await artifact();
  const later = JSON.parse(entry ?? "") as { Payload: { integratedTime: number } };
  later.Payload.integratedTime++;
  await attach(forged, { payload: payloadOf(forged.digest), annotations: { ...sigstore.sign(sigstore.signer(issuer, subject), forged.digest).annotations, "dev.sigstore.cosign/bundle": JSON.stringify(later) } });
  await refused(forged, keyless(), /no matching signatures/);
  const keyed = await artifact();
  await attach(keyed, signByKey(keys.ec.privateKey, keyed.digest));
  await refused(keyed, keyless(), /signed with a key/);
});

const unreadable: { what: string; verify: Verification; detail: RegExp }[] = [
  { what: "no such Secret", verify: { provider: "cosign", secretRef: { name: "gone" } }, detail: /Secret\/apps\/gone not found/ },
  { what: "a Secret without keys", verify: { provider: "cosign", secretRef: { name: "empty" } }, detail: /no public key/ },
  { what: "a key that is none", verify: { provider: "cosign", secretRef: { name: "broken" } }, detail: /a\.pub .* is no public key/ },
  { what: "a Secret without a root", verify: keyless({ trustedRootSecretRef: { name: "empty" } }), detail: /holds no trusted_root\.json/ },
  { what: "a root that is none", verify: keyless({ trustedRootSecretRef: { name: "broken root" } }), detail: /cannot be read/ },
  { what: "a pattern that is none", verify: keyless({ matchOIDCIdentity: [{ issuer: "(", subject: "." }] }), detail: /matchOIDCIdentity\[0\]\.issuer/ },
];
for (const { what, verify, detail } of unreadable)
  test(`[OC33] ${what} is said so, and nothing is fetched`, async () => refused(await artifact(), verify, detail));

test("[OC33] the public root: where it cannot be had that is said, and tried again a minute later", async () => {
  const root = new PublicRoot({ mirrorURL: "http://127.0.0.1:9" });
  const atMs = 1_000_000;
  const failed = (error: unknown) => error instanceof NotGood && /trustedRootSecretRef/.test(error.message);
  const first = root.get(atMs);
  await assert.rejects(first, failed);
  assert.equal(root.get(atMs + 30_000), first);
  const second = root.get(atMs + 60_000);
  assert.notEqual(second, first);
  await assert.rejects(second, failed);
});
