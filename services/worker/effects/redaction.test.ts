import assert from "node:assert/strict";
import test from "node:test";
import { Fault } from "#protocol/errors/fault.ts";
import { redacted, redacting } from "./redaction.ts";

const rows: { detail: string; values: string[]; becomes: string; why?: string }[] = [
  { detail: 'Invalid value: "hunter2"', values: ["hunter2"], becomes: 'Invalid value: "*****"' },
  { detail: "hunter2hunter2", values: ["hunter2"], becomes: "**********" },
  { detail: "spec.replicas: Invalid value: -12: must be at least 0", values: ["12"], becomes: "spec.replicas: Invalid value: -*****: must be at least 0" },
  { detail: "a label must be valid", values: ["a", "el"], becomes: "***** label must be valid", why: "a short one takes no letters out of words" },
  { detail: "hunter22", values: ["hunter2", "hunter22"], becomes: "*****", why: "the longest first" },
  { detail: "a.b*c [x] $1 \\d", values: ["b*c [x]", "$1 \\d"], becomes: "a.***** *****", why: "a value is no pattern" },
  { detail: "my-pass/word^1", values: ["my-pass/word^1"], becomes: "*****" },
  { detail: "nothing here", values: ["", "  "], becomes: "nothing here" },
  { detail: "größe", values: ["ö"], becomes: "größe" },
];
for (const { detail, values, becomes, why = "" } of rows)
  test(`[SB15] ${JSON.stringify(values)} in "${detail}" -> "${becomes}" ${why}`, () =>
    assert.equal(redacted({ code: "ObjectInvalid", subject: "it", detail }, values).detail, becomes));

test("[SB15] outcomes and failures alike", async () => {
  const fault = { code: "ObjectInvalid" as const, subject: "ConfigMap/hunter2", detail: "hunter2" };
  assert.deepEqual(await redacting(["hunter2"], async () => ({ fault, entries: [1] })), { entries: [1], fault: { code: "ObjectInvalid", subject: "ConfigMap/*****", detail: "*****" } });
  await assert.rejects(redacting(["hunter2"], () => Promise.reject(new Fault("ApplyFailed", "it", { detail: "hunter2" }))), (thrown) =>
    thrown instanceof Fault && thrown.code === "ApplyFailed" && !JSON.stringify([thrown.message, thrown.detail, thrown.stack, thrown.cause]).includes("hunter2"));
});
