/** What a kubeconfig of a tenant may say, and what it may never lead to. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Fault } from "#protocol/errors/fault.ts";
import { parseKubeconfig, type Allowed } from "./kubeconfig.ts";

const secretToken = "very-secret-token";
const base64 = (text: string) => Buffer.from(text).toString("base64");
type Fields = Record<string, unknown>;

const kubeconfig = (cluster: Fields = {}, user: Fields = { token: secretToken }, rest: Fields = {}): string => JSON.stringify({
  apiVersion: "v1", kind: "Config", "current-context": "remote",
  clusters: [{ name: "other", cluster: { server: "https://wrong" } }, { name: "c", cluster: { server: "https://api.example:6443", ...cluster } }],
  users: [{ name: "u", user }],
  contexts: [{ name: "remote", context: { cluster: "c", user: "u" } }],
  ...rest,
});

const parse = (text: string, allowed?: Allowed) => parseKubeconfig(text, "Secret/apps/remote", allowed);

test("[TN32] server, name and token are read from the current context", async () => {
  const { authorization, ...rest } = parse(kubeconfig({ "tls-server-name": "api.internal" }));
  assert.deepEqual(rest, { server: "https://api.example:6443", serverName: "api.internal" });
  assert.equal(await authorization?.(), `Bearer ${secretToken}`);
  assert.equal(parse(kubeconfig({ server: "https://proxy.example/clusters/a/" })).server, "https://proxy.example/clusters/a");
  const basic = parse(kubeconfig({}, { username: "u", password: "p" }));
  assert.equal(await basic.authorization?.(), `Basic ${base64("u:p")}`);
});

test("[TN33] what is inline wins over the name of a file beside it", () => {
  assert.equal(parse(kubeconfig({}, { token: secretToken, tokenFile: "/etc/passwd" })).server, "https://api.example:6443");
});

test("[TN34] with the operator's leave a plugin may run, and certificates go unchecked", () => {
  const exec = { exec: { apiVersion: "client.authentication.k8s.io/v1", command: "no-such-plugin" } };
  assert.ok(parse(kubeconfig({}, exec), { exec: true }).authorization);
  assert.equal(parse(kubeconfig({ "insecure-skip-tls-verify": true }), { insecureTls: true }).insecure, true);
  assert.equal(parse(kubeconfig({ server: "http://api.example" }), { insecureTls: true }).server, "http://api.example");
  assert.ok(parse(kubeconfig({}, { token: secretToken, ...exec })).authorization, "a token needs no plugin");
});

const bad: { id: string; why: string; text: string; says: RegExp }[] = [
  { id: "TN32", why: "no YAML", text: `{ token: ${secretToken}`, says: /is not YAML/ },
  { id: "TN32", why: "no mapping", text: secretToken, says: /current-context is missing/ },
  { id: "TN32", why: "nothing", text: "", says: /is not YAML/ },
  { id: "TN32", why: "no current context", text: kubeconfig({}, {}, { "current-context": "" }), says: /current-context is missing/ },
  { id: "TN32", why: "lists that are none", text: kubeconfig({}, {}, { contexts: "x" }), says: /nothing in contexts/ },
  { id: "TN32", why: "a context of no cluster", text: kubeconfig({}, {}, { contexts: [{ name: "remote", context: { user: "u" } }] }), says: /nothing in clusters/ },
  { id: "TN32", why: "an unknown user", text: kubeconfig({}, {}, { users: [] }), says: /nothing in users/ },
  { id: "TN32", why: "no server", text: kubeconfig({ server: "" }), says: /cluster.server is not an https URL/ },
  { id: "TN32", why: "a server that is no URL", text: kubeconfig({ server: "nowhere" }), says: /cluster.server is not an https URL/ },
  { id: "TN32", why: "a socket", text: kubeconfig({ server: "unix:///var/run/x.sock" }), says: /cluster.server/ },
  { id: "TN32", why: "no credentials", text: kubeconfig({}, {}), says: /no credentials/ },
  { id: "TN32", why: "a certificate without its key", text: kubeconfig({}, { "client-certificate-data": base64("x") }), says: /certificate or key/ },
  { id: "TN32", why: "a certificate that is none", text: kubeconfig({}, { "client-certificate-data": base64(secretToken), "client-key-data": base64(secretToken) }), says: /certificate or key/ },
  { id: "TN32", why: "an authority that is none", text: kubeconfig({ "certificate-authority-data": base64("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----") }), says: /certificate or key/ },
  { id: "TN35", why: "a token with a line break", text: kubeconfig({}, { token: `${secretToken}\r\nimpersonate-group: system:masters` }), says: /user.token is no token/ },
  { id: "TN33", why: "a token in a file", text: kubeconfig({}, { tokenFile: "/var/run/secrets/kubernetes.io/serviceaccount/token" }), says: /user.tokenFile names a file/ },
  { id: "TN33", why: "an authority in a file", text: kubeconfig({ "certificate-authority": "/etc/passwd" }), says: /cluster.certificate-authority names a file/ },
  { id: "TN33", why: "a certificate in a file", text: kubeconfig({}, { "client-certificate": "a", "client-key": "b" }), says: /user.client-certificate names a file/ },
  { id: "TN33", why: "a key in a file", text: kubeconfig({}, { token: secretToken, "client-key": "b" }), says: /user.client-key names a file/ },
  { id: "TN34", why: "a plugin", text: kubeconfig({}, { exec: { command: "sh" } }), says: /--insecure-kubeconfig-exec/ },
  { id: "TN34", why: "an auth provider", text: kubeconfig({}, { "auth-provider": { name: "oidc" } }), says: /auth-provider is not supported/ },
  { id: "TN34", why: "TLS without a check", text: kubeconfig({ "insecure-skip-tls-verify": true }), says: /--insecure-kubeconfig-tls/ },
  { id: "TN34", why: "no TLS", text: kubeconfig({ server: "http://169.254.169.254/latest" }), says: /cluster.server is not an https URL/ },
  { id: "TN35", why: "another user's name", text: kubeconfig({}, { token: secretToken, as: "system:admin" }), says: /spec.serviceAccountName/ },
  { id: "TN35", why: "other groups", text: kubeconfig({}, { token: secretToken, "as-groups": ["system:masters"] }), says: /spec.serviceAccountName/ },
  { id: "TN32", why: "a proxy", text: kubeconfig({ "proxy-url": "http://proxy" }), says: /proxy-url is not supported/ },
];
for (const { id, why, text, says } of bad)
  test(`[${id}] refused: ${why}`, () => {
    assert.throws(() => parse(text), (thrown) => {
      assert.ok(thrown instanceof Fault && thrown.code === "KubeConfigInvalid", String(thrown));
      assert.match(thrown.message, says);
      assert.ok(!thrown.message.includes(secretToken) && thrown.cause === undefined, "no value of it is repeated");
      return true;
    });
  });

test("[TN34] an auth provider is refused whatever the operator allows: it could name files", () => {
  assert.throws(() => parse(kubeconfig({}, { "auth-provider": { name: "oidc" } }), { exec: true, insecureTls: true }), /auth-provider is not supported/);
});
