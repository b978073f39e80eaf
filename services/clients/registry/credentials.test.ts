import assert from "node:assert/strict";
import test from "node:test";
import { Fault } from "#protocol/errors/fault.ts";
import { parseRepository } from "#services/clients/registry/names.ts";
import { party, pem } from "../../../test/kit/certificates.ts";
import { loginFrom, peerFrom, type SecretData } from "./credentials.ts";

const secretOf = (data: Record<string, string>): SecretData => Object.fromEntries(Object.entries(data).map(([key, value]) => [key, Buffer.from(value)]));
const pullSecret = (auths: object): SecretData => secretOf({ ".dockerconfigjson": JSON.stringify({ auths }) });
const user = (username: string) => ({ username, password: "secret" });
const refused = (detail: RegExp) => (error: unknown) => error instanceof Fault && error.code === "AuthenticationFailed" && detail.test(error.detail ?? "") && !/s3cret/.test(JSON.stringify(error));

const matches: { auths: string[]; repository: string; takes: string | undefined }[] = [
  { auths: ["ghcr.io"], repository: "ghcr.io/team/shop", takes: "ghcr.io" },
  { auths: ["https://ghcr.io/v2/"], repository: "ghcr.io/team/shop", takes: "https://ghcr.io/v2/" },
  { auths: ["ghcr.io", "ghcr.io/team"], repository: "ghcr.io/team/shop", takes: "ghcr.io/team" },
  { auths: ["ghcr.io/tea"], repository: "ghcr.io/team/shop", takes: undefined },
  { auths: ["*.example.com"], repository: "eu.example.com/shop", takes: "*.example.com" },
  { auths: ["*.example.com"], repository: "a.eu.example.com/shop", takes: undefined },
  { auths: ["*"], repository: "evil.example/shop", takes: undefined },
  { auths: ["https://index.docker.io/v1/"], repository: "docker.io/org/shop", takes: "https://index.docker.io/v1/" },
  { auths: ["docker.io"], repository: "org/shop", takes: "docker.io" },
  { auths: ["127.0.0.1:5000"], repository: "127.0.0.1:5000/shop", takes: "127.0.0.1:5000" },
  { auths: ["127.0.0.1:5001"], repository: "127.0.0.1:5000/shop", takes: undefined },
  { auths: [], repository: "ghcr.io/team/shop", takes: undefined },
];
for (const { auths, repository, takes } of matches)
  test(`[OC11] of ${auths.join(", ") || "none"}, ${repository} takes ${takes}`, () => {
    const login = loginFrom([pullSecret(Object.fromEntries(auths.map((name) => [name, user(name)])))], parseRepository(repository));
    assert.equal(login && "username" in login ? login.username : undefined, takes);
  });

test("[OC11] all forms of credentials, and of Secrets", () => {
  const read = (entry: object) => loginFrom([pullSecret({ "ghcr.io": entry })], parseRepository("ghcr.io/a"));
  assert.deepEqual(read({ auth: Buffer.from("ada:a:b").toString("base64") }), { username: "ada", password: "a:b" });
  assert.deepEqual(read({ identitytoken: "t" }), { identityToken: "t" });
  assert.deepEqual(read({ registrytoken: "t" }), { registryToken: "t" });
  assert.equal(read({ auth: "???" }), undefined);
  assert.deepEqual(loginFrom([secretOf({ ".dockercfg": JSON.stringify({ "ghcr.io": user("old") }) })], parseRepository("ghcr.io/a")), user("old"));
  const two = [pullSecret({ "ghcr.io": user("first") }), pullSecret({ "ghcr.io": user("second") })];
  assert.deepEqual(loginFrom(two, parseRepository("ghcr.io/a")), user("first"));
});

test("[OC11] [OC18] a Secret that is no pull secret is told of, without what it holds", () => {
  const read = (data: Record<string, string>) => () => loginFrom([secretOf(data)], parseRepository("ghcr.io/a"));
  assert.throws(read({ username: "s3cret" }), refused(/no \.dockerconfigjson/));
  assert.throws(read({ ".dockerconfigjson": "s3cret" }), refused(/no JSON/));
  assert.throws(read({ ".dockerconfigjson": '{"auths":"s3cret"}' }), refused(/no auths/));
});

test("[OC12] [OC19] what the Secrets of certSecretRef and proxySecretRef must hold", () => {
  const authority = party("authority");
  const [ca, key] = [authority.certificate, pem(authority.key)];
  const read = (cert?: Record<string, string>, proxy?: Record<string, string>, insecure = false) =>
    peerFrom({ cert: cert && secretOf(cert), proxy: proxy && secretOf(proxy), insecure, shown: "oci://a/b" });
  const trusted = read({ "ca.crt": ca }).ca ?? [];
  assert.ok(trusted.length > 1 && trusted.includes(ca), "beside the usual authorities");
  assert.deepEqual([read({ "tls.crt": ca, "tls.key": key }).cert, read({ certFile: ca, keyFile: key }).key], [ca, key]);
  assert.throws(() => read({ "tls.crt": "s3cret" }), refused(/only one/));
  assert.throws(() => read({}), refused(/neither/));
  assert.equal(read(undefined, undefined, true).trustsAnyone, true);
  assert.equal(read({ "ca.crt": ca }, undefined, true).trustsAnyone, undefined);

  const { url, ...proxy } = read(undefined, { address: "http://proxy:3128", username: "ada", password: "p" }).proxy!;
  assert.deepEqual([String(url), proxy], ["http://proxy:3128/", { username: "ada", password: "p" }]);
  assert.throws(() => read(undefined, { address: "s3cret" }), (error: unknown) => error instanceof Fault && error.code === "ProxyInvalid" && !/s3cret/.test(JSON.stringify(error)));
});

test("[OC12] connections are shared by those alone who present the same", () => {
  const identities = [
    peerFrom({ insecure: false, shown: "a" }),
    peerFrom({ insecure: true, shown: "a" }),
    peerFrom({ insecure: false, shown: "a", login: user("ada") }),
    peerFrom({ insecure: false, shown: "a", login: user("bob") }),
    peerFrom({ insecure: false, shown: "a", proxy: secretOf({ address: "http://proxy:3128" }) }),
    peerFrom({ insecure: false, shown: "a", proxy: secretOf({ address: "http://proxy:3128", username: "ada" }) }),
  ].map(({ identity }) => identity);
  assert.equal(new Set(identities).size, identities.length);
  assert.equal(peerFrom({ insecure: false, shown: "b", login: user("ada") }).identity, identities[2]);
});
