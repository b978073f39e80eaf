import assert from "node:assert/strict";
import test from "node:test";
import { canonicalUrl, formatTraceparent, parseTraceparent } from "./context.ts";

const trace = "0af7651916cd43dd8448eb211c80319c";
const span = "b7ad6b7169203331";

test("[NM6] a traceparent is written as it was read", () => {
  for (const text of [`00-${trace}-${span}-01`, `00-${trace}-${span}-00`]) assert.equal(formatTraceparent(parseTraceparent(text) ?? assert.fail()), text);
  assert.deepEqual(parseTraceparent(` 00-${trace.toUpperCase()}-${span}-03 `), { traceId: trace, spanId: span, sampled: true });
});

const strangers = [undefined, "", "00", `01-${trace}-${span}-01`, `00-${"0".repeat(32)}-${span}-01`, `00-${trace}-${"0".repeat(16)}-01`, `00-${trace}-${span}-1`, `00-${trace}-${span}-01-more`, `00-${trace.slice(1)}-${span}-01`, "x".repeat(100_000)];
for (const text of strangers) test(`[NM6] ${String(text).slice(0, 60)} is none`, () => assert.equal(parseTraceparent(text), undefined));

const spellings = [
  { url: "https://git.example.com/team/shop", same: ["https://git.example.com/team/shop.git", "HTTPS://Git.Example.com:443/team/shop/", "https://user:secret@git.example.com/team/shop.git/"] },
  { url: "http://git.example.com/team/shop", same: ["http://git.example.com:80/team/shop.git"] },
];
for (const { url, same } of spellings)
  for (const other of same) test(`[TR1] ${other.replace("secret", "…")} is ${url}`, () => assert.equal(canonicalUrl(other), canonicalUrl(url)));

test("[TR1] what differs stays apart, and no credential is left", () => {
  const urls = ["https://git.example.com/team/shop", "http://git.example.com/team/shop", "ssh://git.example.com/team/shop", "https://git.example.com:8443/team/shop", "https://git.example.com/team/Shop"];
  assert.equal(new Set(urls.map(canonicalUrl)).size, urls.length);
  assert.ok(!canonicalUrl("https://user:secret@git.example.com/a").includes("secret"));
});
