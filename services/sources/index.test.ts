import assert from "node:assert/strict";
import test from "node:test";
import { Fault } from "#protocol/errors/fault.ts";
import { sources } from "./index.ts";

const key = { kind: "gitrepository", namespace: "apps", name: "shop" };
const call = (spec: unknown) => ({
  key,
  spec,
  secret: () => Promise.reject(new Error("no Secret")),
  signal: AbortSignal.timeout(10_000),
});

test("[SR50] a kind is found by its lower-case name", () => {
  for (const [name, { kind }] of Object.entries(sources)) assert.equal(name, kind.toLowerCase());
  assert.equal(sources["gitrepository"]?.kind, "GitRepository");
});

test("[SR50] [SR3] a spec that fits is passed on, one that does not is refused", async () => {
  const spec = { url: "https://git.example.com/shop", interval: "1m", ref: { branch: "main", commit: "a".repeat(40) } };
  assert.equal(await sources["gitrepository"]?.resolve(call(spec)), `main@sha1:${"a".repeat(40)}`);
  for (const odd of [undefined, null, 1, {}, { ...spec, url: 7 }, { ...spec, ref: "main" }]) {
    const refused = (error: unknown) => error instanceof Fault && error.code === "InvalidObject";
    await assert.rejects(async () => sources["gitrepository"]?.resolve(call(odd)), refused);
    await assert.rejects(async () => sources["gitrepository"]?.fetch({ ...call(odd), revision: "" }), refused);
  }
});
