import assert from "node:assert/strict";
import test from "node:test";
import * as fc from "fast-check";
import { cut, redact, scrub } from "./redact.ts";

const prose = [
  { text: "clone https://bot:hunter2@git.example/a: 403", becomes: "clone https://git.example/a: 403" },
  { text: "GET http://hunter2@host:80/x?y=1", becomes: "GET http://host:80/x?y=1" },
  { text: "oci://ghcr.io/app@sha256:0123", becomes: "oci://ghcr.io/app@sha256:0123", why: "a digest is no credential" },
  { text: "Authorization: Bearer hunter2hunter2", becomes: "Authorization: Bearer [redacted]" },
  { text: "sent basic aHVudGVyMg==", becomes: "sent basic [redacted]" },
  { text: "/hook?token=hunter2&ref=main", becomes: "/hook?token=[redacted]&ref=main" },
  { text: '{"password":"hunter2"}', becomes: '{"password":"[redacted]"}' },
  { text: "-----BEGIN RSA PRIVATE KEY-----\nhunter2\n-----END RSA PRIVATE KEY-----", becomes: "[redacted]" },
  { text: "key AGE-SECRET-KEY-1HUNTER2", becomes: "key [redacted]" },
  { text: "Secret apps/git-token not found", becomes: "Secret apps/git-token not found" },
];
for (const { text, becomes, why = "" } of prose)
  test(`[TR6] ${JSON.stringify(text)} -> ${JSON.stringify(becomes)} ${why}`, () => assert.equal(scrub(text), becomes));

const objects = [
  { value: { password: "hunter2" }, becomes: { password: "[redacted]" } },
  { value: { spec: { secretRef: { name: "git" } } }, becomes: { spec: { secretRef: { name: "git" } } } },
  { value: { headers: { Authorization: "hunter2" } }, becomes: { headers: { Authorization: "[redacted]" } } },
  { value: { list: [{ apiToken: "hunter2" }] }, becomes: { list: [{ apiToken: "[redacted]" }] } },
  { value: { body: Buffer.from("hunter2") }, becomes: { body: "[7 bytes]" } },
  {
    value: { kind: "Secret", metadata: { name: "a", namespace: "b", annotations: { x: "hunter2" } }, data: { k: "aHVu" } },
    becomes: { kind: "Secret", metadata: { name: "a", namespace: "b" } },
  },
  { value: { count: 10n, none: undefined, ok: true }, becomes: { count: "10", none: undefined, ok: true } },
];
for (const { value, becomes } of objects)
  test(`[TR6] ${String(Object.keys(value))} is shown as ${JSON.stringify(becomes)}`, () => assert.deepEqual(redact(value), becomes));

test("[TR6] a circle does not hang", () => {
  const circle: Record<string, unknown> = { a: 1 };
  circle["self"] = circle;
  assert.match(JSON.stringify(redact(circle)), /…/);
});

test("[TR6] no secret survives at any depth", () =>
  fc.assert(
    fc.property(fc.array(fc.string({ minLength: 1 }), { maxLength: 5 }), fc.constantFrom("token", "password", "privateKey"), (path, key) => {
      const value = path.reduceRight<unknown>((inner, step) => ({ [step]: inner }), { [key]: "hunter2" });
      assert.doesNotMatch(JSON.stringify(redact(value)), /hunter2/);
    }),
  ));

test("[TR6] long hostile text costs no more than its length", () => {
  for (const piece of ["a", "a.", "https://", "token", "-----BEGIN ", " "]) {
    const text = piece.repeat(Math.ceil(200_000 / piece.length));
    assert.ok(scrub(`${text}@`).length <= text.length + 20); // a quadratic scan would run for minutes
  }
});

test("[TR6] a field of a log line is bounded", () => assert.ok(String(redact("x".repeat(1_000_000))).length < 20_000));

test("[TR7] values are cut at 1 KiB, never inside a character", () =>
  fc.assert(
    fc.property(fc.string({ unit: "grapheme", maxLength: 2000 }), (text) => {
      const short = cut(text);
      assert.ok(Buffer.byteLength(short) <= 1024);
      if (Buffer.byteLength(text) <= 1024) assert.equal(short, text);
      else assert.ok(text.startsWith(short.slice(0, -1)) && short.endsWith("…"));
    }),
  ));
