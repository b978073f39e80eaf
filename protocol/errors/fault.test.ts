import assert from "node:assert/strict";
import test from "node:test";
import { Fault, faults, readFault, sentence } from "./fault.ts";

test("[RT10] a fault comes back from JSON as it was", () => {
  for (const fault of [new Fault("BuildFailed", "apps/shop", { detail: "no such file" }), new Fault("TimedOut", "https://git.example.com")])
    assert.deepEqual(readFault(JSON.parse(JSON.stringify(fault))), fault.toJSON());
});

const unreadable = [undefined, null, 7, "BuildFailed", {}, { code: "OfALaterRelease", subject: "it" }, { code: "toString" }, { code: "BuildFailed", subject: 7, detail: {} }];
for (const value of unreadable)
  test(`[RT10] ${JSON.stringify(value)} is read as a fault all the same`, () => {
    const { code, subject } = readFault(value);
    assert.ok(Object.hasOwn(faults, code) && typeof subject === "string");
  });

test("[RT10] a code of another release is Unexpected, and its subject stays", () =>
  assert.deepEqual(readFault({ code: "OfALaterRelease", subject: "it", detail: "why" }), { code: "Unexpected", subject: "it", detail: "why" }));

test("[RT10] whatever is thrown becomes a fault; one that is a fault stays the same", () => {
  const fault = new Fault("KindUnknown", "it");
  assert.equal(Fault.from(fault, "other"), fault);
  assert.deepEqual(Fault.from(new TypeError("x is not a function"), "it").toJSON(), { code: "Unexpected", subject: "it", detail: "x is not a function" });
  assert.deepEqual(Fault.from("no", "it").toJSON(), { code: "Unexpected", subject: "it", detail: "no" });
});

test("[RT10] the sentence says what happened to what, and what to do", () => {
  assert.equal(sentence({ code: "BuildFailed", subject: "apps/shop", detail: "no such file" }), `apps/shop: no such file (${faults.BuildFailed.help})`);
  assert.equal(new Fault("TimedOut", "u").message, `u: ${faults.TimedOut.help}`);
});
