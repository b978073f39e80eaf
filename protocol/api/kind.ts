/** What a kind is: one definition that reads its objects and prints its CustomResourceDefinition. */
import { z } from "zod";
import { Fault, faults, type FaultCode } from "#protocol/errors/fault.ts";
import { annotations, labels } from "./annotations.ts";
import type { ConditionType } from "./conditions.ts";
import { stringMap, timestamp, toStructuralSchema, type StructuralSchema } from "./schema.ts";

type Version = {
  name: string;
  storage: boolean;
  /** Said by the API server to whoever still uses this version. */
  deprecationWarning?: string;
  /** Fields this version had and the stored one has not: accepted, and dropped when the object is stored. */
  formerSpecFields?: z.ZodRawShape;
  /** The same further down, by the place in the spec: `chart.spec`, `postRenderers[].kustomize`. */
  formerFields?: Record<string, z.ZodRawShape>;
};

type PrinterColumn = { name: string; type: "string" | "date"; jsonPath: string; /** Above 0: shown in wide tables only. */ priority?: number };

/** What tables say of almost every kind, each in the place that it has with Flux. */
export const columns = {
  age: { name: "Age", type: "date", jsonPath: ".metadata.creationTimestamp" },
  ready: { name: "Ready", type: "string", jsonPath: '.status.conditions[?(@.type=="Ready")].status' },
  status: { name: "Status", type: "string", jsonPath: '.status.conditions[?(@.type=="Ready")].message' },
} as const satisfies Record<string, PrinterColumn>;

/** An older version with the fields of the stored one. */
export const deprecated = (kind: string, name: string, stored: string): Version =>
  ({ name, storage: false, deprecationWarning: `${name} ${kind} is deprecated, use ${stored}` });

type Definition<Spec, Status> = {
  group: string;
  kind: string;
  plural: string;
  shortNames: string[];
  categories: string[];
  /** Flux's controller of this kind: the flux command looks for its name (flux.md 5.2). */
  component: string;
  /** Flux's for this kind, where it is not the one of almost all. */
  finalizer?: string;
  description: string;
  versions: Version[];
  /** Those its objects may carry. */
  conditions: ConditionType[];
  printerColumns: PrinterColumn[];
  spec: Spec;
  status: Status;
  /** Marks a fresh object as not yet seen, so that kstatus calls it InProgress (flux.md 0.1). Absent: Flux's has none. */
  statusDefault?: z.input<Status>;
  /** Of a kind that is a source: how its chart, which is the same for all of them, words what it says. */
  source?: SourceWords;
  /** Printed on the reference page. */
  example: Record<string, unknown>;
};

export type SourceWords = {
  /** Somebody else says in the status what its artifact is: the object is only read, never written. */
  isForeign?: boolean;
  /** `stored artifact for revision '…'`: what stands before the revision. */
  stored: string;
  /** Longest time for one operation, of a kind whose objects cannot say it; a minute when absent. A Go duration. */
  timeout?: string;
  /** Name of a file that is always the newest artifact, for `status.url`. */
  latest?: string;
  /** How news of upstream are told: the reason of ArtifactOutdated, and what stands before the revision. */
  news?: { reason: string; words: string };
  /** As a chart, its digest belongs to its version. */
  tracked?: true;
  /** Condition reasons that Flux words differently for this kind. */
  reasons?: Partial<Record<FaultCode, string>>;
  /** Of one that is made from other sources: which ones, by its spec. Each wakes it with a new artifact. */
  madeFrom?(spec: unknown): SourceReference[];
  /** Whether an object with this spec only says where something is: nothing is done for it, and it has no status. */
  isStatic?(spec: unknown): boolean;
  /** What the commands say of such an object, as Flux's do. */
  staticMessage?: string;
};

/** Another source, of the same namespace where none is named. */
export type SourceReference = { kind: string; name: string; namespace?: string | undefined };

/** The condition reason of a fault, as Flux's users know it from this kind. */
export const reasonOf = (code: FaultCode, words?: Pick<SourceWords, "reasons">): string => words?.reasons?.[code] ?? faults[code].reason;

export type Kind<Spec extends z.ZodObject = z.ZodObject, Status extends z.ZodObject = z.ZodObject> = Definition<
  Spec,
  Status
> & {
  /** Group and stored version: what is written, listed and watched. */
  apiVersion: string;
  /** @throws Fault InvalidObject whose detail names the field; fields the kind does not know are left out */
  parse(object: unknown): KubernetesObject<z.output<Spec>, z.output<Status>>;
  crd(): CustomResourceDefinition;
};

const metadata = z.object({
  name: z.string().min(1),
  namespace: z.string().min(1),
  uid: z.string().min(1),
  resourceVersion: z.string().min(1),
  generation: z.int().min(1),
  creationTimestamp: timestamp().optional(),
  deletionTimestamp: timestamp().optional(),
  finalizers: z.array(z.string()).optional(),
  annotations: stringMap().optional(),
  labels: stringMap().optional(),
});

export type Metadata = z.output<typeof metadata>;

/** An object as the API server returns it. */
export type KubernetesObject<Spec, Status> = {
  apiVersion: string;
  kind: string;
  metadata: Metadata;
  spec: Spec;
  status: Status;
};

export function defineKind<Spec extends z.ZodObject, Status extends z.ZodObject>(
  definition: Definition<Spec, Status>,
): Kind<Spec, Status> {
  const { group, kind, versions } = definition;
  const stored = versions.find(({ storage }) => storage);
  if (!stored) throw new RangeError(`${kind}: no stored version`);
  const object = z.object({
    apiVersion: z.enum(versions.map(({ name }) => `${group}/${name}`)),
    kind: z.literal(kind),
    metadata,
    // One that may be empty may be left out.
    spec: definition.spec.safeParse({}).success ? z.preprocess((value) => value ?? {}, definition.spec) : definition.spec,
    status: z.preprocess((value) => value ?? definition.statusDefault ?? {}, definition.status),
  });
  return {
    ...definition,
    apiVersion: `${group}/${stored.name}`,
    parse(value) {
      const result = object.safeParse(value);
      if (!result.success) throw new Fault("InvalidObject", subject(kind, value), { detail: firstFault(result.error) });
      return result.data as KubernetesObject<z.output<Spec>, z.output<Status>>;
    },
    crd: () => customResourceDefinition(definition),
  };
}

/** `Kind/namespace/name` as far as the value says. */
function subject(kind: string, value: unknown): string {
  const named = z
    .object({ metadata: z.object({ name: z.string(), namespace: z.string().optional() }) })
    .safeParse(value);
  if (!named.success) return kind;
  const { name, namespace } = named.data.metadata;
  return [kind, namespace, name].filter(Boolean).join("/");
}

// Zod's messages say what was expected and never repeat the value, which may be a secret.
function firstFault({ issues }: z.ZodError): string {
  const [issue] = issues;
  if (!issue) return "not readable";
  const path = issue.path
    .map((step, i) => (typeof step === "number" ? `[${step}]` : `${i ? "." : ""}${String(step)}`))
    .join("");
  return `${path || "object"}: ${issue.message}${issues.length > 1 ? ` (and ${issues.length - 1} more)` : ""}`;
}

export type CustomResourceDefinition = ReturnType<typeof customResourceDefinition>;

/** The Flux release whose resources these are: `flux check` and `flux version` print it as the distribution. */
const fluxVersion = "v2.9.4";

function customResourceDefinition<Spec extends z.ZodObject, Status extends z.ZodObject>(
  definition: Definition<Spec, Status>,
) {
  const { group, kind, plural, shortNames, categories, component, printerColumns } = definition;
  return {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: {
      name: `${plural}.${group}`,
      // The schema's regular expressions must survive variable substitution when this file is delivered by GitOps too.
      annotations: { [annotations.substitute]: "disabled" },
      labels: {
        [labels.partOf]: "flux",
        [labels.component]: component,
        [labels.instance]: "flux-system",
        [labels.version]: fluxVersion,
        [labels.managedBy]: "flotilla", // `flux install` asks before it overrides
      },
    },
    spec: {
      group,
      scope: "Namespaced",
      names: { kind, plural, singular: kind.toLowerCase(), listKind: `${kind}List`, shortNames, categories },
      versions: definition.versions.map((version) => ({
        name: version.name,
        served: true,
        storage: version.storage,
        ...(version.deprecationWarning && { deprecated: true, deprecationWarning: version.deprecationWarning }),
        additionalPrinterColumns: printerColumns,
        subresources: { status: {} },
        schema: { openAPIV3Schema: objectSchema(definition, version) },
      })),
    },
  };
}

/** @throws RangeError when there is no such field */
function below(schema: StructuralSchema, path: string): StructuralSchema {
  return path.split(".").filter(Boolean).reduce((at, step) => {
    const field = at.properties?.[step.replace("[]", "")];
    const inner = step.endsWith("[]") ? field?.items : field;
    if (!inner) throw new RangeError(`no field ${path}`);
    return inner;
  }, schema);
}

function objectSchema<Spec extends z.ZodObject, Status extends z.ZodObject>(
  { description, spec, status, statusDefault }: Definition<Spec, Status>,
  { formerSpecFields, formerFields = {} }: Version,
): StructuralSchema {
  const specSchema = toStructuralSchema(spec);
  for (const [path, fields] of [["", formerSpecFields ?? {}], ...Object.entries(formerFields)] as const)
    Object.assign(below(specSchema, path).properties ?? {}, toStructuralSchema(z.object(fields)).properties);
  return {
    type: "object",
    description,
    properties: {
      apiVersion: { type: "string", description: "Group and version of this object." },
      kind: { type: "string", description: "Kind of this object." },
      metadata: { type: "object" },
      spec: specSchema,
      status: { ...toStructuralSchema(status), ...(statusDefault !== undefined && { default: statusDefault }) },
    },
  };
}
