import assert from "node:assert/strict";
import test from "node:test";
import * as fc from "fast-check";
import { Fault } from "#protocol/errors/fault.ts";
import { parseAddress, showUrl } from "./address.ts";
import { readCredentials } from "./credentials.ts";

const bytes = (data: Record<string, string>) =>
  Object.fromEntries(Object.entries(data).map(([key, value]) => [key, new TextEncoder().encode(value)]));
const basic = (text: string) => `Basic ${Buffer.from(text).toString("base64")}`;
const plain = "https://git.example.com/shop.git";
const withUser = "https://url-user:url%2Fpass@git.example.com/shop.git";

const rows = [
  { url: plain, data: undefined, is: undefined },
  { url: plain, data: {}, is: undefined, why: "some servers refuse empty credentials for public repositories" },
  { url: plain, data: { username: "u", password: "p" }, is: basic("u:p") },
  { url: plain, data: { username: "u" }, is: basic("u:") },
  { url: plain, data: { bearerToken: "t" }, is: "Bearer t" },
  {
    url: plain,
    data: { bearerToken: "t", username: "u", password: "p" },
    is: "Bearer t",
    why: "the token comes first",
  },
  { url: withUser, data: undefined, is: basic("url-user:url/pass") },
  { url: withUser, data: { username: "u", password: "p" }, is: basic("u:p"), why: "the Secret comes first" },
  { url: withUser, data: { username: "u" }, is: basic("u:url/pass"), why: "the URL fills in what is missing" },
  { url: withUser, data: { bearerToken: "t" }, is: basic("url-user:url/pass"), why: "as in Flux" },
];
for (const { url, data, is, why = "" } of rows)
  test(`[SR9] ${url} with ${Object.keys(data ?? {}).join(" and ") || "no Secret"}: ${is?.split(" ")[0]} ${why}`, () => {
    const { authorization } = readCredentials(parseAddress(url), data && bytes(data));
    assert.equal(authorization, is);
  });

test("[SR9] ca.crt comes before caFile", () => {
  assert.equal(readCredentials(parseAddress(plain), bytes({ caFile: "old", "ca.crt": "new" })).ca, "new");
  assert.equal(readCredentials(parseAddress(plain), bytes({ caFile: "old" })).ca, "old");
});

for (const data of [
  { password: "p" },
  { bearerToken: "two words" },
  { bearerToken: "line end\n" },
  { bearerToken: "tökén" },
])
  test(`[SR9] ${JSON.stringify(data)} is refused`, () =>
    assert.throws(
      () => readCredentials(parseAddress(plain), bytes(data)),
      (error: unknown) => error instanceof Fault && error.code === "AuthenticationFailed",
    ));

test("[SR9] different credentials are different identities, and an identity tells nothing", () => {
  const of = (data: Record<string, string>) => readCredentials(parseAddress(plain), bytes(data)).identity;
  const all = [
    {},
    { username: "u", password: "p" },
    { username: "u", password: "q" },
    { bearerToken: "p" },
    { "ca.crt": "p" },
    { "tls.key": "p" },
  ];
  assert.equal(new Set(all.map(of)).size, all.length);
  assert.equal(of({ username: "u", password: "p" }), of({ username: "u", password: "p" }));
  for (const data of all) assert.match(of(data), /^[0-9a-f]{64}$/);
});

const secret = fc
  .string({ unit: "binary", minLength: 8, maxLength: 40 })
  .filter((text) => /[^A-Za-z0-9/.:-]/.test(text));

test("[SR10] a URL is shown without user, password, query and fragment", () =>
  fc.assert(
    fc.property(secret, secret, (one, two) => {
      const url = `https://${encodeURIComponent(one)}:${encodeURIComponent(two)}@git.example.com/shop/?token=${encodeURIComponent(one)}#${encodeURIComponent(two)}`;
      assert.equal(showUrl(url), "https://git.example.com/shop");
      assert.equal(parseAddress(url).shown, "https://git.example.com/shop");
      for (const odd of [`https://${one}:${two}@`, `ht tp://${one}`, `${one}@host:${two}`]) {
        const shown = showUrl(odd);
        assert.ok(!shown.includes(one) && !shown.includes(two), shown);
      }
    }),
  ));

test("[SR10] what a server says is withheld when it repeats a credential, however it is written", () =>
  fc.assert(
    fc.property(
      fc.constantFrom("password", "bearerToken", "both"),
      secret,
      fc.string(),
      fc.string(),
      (kind, value, before, after) => {
        const token = value.replaceAll(/[^\x21-\x7e]/g, "x");
        const data: Record<string, string> =
          kind === "bearerToken" ? { bearerToken: token } : { username: "u", password: value };
        const { redact, authorization = "" } = readCredentials(parseAddress(plain), bytes(data));
        const told = kind === "bearerToken" ? token : value;
        for (const form of [told, encodeURIComponent(told), JSON.stringify(told), authorization])
          assert.ok(!redact(`${before}${form}${after}`).includes(form));
        if (kind !== "bearerToken") assert.equal(redact("repository not found"), "repository not found");
      },
    ),
  ));
