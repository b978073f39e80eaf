/** Files that a ServiceAccount's identity opens: the tokens are the API server's, and the Vault asks it whether they are good. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { load } from "js-yaml";
import { Clouds } from "#services/clients/cloud/identity.ts";
import { accountsOf } from "#services/cluster/accounts.ts";
import { getData } from "#services/cluster/objects.ts";
import { openBed, type Bed } from "#services/cluster/sample-objects.ts";
import { Decryptor } from "#services/decrypt/decryptor.ts";
import { accounts, startKeyServices, type Request } from "#services/decrypt/fixtures/key-services.ts";
import { sealed } from "#services/decrypt/fixtures/sealed-file.ts";
import { decryptionOf, type DecryptionPorts } from "#services/worker/effects/decryption.ts";
import { cluster, type Cluster } from "../kit/cluster.ts";

const address = "http://vault.test:8200"; // as it stands in the file
let real: Cluster, bed: Bed, namespace: string, ports: DecryptionPorts;
let services: Awaited<ReturnType<typeof startKeyServices>>;
const reviewed: { user: string; audiences: string[] }[] = [];

/** As Vault's auth/kubernetes does, for one role. */
async function login({ path, body }: Request) {
  if (path !== "/v1/auth/kubernetes/login") return undefined;
  const { role, jwt } = JSON.parse(body) as Record<string, string>;
  const { body: review } = await bed.client.request<{ status: { authenticated?: boolean; audiences?: string[]; user?: { username?: string } } }>({
    method: "POST", path: "/apis/authentication.k8s.io/v1/tokenreviews",
    body: { apiVersion: "authentication.k8s.io/v1", kind: "TokenReview", spec: { token: jwt, audiences: [address] } },
  });
  const { authenticated, audiences = [], user } = review.status;
  reviewed.push({ user: user?.username ?? "", audiences });
  const isGood = authenticated && user?.username === `system:serviceaccount:${namespace}:reader` && role === `${namespace}_reader`;
  return isGood ? { status: 200, json: { auth: { client_token: accounts.vault.token } } } : { status: 403, json: { errors: ["permission denied"] } };
}

before(async () => {
  real = await cluster();
  [namespace, bed, services] = [await real.namespace("decryption"), await openBed(real.kubeconfig), await startKeyServices(login)];
  process.env["http_proxy"] = services.origin; // the way to the Vault, for the threads that decrypt
  await real.kubectl(["create", "serviceaccount", "reader", "-n", namespace]);
  await real.kubectl(["create", "configmap", "vaults", "-n", namespace, `--from-literal=config.yaml=instances: [{ address: "${address}", loginPath: auth/kubernetes/login }]`]);
  ports = {
    decryptor: new Decryptor({ limits: { idleMs: 0 } }), clouds: new Clouds({ env: {}, accounts: accountsOf(bed.client) }), secret: () => assert.fail("there is no Secret"),
    vaults: { namespace, name: "vaults", read: async (where, name) => (await getData(bed.client, { kind: "ConfigMap", namespace: where, name }))?.data },
  };
});
after(async () => {
  delete process.env["http_proxy"];
  await Promise.all([bed.close(), services.close(), (ports.decryptor as Decryptor).close()]);
});

const object = load(sealed("vault.yaml").toString());
async function opened(decryption: object, more: Partial<DecryptionPorts> = {}): Promise<unknown> {
  const unit = { kind: "kustomization", namespace, name: "shop" };
  const made = decryptionOf(unit, { decryption: { provider: "sops", ...decryption } } as never, { ...ports, ...more });
  const tree = { files: new Map([["a.yaml", sealed("vault.yaml")]]) };
  const [first] = (await made?.openObjects({ tree: tree as never, read: ["a.yaml"], objects: [object] }, AbortSignal.timeout(60_000))) ?? [];
  return first?.object;
}

test("[SO28] a ServiceAccount logs in at a Vault that the operator trusts, and what it may open is opened", async () => {
  assert.deepEqual(Object.keys((await opened({ serviceAccountName: "reader" })) as object).includes("sops"), false);
  assert.deepEqual(reviewed.splice(0), [{ user: `system:serviceaccount:${namespace}:reader`, audiences: [address] }]);
  assert.ok(await opened({}, { defaultAccount: "reader" }), "the account of those that name none");
});

test("[SO28] another account, an address that the operator does not list, no list, and no account open nothing", async () => {
  await assert.rejects(opened({ serviceAccountName: "default" }), { code: "DecryptionKeyMissing", detail: /vault\.test:8200 answered 403/ });
  await assert.rejects(opened({ serviceAccountName: "nobody" }), { code: "DecryptionKeyMissing", detail: /ServiceAccount\/.*\/nobody: not found/ });
  reviewed.length = 0;
  const unlisted = { vaults: { namespace, name: "vaults", read: async () => ({ "config.yaml": Buffer.from("instances: [{ address: 'https://other.test', loginPath: auth/kubernetes/login }]") }) } };
  await assert.rejects(opened({ serviceAccountName: "reader" }, unlisted), { code: "DecryptionKeyMissing", detail: /not among those of --sops-vault-configmap/ });
  await assert.rejects(opened({ serviceAccountName: "reader" }, { vaults: undefined }), { code: "DecryptionKeyMissing", detail: /not among those of --sops-vault-configmap/ });
  for (const text of ["{", "instances: 1", "instances: [{ address: a, loginPath: ../../sys }]"]) {
    const broken = { vaults: { namespace, name: "vaults", read: async () => ({ "config.yaml": Buffer.from(text) }) } };
    await assert.rejects(opened({ serviceAccountName: "reader" }, broken), { code: "DecryptionKeyMissing", detail: /holds no config\.yaml with instances/ });
  }
  await assert.rejects(opened({}), { code: "DecryptionKeyMissing", detail: /the Secret holds no token of Vault/ });
  await assert.rejects(opened({ serviceAccountName: "a:b" }), { code: "InvalidObject" });
  assert.deepEqual(reviewed, []);
});
