import assert from "node:assert/strict";
import test from "node:test";
import { accountOf, isAccountName, mayRefer, userOf } from "./tenancy.ts";

const unit = { namespace: "apps" };

const accounts = [
  { named: undefined, given: undefined, user: undefined },
  { named: "robot", given: undefined, user: "system:serviceaccount:apps:robot" },
  { named: undefined, given: "default", user: "system:serviceaccount:apps:default" },
  { named: "", given: "default", user: "system:serviceaccount:apps:default" },
  { named: "robot", given: "default", user: "system:serviceaccount:apps:robot" },
];
for (const { named, given, user } of accounts)
  test(`[TN2] spec says ${named}, the operator ${given} -> ${user}`, () => {
    const account = accountOf(unit, named, given === undefined ? {} : { defaultServiceAccount: given });
    assert.equal(account && userOf(account), user);
  });

const names = [
  { name: "default", is: true },
  { name: "a.b-c.0", is: true },
  { name: "x".repeat(253), is: true },
  { name: "x".repeat(254), is: false },
  { name: "", is: false },
  { name: "a:b", is: false, why: "the server would take it for another user" },
  { name: "A", is: false },
  { name: "a..b", is: false },
  { name: "a-", is: false },
  { name: "a\n", is: false },
  { name: "../x", is: false },
];
for (const { name, is, why = "" } of names)
  test(`[TN4] ${JSON.stringify(name.slice(0, 20))} ${is ? "is" : "is not"} the name of an account ${why}`, () => assert.equal(isAccountName(name), is));

test("[TN10] a unit uses what lies in other namespaces unless that is locked down", () => {
  assert.deepEqual([{}, { noCrossNamespaceRefs: false }, { noCrossNamespaceRefs: true }].map((tenancy) => mayRefer(unit, "fleet", tenancy)), [true, true, false]);
  assert.equal(mayRefer(unit, "apps", { noCrossNamespaceRefs: true }), true);
});
