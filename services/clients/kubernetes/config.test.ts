import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { loadClusterConfig } from "./config.ts";

let dir: string;
before(async () => {
  dir = await mkdtemp(join(tmpdir(), "flotilla-config-"));
  await writeFile(join(dir, "ca.pem"), "CA");
  await writeFile(join(dir, "token"), "from-file\n");
});
after(() => rm(dir, { recursive: true }));

const kubeconfig = (user: string, cluster = "server: https://one.example:6443/", context = "") => `
apiVersion: v1
kind: Config
current-context: main
clusters: [{ name: c, cluster: { ${cluster} } }]
users: [{ name: u, user: { ${user} } }]
contexts:
  - { name: main, context: { cluster: c, user: u, namespace: apps } }
  - { name: other, context: { cluster: c, user: u } }
${context}`;

async function load(text: string, context?: string) {
  const path = join(dir, "kubeconfig");
  await writeFile(path, text);
  return loadClusterConfig({ path, ...(context && { context }), env: {} });
}

const authorizations = [
  { name: "a token", user: "token: abc", is: "Bearer abc" },
  { name: "a token file beside the kubeconfig", user: "tokenFile: token", is: "Bearer from-file" },
  { name: "a token file before a token", user: "token: abc, tokenFile: token", is: "Bearer from-file" },
  { name: "name and password", user: "username: a, password: 'b:c'", is: `Basic ${Buffer.from("a:b:c").toString("base64")}` },
  { name: "a certificate alone", user: "client-certificate-data: Q0VSVA==, client-key-data: S0VZ", is: undefined },
];
for (const { name, user, is } of authorizations)
  test(`[AP36] ${name}`, async () => assert.equal(await (await load(kubeconfig(user))).authorization?.(), is));

test("[AP36] server, certificates and names come from the chosen context", async () => {
  const config = await load(kubeconfig("client-certificate-data: Q0VSVA==, client-key-data: S0VZ", "server: https://one.example:6443/k/, certificate-authority: ca.pem, tls-server-name: api"));
  const { authorization: _, ...rest } = config;
  assert.deepEqual(rest, { server: "https://one.example:6443/k", ca: "CA", cert: "CERT", key: "KEY", serverName: "api", namespace: "apps" });
  assert.equal((await load(kubeconfig("token: abc"), "other")).namespace, undefined);
});

test("[AP36] a certificate is skipped only where the kubeconfig says so", async () => {
  assert.equal((await load(kubeconfig("token: a"))).insecure, undefined);
  assert.equal((await load(kubeconfig("token: a", "server: https://x, insecure-skip-tls-verify: true"))).insecure, true);
});

test("[AP36] several files are merged as kubectl does: the first to name a thing defines it", async () => {
  const [one, two] = [join(dir, "one"), join(dir, "two")];
  await writeFile(one, "current-context: main\ncontexts: [{ name: main, context: { cluster: c, user: u } }]");
  await writeFile(two, kubeconfig("token: abc", "server: https://two.example"));
  const config = await loadClusterConfig({ env: { KUBECONFIG: `${one}:${two}` } });
  assert.deepEqual([config.server, config.namespace], ["https://two.example", undefined]);
});

const broken = [
  { name: "no file", path: "not-there", says: /cannot be read \(ENOENT\)/ },
  { name: "not YAML", text: "a: [", says: /is not YAML/ },
  { name: "an unknown context", text: "current-context: x", says: /no context named "x"/ },
];
for (const { name, path, text = "", says } of broken)
  test(`[AP36] ${name} is told by file, without its contents`, async () => {
    const file = join(dir, path ?? "broken");
    if (!path) await writeFile(file, text);
    await assert.rejects(loadClusterConfig({ path: file, env: {} }), { code: "ClusterUnreachable", subject: file, message: says });
  });

test("[AP36] with nothing to go by, the ways are named", () =>
  assert.rejects(loadClusterConfig({ env: {} }), { code: "ClusterUnreachable", message: /KUBECONFIG/ }));

test("[AP36] a credential plugin is run, and what it answers is sent", async () => {
  const credential = JSON.stringify({ apiVersion: "client.authentication.k8s.io/v1", kind: "ExecCredential", status: { token: "from-plugin" } });
  const script = join(dir, "plugin.mjs");
  await writeFile(script, `process.stdout.write(${JSON.stringify(credential)})`);
  const exec = `exec: { apiVersion: client.authentication.k8s.io/v1, command: ${JSON.stringify(process.execPath)}, args: [${JSON.stringify(script)}], interactiveMode: Never }`;
  assert.equal(await (await load(kubeconfig(exec))).authorization?.(), "Bearer from-plugin");
});
