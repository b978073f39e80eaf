/** What the flags that workers share become. */
import assert from "node:assert/strict";
import test from "node:test";
import type { OptionValues } from "./command.ts";
import { FakeShell } from "./fake-shell.ts";
import { settingsOf } from "./settings.ts";

const kubeconfigs: { options: OptionValues; settings: object }[] = [
  { options: {}, settings: {} },
  { options: { tenancy: "locked" }, settings: { defaultAccount: "default" } },
  { options: { tenancy: "locked", defaultKubeconfigServiceAccount: "robot" }, settings: { defaultAccount: "robot" } },
  { options: { insecureKubeconfigExec: true, insecureKubeconfigTls: true }, settings: { exec: true, insecureTls: true } },
];
for (const { options, settings } of kubeconfigs)
  test(`[TN34] ${JSON.stringify(options)} -> kubeconfigs ${JSON.stringify(settings)}`, () =>
    assert.deepEqual(settingsOf({ words: [], options, shell: new FakeShell() }, "127.0.0.1:0").kubeconfigs, settings));

const mib = 2 ** 20;
for (const { options, artifacts, maxBytes, refused } of [
  { options: {}, maxBytes: 512 * mib },
  { options: { artifacts: "s3://flotilla/one?region=eu-west-1", artifactCache: "64" }, artifacts: { bucket: "flotilla", prefix: "one", origin: "https://s3.eu-west-1.amazonaws.com", region: "eu-west-1" }, maxBytes: 64 * mib },
  { options: { artifactCache: "0" } },
  { options: { artifactCache: "many" }, refused: /--artifact-cache: not a number of MiB: many/ },
  { options: { artifacts: "/var/artifacts" }, refused: /--artifacts: not / },
] satisfies { options: OptionValues; artifacts?: object; maxBytes?: number; refused?: RegExp }[] as { options: OptionValues; artifacts?: object; maxBytes?: number; refused?: RegExp }[])
  test(`[SR51] [SR48] ${JSON.stringify(options)} -> where artifacts are kept`, () => {
    const read = () => settingsOf({ words: [], options, shell: new FakeShell() }, "127.0.0.1:0");
    if (refused) return assert.throws(read, refused);
    const found = read();
    assert.deepEqual([found.artifacts, found.artifactCache?.maxBytes], [artifacts, maxBytes]);
  });

const open = { noCrossNamespaceRefs: false, noRemoteBases: false };
const locked = { defaultServiceAccount: "default", noCrossNamespaceRefs: true, noRemoteBases: true };

const rows: { options: OptionValues; tenancy: object }[] = [
  { options: {}, tenancy: open },
  { options: { tenancy: "open" }, tenancy: open },
  { options: { tenancy: "locked" }, tenancy: locked },
  { options: { tenancy: "locked", defaultServiceAccount: "robot" }, tenancy: { ...locked, defaultServiceAccount: "robot" } },
  { options: { defaultServiceAccount: "robot" }, tenancy: { ...open, defaultServiceAccount: "robot" } },
  { options: { crossNamespaceRefs: false }, tenancy: { ...open, noCrossNamespaceRefs: true } },
  { options: { remoteBases: false }, tenancy: { ...open, noRemoteBases: true } },
];
for (const { options, tenancy } of rows)
  test(`[TN11] ${JSON.stringify(options)} -> ${JSON.stringify(tenancy)}`, () =>
    assert.deepEqual(settingsOf({ words: [], options, shell: new FakeShell() }, "127.0.0.1:0").tenancy, tenancy));

for (const { options, account } of [
  { options: {}, account: undefined }, { options: { tenancy: "locked" }, account: "default" },
  { options: { tenancy: "locked", defaultDecryptionServiceAccount: "robot" }, account: "robot" }, { options: { defaultDecryptionServiceAccount: "robot" }, account: "robot" },
] satisfies { options: OptionValues; account: string | undefined }[])
  test(`[TN11] [SO27] ${JSON.stringify(options)} -> decryption as ${account ?? "nobody"}`, () =>
    assert.equal(settingsOf({ words: [], options, shell: new FakeShell() }, "127.0.0.1:0").decryptionAccount, account));

const bases: { options: OptionValues; remoteBases: object | undefined }[] = [
  { options: {}, remoteBases: undefined },
  { options: { allowRemoteBases: true }, remoteBases: { hosts: [] } },
  { options: { allowRemoteBases: true, remoteBaseHosts: "Git.example, 127.0.0.1:3000" }, remoteBases: { hosts: ["git.example", "127.0.0.1:3000"] } },
  { options: { allowRemoteBases: true, remoteBases: false }, remoteBases: undefined },
  { options: { allowRemoteBases: true, tenancy: "locked" }, remoteBases: undefined },
];
for (const { options, remoteBases } of bases)
  test(`[RN62] ${JSON.stringify(options)} -> remote bases ${JSON.stringify(remoteBases)}`, () =>
    assert.deepEqual(settingsOf({ words: [], options, shell: new FakeShell() }, "127.0.0.1:0").remoteBases, remoteBases));

for (const options of [{ remoteBaseHosts: "git.example" }, { allowRemoteBases: true, remoteBaseHosts: "https://git.example" }, { allowRemoteBases: true, remoteBaseHosts: "a/b" }])
  test(`[RN62] ${JSON.stringify(options)} is a mistake`, () =>
    assert.throws(() => settingsOf({ words: [], options, shell: new FakeShell() }, "127.0.0.1:0"), /--remote-base-hosts/));

const secrets: { option: string; runtime?: string; secret: object }[] = [
  { option: "sops-age", secret: { namespace: "flux-system", name: "sops-age" } },
  { option: "sops-age", runtime: "flotilla", secret: { namespace: "flotilla", name: "sops-age" } },
  { option: "keys/sops.age", runtime: "flotilla", secret: { namespace: "keys", name: "sops.age" } },
];
for (const { option, runtime, secret } of secrets)
  test(`[SO19] --sops-age-secret ${option} in ${runtime ?? "no namespace that is known"} -> ${JSON.stringify(secret)}`, () => {
    const shell = Object.assign(new FakeShell(), { env: runtime ? { RUNTIME_NAMESPACE: runtime } : {} });
    assert.deepEqual(settingsOf({ words: [], options: { sopsAgeSecret: option }, shell }, "127.0.0.1:0").sopsAgeSecret, secret);
  });
