import assert from "node:assert/strict";
import test from "node:test";
import type { HealthExpression } from "#machines/rules/health-expressions.ts";
import { Fault } from "#protocol/errors/fault.ts";
import { checkExpressions, judgeOf } from "./health-expressions.ts";

const entry = (more: Partial<HealthExpression> = {}): HealthExpression => ({ apiVersion: "db.example/v1", kind: "Cluster", current: "good", ...more });
const cel = { compile: async ({ expression }: { expression: string }) => (expression.startsWith("bad") ? "ERROR: <input>:1:1: Syntax error" : undefined) };

const refused: { entries: HealthExpression[]; says: RegExp }[] = [
  { entries: [entry(), entry({ kind: "Backup", failed: "bad(" })], says: /healthchecks\[1\]: failed to parse the expression Failed: failed to parse the CEL expression 'bad\(': ERROR: <input>:1:1: Syntax error/ },
  { entries: [entry({ inProgress: "bad(" })], says: /healthchecks\[0\]: failed to parse the expression InProgress/ },
  { entries: [entry({ current: "bad(" })], says: /healthchecks\[0\]: failed to parse the expression Current/ },
  { entries: [entry({ current: "" })], says: /healthchecks\[0\]: expression Current not specified/ },
  { entries: [entry(), entry()], says: /duplicate custom health check for GroupKind Cluster\.db\.example at healthchecks\[1\]/ },
];
for (const { entries, says } of refused)
  test(`[HL20] refused for good: ${says}`, async () => {
    await assert.rejects(checkExpressions(entries, cel), (thrown) =>
      thrown instanceof Fault && thrown.code === "InvalidCELExpression" && thrown.remedy === "stall" && thrown.message.startsWith("Reconciliation failed terminally due to configuration error: ") && says.test(thrown.message));
  });

test("[HL20] what compiles is let through", () => checkExpressions([entry({ failed: "good", inProgress: "good" }), entry({ kind: "Backup" })], cel));

test("[HL19] an object is judged by the entry for its kind; of a Secret the contents are not looked at", async () => {
  const asked: unknown[] = [];
  const judge = judgeOf([entry(), entry({ apiVersion: "v1", kind: "Secret" })], {
    evaluateAll: async (sources, values) => { asked.push([sources.map(({ expression }) => expression), values]); return sources.map(() => ({ value: true })); },
  });
  assert.equal(judge("apps_a_apps_Deployment"), undefined);
  const cluster = { apiVersion: "db.example/v2", kind: "Cluster", metadata: { name: "db" }, status: { phase: "Ready" } };
  assert.equal((await judge("apps_db_db.example_Cluster")?.(cluster))?.status, "Current");
  const metadata = { name: "s" };
  await judge("apps_s__Secret")?.({ apiVersion: "v1", kind: "Secret", metadata, data: { pin: "MTIzNA==" }, stringData: { pin: "1234" }, type: "Opaque" });
  assert.deepEqual(asked, [[["good"], cluster], [["good"], { apiVersion: "v1", kind: "Secret", metadata, type: "Opaque" }]]);
});
