import assert from "node:assert/strict";
import test from "node:test";
import { z } from "zod";
import {
  freeForm,
  int64,
  requiredAllTheSame,
  stringMap,
  timestamp,
  toStructuralSchema,
  validations,
  type StructuralSchema,
} from "./schema.ts";

const rows: { what: string; schema: z.ZodType; is: StructuralSchema }[] = [
  { what: "a slash in a pattern", schema: z.string().regex(/^a:\/\/b$/), is: { type: "string", pattern: "^a://b$" } },
  { what: "an integer without zod's bounds", schema: int64(), is: { type: "integer", format: "int64" } },
  {
    what: "an integer with a bound of its own",
    schema: int64().min(0),
    is: { type: "integer", format: "int64", minimum: 0 },
  },
  { what: "a time", schema: timestamp(), is: { type: "string", format: "date-time" } },
  { what: "a map", schema: stringMap(), is: { type: "object", additionalProperties: { type: "string" } } },
  { what: "one literal", schema: z.literal("sops"), is: { type: "string", enum: ["sops"] } },
  { what: "a nullable string", schema: z.string().nullable(), is: { type: "string", nullable: true } },
  { what: "anything", schema: freeForm(), is: { "x-kubernetes-preserve-unknown-fields": true } },
  {
    what: "a number or a string",
    schema: z.union([z.int(), z.string()]).meta({ "x-kubernetes-int-or-string": true }),
    is: { "x-kubernetes-int-or-string": true },
  },
  {
    what: "a default: the field is not required",
    schema: z.object({ b: z.string(), a: z.boolean(), c: z.string().default("60s").describe("C.") }),
    is: {
      type: "object",
      required: ["a", "b"],
      properties: {
        a: { type: "boolean" },
        b: { type: "string" },
        c: { type: "string", default: "60s", description: "C." },
      },
    },
  },
  {
    what: "a default, of a field that is required all the same",
    schema: z.object({ a: z.string().default("b").meta(requiredAllTheSame) }),
    is: { type: "object", required: ["a"], properties: { a: { type: "string", default: "b" } } },
  },
  {
    what: "rules on an optional object",
    schema: z.object({
      a: z
        .object({})
        .meta(validations({ rule: "has(self)", message: "no" }))
        .optional(),
    }),
    is: {
      type: "object",
      properties: {
        a: { type: "object", properties: {}, "x-kubernetes-validations": [{ rule: "has(self)", message: "no" }] },
      },
    },
  },
  {
    what: "the same part twice, without a reference",
    schema: z.array(z.object({ a: stringMap(), b: stringMap() })).min(1),
    is: {
      type: "array",
      minItems: 1,
      items: {
        type: "object",
        required: ["a", "b"],
        properties: {
          a: { type: "object", additionalProperties: { type: "string" } },
          b: { type: "object", additionalProperties: { type: "string" } },
        },
      },
    },
  },
];
for (const { what, schema, is } of rows) test(`[API1] ${what}`, () => assert.deepEqual(toStructuralSchema(schema), is));

const impossible = [
  { what: "a union", schema: z.object({ a: z.union([z.string(), z.boolean()]) }) },
  { what: "a closed object", schema: z.object({ a: z.strictObject({ b: z.string() }) }) },
  { what: "a value without a type", schema: z.object({ a: z.unknown() }) },
];
for (const { what, schema } of impossible)
  test(`[API1] ${what} is refused, and the field named`, () =>
    assert.throws(() => toStructuralSchema(schema), /^RangeError: \.a/));
