import assert from "node:assert/strict";
import test from "node:test";
import { Fault } from "#protocol/errors/fault.ts";
import { createLog, type Log, type LogLevel } from "./log.ts";

function written(level: LogLevel, write: (log: Log) => void): Record<string, unknown>[] {
  const lines: string[] = [];
  write(createLog({ level, name: "flotilla", sink: { write: (line) => void lines.push(line) } }));
  return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
}

const actor = { kind: "kustomization", namespace: "apps", name: "podinfo" };
const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

test("[TR8] a line carries Flux's keys and the trace id", () => {
  const [line] = written("info", (log) => log.forActor(actor, "Kustomization").forTrace(traceparent).info("applied", { revision: "main@sha1:1" }));
  const { ts, ...rest } = line!;
  assert.match(String(ts), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  assert.deepEqual(rest, {
    level: "info",
    logger: "flotilla",
    controller: "kustomization",
    controllerKind: "Kustomization",
    name: "podinfo",
    namespace: "apps",
    trace_id: "4bf92f3577b34da6a3ce929d0e0e4736",
    span_id: "00f067aa0ba902b7",
    revision: "main@sha1:1",
    msg: "applied",
  });
});

const errors = [
  { thrown: new Error("boom"), error: "boom" },
  { thrown: "just text", error: "just text" },
  { thrown: new Fault("SecretMissing", "Secret/apps/git"), error: "Secret/apps/git: create the Secret, or correct spec.secretRef.name" },
  { thrown: new Error("https://a:hunter2@host refused"), error: "https://host refused" },
];
for (const { thrown, error } of errors)
  test(`[TR8] error ${error}`, () => {
    const [line] = written("info", (log) => log.error("failed", thrown));
    assert.equal(line!["error"], error);
    assert.equal(line!["level"], "error");
    assert.equal(line!["stacktrace"], undefined);
  });

test("[TR8] a stack is written at debug only", () => {
  const [line] = written("debug", (log) => log.error("failed", new Error("boom")));
  assert.match(String(line!["stacktrace"]), /boom/);
});

const levels = [
  { level: "error", lines: ["error"] },
  { level: "info", lines: ["info", "error"] },
  { level: "debug", lines: ["debug", "info", "error"] },
  { level: "trace", lines: ["trace", "debug", "info", "error"] },
] as const;
for (const { level, lines } of levels)
  test(`[TR8] --log-level ${level} writes ${lines.join(", ")}`, () => {
    const got = written(level, (log) => {
      log.trace("a");
      log.debug("b");
      log.info("c");
      log.error("d", "x");
    });
    assert.deepEqual(got.map((line) => line["level"]), lines);
  });

test("[TR6] no secret is written: field, child field or message", () => {
  const lines = written("info", (log) => {
    log.with({ token: "hunter2" }).info("clone https://a:hunter2@host", { auth: { password: "hunter2" } });
    log.error("failed", new Fault("UpstreamUnreachable", "https://a:hunter2@host", { detail: "Bearer hunter2hunter2" }));
  });
  assert.doesNotMatch(JSON.stringify(lines), /hunter2/);
});
