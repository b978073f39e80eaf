/** ServiceAccounts that ask clouds, on a real API server: its token requests, its annotations, its refusals. */
import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";
import { Clouds } from "#services/clients/cloud/identity.ts";
import { fieldsOf, startClouds, stsAnswer, type FakeClouds } from "../../test/kit/clouds.ts";
import { party } from "../../test/kit/certificates.ts";
import { cluster, type Cluster } from "../../test/kit/cluster.ts";
import { identityOf } from "../worker/effects/cloud-identity.ts";
import { accountsOf } from "./accounts.ts";
import { locate } from "./kubeconfig.ts";
import { openBed, type Bed } from "./sample-objects.ts";

let real: Cluster;
let bed: Bed;
let namespace: string;
let clouds: FakeClouds;
let all: Clouds;
before(async () => {
  [real, clouds] = await Promise.all([cluster(), startClouds()]);
  [namespace, bed] = await Promise.all([real.namespace("accounts"), openBed(real.kubeconfig)]);
  all = new Clouds({ env: {}, reach: clouds.reach, accounts: accountsOf(bed.client) });
  await real.kubectl(["apply", "-n", namespace, "-f", "-"], JSON.stringify({
    apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "reader", annotations: { "eks.amazonaws.com/role-arn": "arn:aws:iam::123456789012:role/reader", "azure.workload.identity/tenant-id": "tenant", "azure.workload.identity/client-id": "client" } },
  }));
});
beforeEach(() => { clouds.asked.length = 0; });
after(async () => {
  await Promise.all([bed.close(), clouds.close()]);
});

const shown = "oci://registry/shop";
const asking = () => ({ shown, signal: AbortSignal.timeout(30_000) });
const claimsOf = (token = "") => JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString()) as { aud: string[]; sub: string };
const key = (where: string) => ({ kind: "source", namespace: where, name: "shop" });

test("[ID1] [ID2] the API server vouches for the account, to one cloud at a time", async () => {
  Object.assign(clouds.answers, { "sts.eu-west-1.amazonaws.com/": stsAnswer("ASIA", new Date(Date.now() + 3_600_000).toISOString()), "login.microsoftonline.com/tenant/": JSON.stringify({ access_token: "aad", expires_in: 3_600 }) });
  const identity = identityOf(all, key(namespace), "reader", {});
  const { value, livesMs } = await identity.aws("eu-west-1", asking());
  assert.deepEqual([value.id, livesMs > 20 * 60_000, livesMs <= 30 * 60_000], ["ASIA", true, true]);
  await identity.azure("https://vault.azure.net/.default", asking());
  const [sts, directory] = clouds.asked.map(fieldsOf);
  assert.deepEqual(claimsOf(sts?.["WebIdentityToken"]).aud, ["sts.amazonaws.com"]);
  assert.deepEqual(claimsOf(directory?.["client_assertion"]).aud, ["api://AzureADTokenExchange"]);
  assert.equal(claimsOf(sts?.["WebIdentityToken"]).sub, `system:serviceaccount:${namespace}:reader`);
});

test("[ID4] a kept token costs one look at the account; a changed annotation and an account made anew have others", async () => {
  clouds.answers["sts.eu-west-2.amazonaws.com/"] = stsAnswer("ASIA", new Date(Date.now() + 3_600_000).toISOString());
  const identity = identityOf(all, key(namespace), "reader", {});
  await identity.aws("eu-west-2", asking());
  bed.seen.length = 0;
  await identity.aws("eu-west-2", asking());
  assert.deepEqual([bed.seen.length, clouds.asked.length], [1, 1]);
  await real.kubectl(["annotate", "serviceaccount", "reader", "-n", namespace, "--overwrite", "eks.amazonaws.com/role-arn=arn:aws:iam::123456789012:role/other"]);
  await identity.aws("eu-west-2", asking());
  assert.equal(fieldsOf(clouds.asked[1]!)["RoleArn"], "arn:aws:iam::123456789012:role/other");
  await real.kubectl(["delete", "serviceaccount", "reader", "-n", namespace]);
  await assert.rejects(identity.aws("eu-west-2", asking()), { code: "AccountMissing", subject: `ServiceAccount/${namespace}/reader` });
});

test("[ID8] the operator's account stands for what names none, in the object's own namespace; without one it is the worker", async () => {
  clouds.answers["metadata.google.internal/"] = JSON.stringify({ access_token: "own", expires_in: 3_600 });
  assert.equal((await identityOf(all, key(namespace), undefined, {}).gcp(asking())).value, "own");
  const locked = { defaultServiceAccount: "default" };
  assert.deepEqual([identityOf(all, key("a"), undefined, locked).account, identityOf(all, key("a"), "reader", locked).account], ["a/default", "a/reader"]);
  await assert.rejects(identityOf(all, key(namespace), undefined, locked).aws("eu-west-1", asking()), { code: "ProviderFailed", detail: /role-arn/ });
  assert.throws(() => identityOf(all, key("a"), "b:reader", {}), { code: "InvalidObject" });
  await assert.rejects(identityOf(all, key(namespace), undefined, {}).hub(["x"], asking()), { code: "ProviderFailed" });
});

test("[TN50] [TN51] a cluster by its name alone: the cloud says where it is, and the worker's own identity may be shown there", async () => {
  const ca = party("authority").certificate;
  const cluster = "projects/p/locations/europe-west1/clusters/shop";
  Object.assign(clouds.answers, {
    "metadata.google.internal/": JSON.stringify({ access_token: "own", expires_in: 3_600 }),
    [`container.googleapis.com/v1/${cluster}`]: JSON.stringify({ endpoint: "10.0.0.1", masterAuth: { clusterCaCertificate: Buffer.from(ca).toString("base64") } }),
  });
  const apply = (data: object) => real.kubectl(["apply", "-n", namespace, "-f", "-"], JSON.stringify({ apiVersion: "v1", kind: "ConfigMap", metadata: { name: "elsewhere" }, data }));
  const locateIt = () => locate(bed.client, namespace, { configMapRef: { name: "elsewhere" } }, { clouds: all });
  await apply({ provider: "gcp", cluster });
  const { config, digest } = await locateIt();
  assert.deepEqual([config.server, config.ca, await config.authorization?.()], ["https://10.0.0.1", ca, "Bearer own"]);
  assert.equal((await locateIt()).digest, digest);
  await apply({ provider: "gcp", cluster, address: "https://evil.example" });
  await assert.rejects(locateIt(), { code: "KubeConfigInvalid", detail: /own identity is not given away/ });
  await apply({ provider: "gcp", cluster, serviceAccountName: "../default" });
  await assert.rejects(locateIt(), { code: "KubeConfigInvalid", detail: /not the name of a ServiceAccount/ });
});
