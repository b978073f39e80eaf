import assert from "node:assert/strict";
import test from "node:test";
import { KubeError } from "#services/clients/kubernetes/error.ts";
import { refusalOf } from "./refusal.ts";

const invalid = new KubeError(422, {
  reason: "Invalid", message: 'Thing.example.com "a" is invalid: spec.size: Invalid value: "hunter2-in-plain": spec.size in body should match \'^S$\'',
  details: { causes: [{ field: "spec.size", reason: "FieldValueInvalid", message: 'Invalid value: "hunter2-in-plain"' }] },
});
const thing = { apiVersion: "example.com/v1", kind: "Thing", metadata: { name: "a", namespace: "b" }, spec: { size: "hunter2-in-plain" } };

test("[SO23] of an object that was decrypted the server's words are not passed on, only the fields", () => {
  const fault = refusalOf(invalid, thing, "dry-run", true);
  assert.match(fault.message, /spec\.size: FieldValueInvalid/);
  assert.doesNotMatch(fault.message, /hunter2/);
  assert.equal(fault.cause, undefined);
  assert.match(refusalOf(invalid, thing, "dry-run").message, /hunter2/, "of any other object they are");
});
