import assert from "node:assert/strict";
import test from "node:test";
import { kinds } from "#protocol/api/registry.ts";
import { factsOf } from "./facts.ts";
import { samples, stored } from "./samples.ts";

for (const kind of kinds) {
  const own = samples.filter(({ kind: name }) => name === kind.kind);

  for (const sample of own)
    test(`[API2] ${kind.kind} ${sample.metadata.name} is read whole`, () => {
      const { metadata, spec } = kind.parse(stored(sample));
      assert.equal(metadata.name, sample.metadata.name);
      if (sample.apiVersion === kind.apiVersion) assertWithin(sample.spec, spec, "spec");
    });

  test(`[API2] the samples use every field of ${kind.kind}`, () => {
    const used = new Set(own.flatMap(({ spec }) => pathsOf(spec, "spec")));
    const all = kind.versions.flatMap(({ name }) =>
      factsOf(kind.crd(), name).flatMap((line) => line.match(/^spec[^ !]*/) ?? []),
    );
    assert.deepEqual(
      all.filter((path) => !used.has(path) && !path.endsWith("{}")),
      [],
    );
  });
}

/** Every value of `written` stands in `read`, which may have more: defaults. */
function assertWithin(written: unknown, read: unknown, path: string): void {
  if (typeof written !== "object" || written === null) return assert.equal(read, written, path);
  if (Array.isArray(written)) assert.equal((read as unknown[]).length, written.length, path);
  for (const [name, value] of Object.entries(written))
    assertWithin(value, (read as Record<string, unknown>)[name], `${path}.${name}`);
}

function pathsOf(value: unknown, path: string): string[] {
  if (Array.isArray(value)) return [path, ...value.flatMap((item) => pathsOf(item, `${path}[]`))];
  if (typeof value !== "object" || value === null) return [path];
  return [path, ...Object.entries(value).flatMap(([name, inner]) => pathsOf(inner, `${path}.${name}`))];
}
