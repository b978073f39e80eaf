import assert from "node:assert/strict";
import test from "node:test";
import { assert as always, constantFrom, jsonValue, property } from "fast-check";
import { hintKinds } from "#protocol/names/subject.ts";
import { factsOf } from "./facts.ts";
import { eventOf } from "./hint-event.ts";

const key = { kind: "gitrepository", namespace: "apps", name: "shop" };
const facts = factsOf("gitrepository", { kind: "GitRepository", metadata: { name: "shop", namespace: "apps" } });

const rows = [
  { kind: "object", body: { facts: JSON.parse(JSON.stringify(facts)) as unknown }, type: "object" },
  { kind: "object", body: { facts: null }, type: "object" },
  { kind: "object", body: {}, type: undefined },
  { kind: "object", body: { facts: { uid: 7 } }, type: undefined },
  { kind: "artifact", body: { revision: "main@sha1:1", digest: "sha256:1" }, type: "artifact" },
  { kind: "artifact", body: { revision: "main@sha1:1", digest: "sha256:1", path: "gitrepository/apps/shop/1.tar.gz" }, type: "artifact" },
  { kind: "artifact", body: { revision: "main@sha1:1", digest: "sha256:1", path: 7 }, type: undefined },
  { kind: "artifact", body: { revision: "" }, type: undefined },
  { kind: "look", body: "whatever", type: "look" },
] as const;
for (const { kind, body, type } of rows)
  test(`[WK8] ${kind} ${JSON.stringify(body).slice(0, 40)} -> ${type ?? "set aside"}`, () => assert.equal(eventOf(key, kind, body)?.type, type));

test("[WK8] no body whatever throws", () => {
  always(property(constantFrom(...hintKinds), jsonValue(), (kind, body) => void eventOf(key, kind, body)));
});
