/** Encrypted files in Git, on their way to Secrets; the keys are in the cluster. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import { clear, sealed, testKeys } from "#services/decrypt/fixtures/sealed-file.ts";
import { eventually } from "../../../deploy/local/eventually.ts";
import { filesWith } from "../kept.ts";
import { configMap, file } from "../objects.ts";
import type { System } from "../system.ts";
import { conditionOf, type Tenant } from "../tenant.ts";

const text = (name: string) => sealed(name).toString();
const decryption = { decryption: { provider: "sops", secretRef: { name: "sops-keys" } } };
const files = {
  "shop/kustomization.yaml": "resources: [secret.yaml, settings.yaml]\nsecretGenerator: [{ name: app, envs: [app.env] }]\ngeneratorOptions: { disableNameSuffixHash: true }\n",
  "shop/secret.yaml": text("secret.yaml"), "shop/app.env": text("app.env"), "shop/settings.yaml": file(configMap("settings", { colour: "blue" })),
};

const createKeys = (t: Tenant, ...names: string[]) =>
  t.create("Secret", "sops-keys", { data: Object.fromEntries(Object.entries(testKeys(...names)).map(([name, key]) => [name, key.toString("base64")])) });

async function valueOf(t: Tenant, secret: string, key: string): Promise<string | undefined> {
  const object = (await t.find("Secret", secret)) as { data?: Record<string, string> } | undefined;
  return object?.data && Buffer.from(object.data[key] ?? "", "base64").toString();
}

const messageOf = (object: Parameters<typeof conditionOf>[0]) => conditionOf(object, "Ready")?.message ?? "";

/** Nothing that was decrypted, or decrypts, was said or kept anywhere. */
function assertUnsaid(t: Tenant): void {
  const words = ["correct horse", Buffer.from("correct horse battery staple").toString("base64"), "AGE-SECRET-KEY", clear("app.env").toString().split("\n")[2] ?? ""];
  const said = JSON.stringify([t.system.flotilla.logs(), t.told("Kustomization", "shop"), t.seen("Kustomization", "shop")]);
  for (const word of words) assert.ok(!said.includes(word), "a secret was said");
  assert.deepEqual(filesWith(words, t.system.flotilla.data), []);
}

export function decryptionCases(system: System): void {
  test("[SO26] encrypted files of a commit become Secrets in the cluster, and an edit of one is put back", async () => {
    const t = await system.tenant();
    await createKeys(t, "age.agekey");
    const sha = await t.commit(files);
    await t.source();
    await t.unit("shop", decryption);
    await t.ready("Kustomization", "shop", sha);
    assert.equal(await valueOf(t, "shop", "password"), "correct horse battery staple");
    assert.equal(await valueOf(t, "app", "UNICODE"), "grüße");
    await t.edit("Secret", "shop", { data: { password: "eA==" } });
    await eventually("the password is back", async () => (await valueOf(t, "shop", "password")) === "correct horse battery staple");
    assertUnsaid(t);
  });

  test("[SO26] a unit whose key is wrong says which file and what to do, leaves what is there, and heals when the Secret is right", async () => {
    const t = await system.tenant();
    const sha = await t.commit({ "shop/settings.yaml": file(configMap("settings", { colour: "blue" })) });
    await createKeys(t, "age-stranger.agekey");
    await t.source();
    await t.unit("shop", decryption);
    await t.ready("Kustomization", "shop", sha);
    const next = await t.push({ "shop/kustomization.yaml": "resources: [secret.yaml]\n", "shop/secret.yaml": text("secret.yaml") });
    const failed = await t.failing("Kustomization", "shop", "BuildFailed");
    assert.match(messageOf(failed), /Secret\/.*shop: cannot be decrypted: age age1.*no age key of the Secret opens it.*sops updatekeys/s);
    assert.ok(await t.find("ConfigMap", "settings"), "nothing is pruned by a build that failed");
    assert.equal(await t.find("Secret", "shop"), undefined);
    await t.edit("Secret", "sops-keys", { stringData: { "age.agekey": testKeys("age.agekey")["age.agekey"]?.toString() } });
    await t.ready("Kustomization", "shop", next);
    assert.equal(await valueOf(t, "shop", "user"), "shop");
    assert.equal(await t.find("ConfigMap", "settings"), undefined);
    assertUnsaid(t);
  });

  const wrong = [
    { what: "no Secret with keys", files: { "shop/secret.yaml": text("secret.yaml") }, keys: [], says: /Secret\/.*\/sops-keys: not found.*spec\.decryption\.secretRef/s },
    { what: "a broken MAC", files: { "shop/secret.yaml": text("secret.yaml").replace("type: Opaque", "type: Other") }, keys: ["age.agekey"], says: /does not match its MAC.*--sops-ignore-mac/s },
    { what: "a generator's file that was damaged", files: { ...files, "shop/app.env": text("app.env").replace("USER=", "USE=") }, keys: ["age.agekey"], says: /^shop\/app\.env: USE was changed or moved since it was encrypted/ },
  ];
  for (const { what, files: committed, keys, says } of wrong)
    test(`[SO25] ${what}: BuildFailed, and nothing is applied`, async () => {
      const t = await system.tenant();
      if (keys.length > 0) await createKeys(t, ...keys);
      await t.commit(committed);
      await t.source();
      await t.unit("shop", decryption);
      assert.match(messageOf(await t.failing("Kustomization", "shop", "BuildFailed")), says);
      assert.equal(await t.find("Secret", "shop"), undefined);
      assertUnsaid(t);
    });

  test("[SO18] an encrypted Secret without spec.decryption: BuildFailed, and nothing is applied", async () => {
    const t = await system.tenant();
    await t.commit({ "shop/secret.yaml": text("secret.yaml"), "shop/settings.yaml": file(configMap("settings", {})) });
    await t.source();
    await t.unit("shop");
    assert.match(messageOf(await t.failing("Kustomization", "shop", "BuildFailed")), /is SOPS encrypted.*set spec\.decryption/s);
    assert.equal(await t.find("ConfigMap", "settings"), undefined);
  });
}
