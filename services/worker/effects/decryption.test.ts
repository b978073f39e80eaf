import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import test from "node:test";
import { Fault } from "#protocol/errors/fault.ts";
import { Clouds } from "#services/clients/cloud/identity.ts";
import type { ReadKeys } from "#services/decrypt/decryptor.ts";
import type { AskGrant } from "#services/decrypt/keys/grants.ts";
import { fakeAccounts, startClouds, stsAnswer } from "../../../test/kit/clouds.ts";
import { decryptionOf, type DecryptionPorts } from "./decryption.ts";

const unit = { kind: "kustomization", namespace: "apps", name: "shop" };
const { signal } = new AbortController();
type Spec = Parameters<typeof decryptionOf>[1];
const specOf = (decryption?: object) => ({ decryption }) as unknown as Spec;

/** Which Secrets are read, and what the decryptor gets of them. */
async function keysOf(decryption: object, { secrets, ageSecret }: { secrets: Record<string, Record<string, string>>; ageSecret?: { namespace: string; name: string } }) {
  const read: string[] = [];
  let keys: ReadKeys | undefined;
  const ports: DecryptionPorts = {
    ageSecret,
    decryptor: { ignoreMac: false, openFiles: async (_build, given) => { keys = given; return { files: [], plain: [] }; }, openObjects: async () => [] },
    secret: async (namespace, name) => {
      read.push(`${namespace}/${name}`);
      const data = secrets[`${namespace}/${name}`];
      if (!data) throw new Fault("SecretMissing", `${namespace}/${name}`);
      return Object.fromEntries(Object.entries(data).map(([key, text]) => [key, Buffer.from(text)]));
    },
  };
  const made = decryptionOf(unit, specOf(decryption), ports);
  await made?.openFiles({ tree: {} as never, directory: "", components: [] }, signal);
  assert.deepEqual(read, [], "no Secret is read before there is something to decrypt");
  const names = Object.keys((await keys?.()) ?? {});
  await keys?.();
  return { read, names, settings: made?.settings };
}

const own = { provider: "sops", secretRef: { name: "keys" } };
const fallback = { namespace: "flux-system", name: "sops-age" };
const secrets = { "apps/keys": { "a.agekey": "x", "sops.aws-kms": "y" }, "flux-system/sops-age": { "b.agekey": "x", "sops.aws-kms": "y", "c.asc": "z" } };

test("[SO19] keys come from the unit's own namespace, anew each time", async () =>
  assert.deepEqual(await keysOf(own, { secrets, ageSecret: fallback }), {
    read: ["apps/keys", "apps/keys"], names: ["a.agekey", "sops.aws-kms"], settings: { provider: "sops", secret: { namespace: "apps", name: "keys" }, ignoreMac: false },
  }));

test("[SO19] without a Secret of its own a unit may use the age keys of all, and nothing else that lies beside them", async () =>
  assert.deepEqual(await keysOf({ provider: "sops" }, { secrets, ageSecret: fallback }), {
    read: ["flux-system/sops-age", "flux-system/sops-age"], names: ["b.agekey"], settings: { provider: "sops", secret: fallback, ignoreMac: false },
  }));

test("[SO19] without either there are no keys", async () => assert.deepEqual((await keysOf({ provider: "sops" }, { secrets })).names, []));

test("[SO19] a Secret that does not exist is the build's failure, not the source's", () =>
  assert.rejects(keysOf(own, { secrets: {} }), (thrown: unknown) => thrown instanceof Fault && thrown.code === "DecryptionSecretMissing" && thrown.message.startsWith("Secret/apps/keys: not found")));

test("[SO19] a unit that asks for none has none", () =>
  assert.equal(decryptionOf(unit, specOf(), { decryptor: {} as never, secret: async () => ({}) }), undefined));

const annotations = { "eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/reader", "azure.workload.identity/tenant-id": "t", "azure.workload.identity/client-id": "c", "gcp.auth.fluxcd.io/workload-identity-provider": "projects/1/locations/global/workloadIdentityPools/a/providers/b" };

test("[SO27] the account's identity in the cloud of the key is what is given, and the worker's own only where the operator says so", async () => {
  const services = await startClouds();
  Object.assign(services.answers, {
    "sts.eu-west-1.amazonaws.com/": stsAnswer("ASIA", new Date(Date.now() + 3_600_000).toISOString()),
    "login.microsoftonline.com/t/": JSON.stringify({ access_token: "azure", expires_in: 3_600 }), "sts.googleapis.com/": JSON.stringify({ access_token: "google", expires_in: 3_600 }),
  });
  const clouds = new Clouds({ env: {}, reach: services.reach, accounts: fakeAccounts({ "apps/reader": { annotations } }) });
  const given = async (decryption: object, more: Partial<DecryptionPorts> = {}) => {
    const asks: (AskGrant | undefined)[] = [];
    await decryptionOf(unit, specOf({ provider: "sops", ...decryption }), {
      decryptor: { ignoreMac: false, openFiles: async (_build, _keys, _signal, asking) => { asks.push(asking); return { files: [], plain: [] }; }, openObjects: async () => [] },
      secret: async () => ({}), clouds, ...more,
    })?.openFiles({ tree: {} as never, directory: "", components: [] }, signal);
    return asks[0];
  };
  for (const asking of [await given({ serviceAccountName: "reader" }), await given({}, { defaultAccount: "reader" })]) {
    assert.deepEqual(await asking?.({ service: "aws", region: "eu-west-1" }), { id: "ASIA", secret: "s3cret", token: "session" });
    assert.deepEqual(await asking?.({ service: "azure", scope: "https://vault.azure.net/.default" }), { token: "azure" });
    assert.deepEqual(await asking?.({ service: "gcp" }), { token: "google" });
  }
  Object.assign(services.answers, { "metadata.google.internal/": JSON.stringify({ access_token: "own", expires_in: 3_600 }) });
  const own = await given({}, { ownIdentity: true });
  assert.deepEqual(await own?.({ service: "gcp" }), { token: "own" });
  await assert.rejects(own?.({ service: "vault", address: "https://vault.test" }) ?? Promise.resolve(), /no ServiceAccount is named/);
  assert.deepEqual(await (await given({}, { ownIdentity: true, defaultAccount: "reader" }))?.({ service: "gcp" }), { token: "google" }, "an account goes before it");
  assert.deepEqual([await given({}), await given({ serviceAccountName: "reader" }, { clouds: undefined })], [undefined, undefined]);
  await services.close();
});
