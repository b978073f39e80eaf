/**
 * The blocks the kinds' zod schemas are built of, and their translation into what the API server accepts as a
 * structural schema. One zod schema parses the object, prints the CRD and fills the reference page.
 */
import { z } from "zod";

/** A CEL rule the API server enforces on the value; parsing here does not repeat it. */
export type Validation = { rule: string; message: string };

/** A node of an OpenAPI v3 structural schema: only the keywords a CustomResourceDefinition may use. */
export type StructuralSchema = {
  type?: string;
  description?: string;
  format?: string;
  pattern?: string;
  enum?: string[];
  default?: unknown;
  nullable?: boolean;
  minimum?: number;
  maximum?: number;
  minLength?: number;
  maxLength?: number;
  minItems?: number;
  maxItems?: number;
  properties?: Record<string, StructuralSchema>;
  required?: string[];
  items?: StructuralSchema;
  additionalProperties?: StructuralSchema;
  "x-kubernetes-validations"?: Validation[];
  "x-kubernetes-int-or-string"?: true;
  "x-kubernetes-preserve-unknown-fields"?: true;
};

/** A Go duration such as `10m` or `1h30m`; duration.ts reads it. */
export const duration = () => z.string().regex(/^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$/);

/** As `duration`, without hours: Flux forbids them in the timeouts of sources (flux.md 0.1). */
export const shortDuration = () => z.string().regex(/^([0-9]+(\.[0-9]+)?(ms|s|m))+$/);

/** RFC 3339, as the API server writes and checks it. */
export const timestamp = () => z.string().meta({ format: "date-time" });

export const int64 = () => z.int().meta({ format: "int64" });

export const stringMap = () => z.record(z.string(), z.string());

/** An object of a fixed kind in the namespace of the object that refers to it. */
export const localReference = () =>
  z.object({ name: z.string().describe("Name of the object, in the same namespace.") });

/** Any value, kept as it came. */
export const freeForm = () => z.unknown().meta({ "x-kubernetes-preserve-unknown-fields": true });

/** Metadata for `.meta()`: rules the API server enforces. */
export const validations = (...rules: Validation[]) => ({ "x-kubernetes-validations": rules });

/** Metadata for `.meta()`: Flux's schema calls the field required although it has a default. */
export const requiredAllTheSame = { "x-required": true } as const;

/** @throws RangeError when the schema says something a structural schema cannot: a bug in the kind's definition */
export function toStructuralSchema(schema: z.ZodType): StructuralSchema {
  // "input": a field with a default may be left out, and objects stay open (unknown fields are pruned, not refused).
  const { $schema: _, ...json } = z.toJSONSchema(schema, { target: "openapi-3.0", io: "input", cycles: "throw" });
  return structural(json, "");
}

type JsonSchema = Record<string, unknown>;

const plain = new Set([
  "type",
  "description",
  "format",
  "enum",
  "default",
  "nullable",
  "minLength",
  "maxLength",
  "minItems",
  "maxItems",
  "x-kubernetes-validations",
  "x-kubernetes-int-or-string",
  "x-kubernetes-preserve-unknown-fields",
]);

function structural(node: JsonSchema, path: string): StructuralSchema {
  const out: JsonSchema = {};
  const intOrString = node["x-kubernetes-int-or-string"] === true;
  for (const [keyword, value] of Object.entries(node)) {
    if (plain.has(keyword)) out[keyword] = value;
    else if (keyword === "pattern")
      out[keyword] = unescaped(String(value));
    else if (keyword === "minimum" || keyword === "maximum") {
      if (Math.abs(Number(value)) !== Number.MAX_SAFE_INTEGER) out[keyword] = value; // zod's bound of every integer
    } else if (keyword === "required" || keyword === "x-required")
      continue; // said with the properties, and by the one around it
    else if (keyword === "properties")
      out[keyword] = mapValues(value as Record<string, JsonSchema>, (field, name) =>
        structural(field, `${path}.${name}`),
      );
    else if (keyword === "items") out[keyword] = structural(value as JsonSchema, `${path}[]`);
    else if (keyword === "additionalProperties") out[keyword] = structural(value as JsonSchema, `${path}{}`);
    else if (keyword === "anyOf" && intOrString)
      continue; // the extension says it
    else throw new RangeError(`${path || "schema"}: ${keyword} has no place in a structural schema`);
  }
  const required = requiredOf(node);
  if (required.length > 0) out["required"] = required;
  const typed = out["type"] !== undefined || intOrString || out["x-kubernetes-preserve-unknown-fields"] === true;
  if (!typed) throw new RangeError(`${path || "schema"}: a structural schema needs a type`);
  return out as StructuralSchema;
}

/** JavaScript escapes each slash of a pattern, except within brackets: one that is escaped there was written so. */
const unescaped = (pattern: string): string =>
  pattern.replace(/\\.|\[(?:\\.|[^\]\\])*\]/g, (part) => (part === "\\/" ? "/" : part));

function requiredOf({ required = [], properties = {} }: JsonSchema): string[] {
  const fields = Object.entries(properties as Record<string, JsonSchema>);
  const more = fields.flatMap(([name, field]) => (field["x-required"] === true ? [name] : []));
  return [...new Set([...(required as string[]), ...more])].sort();
}

const mapValues = <A, B>(record: Record<string, A>, change: (value: A, key: string) => B): Record<string, B> =>
  Object.fromEntries(Object.entries(record).map(([key, value]) => [key, change(value, key)]));
