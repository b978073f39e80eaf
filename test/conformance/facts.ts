/**
 * What Flux's own CustomResourceDefinitions demand, as facts: one line a field with its type, whether it is required
 * (`!`) and its limits, and a line for each name and printer column. `fields/` holds those of the release named in
 * docs/spec/api.md.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { CustomResourceDefinition } from "#protocol/api/kind.ts";
import type { StructuralSchema } from "#protocol/api/schema.ts";

export const recorded = (name: string): string[] =>
  readFileSync(join(import.meta.dirname, "fields", `${name}.txt`), "utf8")
    .trimEnd()
    .split("\n");

/** The same lines, from a definition of ours. */
export function factsOf({ metadata, spec }: CustomResourceDefinition, version: string): string[] {
  const { kind, listKind, plural, singular, shortNames, categories } = spec.names;
  const served = spec.versions.find(({ name }) => name === version);
  return [
    `crd ${metadata.name}`,
    `names ${[kind, listKind, plural, singular, ...shortNames].join(" ")}`,
    `categories ${categories.join(" ")}`,
    ...(served?.additionalPrinterColumns ?? []).map(({ name, type, jsonPath }) => `column ${name} ${type} ${jsonPath}`),
    ...fieldsOf(served?.schema.openAPIV3Schema ?? {}, "", false).slice(1),
  ];
}

const limits = [
  "format",
  "enum",
  "default",
  "pattern",
  "minimum",
  "maximum",
  "minLength",
  "maxLength",
  "minItems",
  "maxItems",
  "nullable",
  "x-kubernetes-preserve-unknown-fields",
  "x-kubernetes-int-or-string",
] as const;

function fieldsOf(schema: StructuralSchema, path: string, required: boolean): string[] {
  const { properties = {}, items, additionalProperties } = schema;
  const facts = limits.flatMap((limit) =>
    schema[limit] === undefined ? [] : [`${limit}=${JSON.stringify(schema[limit])}`],
  );
  const rules = schema["x-kubernetes-validations"];
  return [
    [path + (required ? "!" : ""), schema.type ?? "any", ...facts, ...(rules ? [`rules=${rules.length}`] : [])].join(
      " ",
    ),
    ...Object.keys(properties)
      .sort()
      .flatMap((name) =>
        fieldsOf(properties[name] ?? {}, path ? `${path}.${name}` : name, schema.required?.includes(name) ?? false),
      ),
    ...(items ? fieldsOf(items, `${path}[]`, false) : []),
    ...(additionalProperties ? fieldsOf(additionalProperties, `${path}{}`, false) : []),
  ];
}
