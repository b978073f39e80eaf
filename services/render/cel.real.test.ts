import assert from "node:assert/strict";
import test, { after } from "node:test";
import { Fault } from "#protocol/errors/fault.ts";
import { Cel, type CelResult } from "./cel.ts";
import { Engine } from "./engine.ts";
import { buildWasm } from "./wasm-file.ts";

const engine = new Engine({ wasm: await buildWasm(() => {}) });
const cel = new Cel(engine);
after(() => cel.close());

const object = {
  metadata: { name: "db", namespace: "data", generation: 3, labels: { a: "1" } },
  spec: { replicas: 3, ratio: 0.5, names: ["x", "y"], big: "9007199254740993" },
  status: { observedGeneration: 3, conditions: [{ type: "Ready", status: "True" }, { type: "Synced", status: "False" }] },
};

const results: { expression: string; value?: unknown; error?: RegExp; why?: string }[] = [
  { expression: "status.conditions.filter(e, e.type == 'Ready').all(e, e.status == 'True')", value: true },
  { expression: "status.conditions.exists(e, e.type == 'Synced' && e.status == 'True')", value: false },
  { expression: "metadata.generation + 1 == 4", value: true, why: "a number without a fraction is an integer" },
  { expression: "spec.ratio * 2.0", value: 1 },
  { expression: "spec.replicas > 2.5", value: true, why: "numbers of different kinds compare" },
  { expression: "metadata.name + '/' + metadata.namespace", value: "db/data" },
  { expression: "spec.names.map(n, n + '!')", value: ["x!", "y!"] },
  { expression: "{'a': spec.replicas}", value: { a: 3 } },
  { expression: "has(status.foo)", value: false },
  { expression: "status.?foo.?bar.orValue('none')", value: "none", why: "optionals" },
  { expression: "[?status.?foo, 'x']", value: ["x"] },
  { expression: "metadata.name.upperAscii().reverse()", value: "BD", why: "strings" },
  { expression: "'%s has %d'.format([metadata.name, spec.replicas])", value: "db has 3" },
  { expression: "sets.contains(spec.names, ['y'])", value: true, why: "sets" },
  { expression: "string(base64.decode('aGVsbG8='))", value: "hello", why: "encoders" },
  { expression: "metadata.name.matches('^(?i)DB$')", value: true, why: "RE2" },
  { expression: "timestamp('2026-01-01T10:00:00Z').getHours('America/New_York')", value: 5, why: "time zones are built in" },
  { expression: "status.foo == 'x'", error: /no such key: foo/ },
  { expression: "foo", error: /no such attribute.*foo/ },
  { expression: "metadata.name + 1", error: /no such overload/ },
  { expression: "1 / 0", error: /division by zero/ },
  { expression: "type(1)", error: /the result is a type, which is not JSON/ },
  { expression: "status.conditions.filter(", error: /Syntax error/ },
  { expression: "", error: /Syntax error|empty/ },
  { expression: "quantity('1Gi')", error: /no such overload/, why: "Kubernetes' own libraries are not among Flux's" },
];
for (const { expression, value, error, why } of results)
  test(`[CEL1] ${expression || "nothing"} -> ${error ?? JSON.stringify(value)}${why ? `: ${why}` : ""}`, async () => {
    const result = await cel.evaluate({ expression }, object);
    if (error) assert.match("error" in result ? result.error : "no error", error);
    else assert.deepEqual(result, { value });
  });

const variables = ["self", "dep"];
const checked: { expression: string; error?: RegExp }[] = [
  { expression: "dep.metadata.generation == self.metadata.generation" },
  { expression: "dep.status.conditions.exists(e, e.type == 'Ready' && e.status == 'True')" },
  { expression: "dep.anything.at.all == 'x'" },
  { expression: "other.metadata.name == 'x'", error: /undeclared reference to 'other'/ },
  { expression: "1 + 'a' == 'b'", error: /no matching overload/ },
  { expression: "'true'", error: /must be a bool, not a string/ },
  { expression: "self.metadata.name ==", error: /Syntax error/ },
];
for (const { expression, error } of checked)
  test(`[CEL2] with variables, ${expression} ${error ? `is refused: ${error}` : "compiles"}`, async () => {
    const said = await cel.compile({ expression, variables });
    if (error) assert.match(said ?? "nothing", error);
    else assert.equal(said, undefined);
  });

test("[CEL2] without variables, a name that is nowhere is found out when it is evaluated", async () => {
  assert.equal(await cel.compile({ expression: "foo.bar" }), undefined);
  assert.match((await cel.compile({ expression: "foo.(" })) ?? "", /Syntax error/);
});

test("[CEL2] a dependency is judged with self and dep", async () => {
  const source = { expression: "dep.status.version == self.spec.needs", variables };
  assert.deepEqual(await cel.evaluate(source, { self: { spec: { needs: "2" } }, dep: { status: { version: "2" } } }), { value: true });
  assert.deepEqual(await cel.evaluate(source, { self: { spec: { needs: "3" } }, dep: { status: { version: "2" } } }), { value: false });
});

test("[CEL3] several expressions over one object each have their own answer", async () => {
  const all = await cel.evaluateAll(["spec.replicas == 3", "spec.nothing", "false"].map((expression) => ({ expression })), object);
  assert.deepEqual(all.map((result) => ("value" in result ? result.value : "error")), [true, "error", false]);
});

const tens = "[0,1,2,3,4,5,6,7,8,9]";
const errorOf = (result: CelResult) => ("error" in result ? result.error : `no error, but ${JSON.stringify(result.value).slice(0, 80)}`);
const fine = async (of: Cel) => assert.deepEqual(await of.evaluate({ expression: "1 + 1 == 2" }, {}), { value: true });

test("[CEL4] an expression that loops long ends at what it may cost, and others go on", async () => {
  const nested = ["a", "b", "c", "d", "e", "f", "g", "h"].reduceRight((inner, name) => `${tens}.all(${name}, ${inner})`, "true");
  assert.match(errorOf(await cel.evaluate({ expression: nested }, {})), /cost limit exceeded/);
  await fine(cel);
});

test("[CEL4] an expression that makes more and more text ends at its memory, and others go on", async () => {
  const grown = Array.from({ length: 10 }).reduce((text) => `${text}.replace('a', 'aaaaaaaaaa')`, "'a'");
  assert.match(errorOf(await cel.evaluate({ expression: String(grown) }, {})), /needs more memory than it may have|it was stopped/);
  await fine(cel);
});

test("[CEL4] an expression over its time is stopped with its thread, and others go on", async () => {
  const impatient = new Cel(engine, { timeoutMs: 1 });
  after(() => impatient.close());
  const slow = `${tens}.all(a, ${tens}.all(b, ${tens}.all(c, ${tens}.all(d, true))))`;
  assert.match(errorOf(await impatient.evaluate({ expression: slow }, {})), /it was stopped: not done after 0.001 s/);
  await fine(cel);
});

for (const { what, expression } of [
  { what: "parentheses in parentheses", expression: `${"(".repeat(50_000)}1${")".repeat(50_000)}` },
  { what: "a long chain", expression: Array.from({ length: 20_000 }, () => "1").join(" + ") },
  { what: "a text beyond any need", expression: `'${"x".repeat(1_000_000)}' == ''` },
])
  test(`[CEL4] ${what} end their own answer at most`, async () => {
    const result = await cel.evaluate({ expression }, {});
    assert.ok("error" in result || "value" in result);
    await fine(cel);
  });

test("[CEL5] integers keep their digits on the way in", async () => {
  const values = { spec: { big: (JSON as unknown as { rawJSON(text: string): object }).rawJSON("9007199254740993") } };
  assert.deepEqual(await cel.evaluate({ expression: "string(spec.big)" }, values), { value: "9007199254740993" });
});

test("[CEL6] many at the same time each get their own answer", async () => {
  const answers = await Promise.all(Array.from({ length: 50 }, (_, i) => cel.evaluate({ expression: "n * 2" }, { n: i })));
  assert.deepEqual(answers, Array.from({ length: 50 }, (_, i) => ({ value: i * 2 })));
});

test("[CEL6] what is closed answers nobody", async () => {
  const one = new Cel(engine);
  await fine(one);
  await one.close();
  await assert.rejects(one.evaluate({ expression: "true" }, {}), (thrown) => thrown instanceof Fault && thrown.code === "RendererMissing");
});
