/** ArtifactGenerator: makes artifacts out of those of other sources (flux.md 1.7). */
import { z } from "zod";
import { condition } from "./conditions.ts";
import { columns, defineKind } from "./kind.ts";
import { stringMap, validations } from "./schema.ts";

/** The kind of object that offers what was made. */
export const offering = { kind: "ExternalArtifact", actorKind: "externalartifact" } as const;

const alias = "[a-z0-9]([a-z0-9_-]*[a-z0-9])?";

const sourceReference = z
  .object({
    alias: z.string().regex(new RegExp(`^${alias}$`)).max(63).describe("What it is called in this object."),
    kind: z.enum(["Bucket", "GitRepository", "OCIRepository", "HelmChart", "ExternalArtifact"]).describe("Kind of the source."),
    name: z.string().regex(/^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/).max(253).describe("Name of the source."),
    namespace: z.string().regex(/^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/).min(1).max(63).optional().describe("Namespace of the source; the same when absent."),
  })
  .describe("A source whose artifact is used.");

const copyOperation = z
  .object({
    from: z.string().regex(new RegExp(`^@(${alias})/(.*)$`)).min(1).max(1024).describe("`@` with the alias of a source, and a path or pattern in it."),
    to: z.string().regex(/^@(artifact)\/(.*)$/).min(1).max(1024).describe("`@artifact/` and a path in the artifact; a directory when it ends with `/`."),
    exclude: z.array(z.string()).max(100).optional().describe("Patterns of what is not copied; one without a slash is for names at any depth."),
    strategy: z
      .enum(["Overwrite", "Merge", "Extract"])
      .optional()
      .describe("`Overwrite`, also when absent; `Merge`: YAML files as Helm merges values; `Extract`: what is in tar.gz archives."),
  })
  .describe("A step in which files are copied.");

const outputArtifact = z
  .object({
    name: z.string().min(1).max(253).describe("Name of the ExternalArtifact; with `pathPattern` it may hold captures, such as `{app}`."),
    revision: z.string().regex(new RegExp(`^@(${alias})$`)).max(64).optional().describe("`@` with the alias of the source whose revision it has; `latest@` and its digest when absent."),
    originRevision: z.string().regex(new RegExp(`^@(${alias})$`)).max(64).optional().describe("`@` with the alias of the source whose revision is said to be its origin."),
    copy: z.array(copyOperation).min(1).describe("What is copied, one step after the other."),
  })
  .describe("An artifact to make.");

const spec = z
  .object({
    commonMetadata: z
      .object({
        annotations: stringMap().optional().describe("Annotations of each ExternalArtifact."),
        labels: stringMap().optional().describe("Labels of each ExternalArtifact."),
      })
      .optional()
      .describe("What each ExternalArtifact carries."),
    sources: z.array(sourceReference).min(1).max(1000).describe("Sources that may be copied from."),
    pathPattern: z
      .string()
      .regex(new RegExp(`^@(${alias})/(.*)$`))
      .max(1024)
      .optional()
      .describe("`@` with an alias, and a directory with captures, such as `apps/{app}`: every one that fits gives the artifacts anew."),
    artifacts: z.array(outputArtifact).min(1).max(1000).describe("What to make."),
  })
  .describe("What to make, and from what.")
  .meta(
    validations({
      rule:
        "has(self.pathPattern) && size(self.pathPattern) > 0 || self.artifacts.all(a, " +
        "a.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$'))",
      message: "without pathPattern each artifact's name must be one that an object may have",
    }),
  );

const status = z
  .object({
    lastHandledReconcileAt: z.string().optional().describe("Value of the annotation `reconcile.fluxcd.io/requestedAt` that was last acted on."),
    conditions: z.array(condition).optional().describe("What is known about the artifacts."),
    inventory: z
      .array(
        z
          .object({
            name: z.string().describe("Name of the ExternalArtifact."),
            namespace: z.string().describe("Namespace of the ExternalArtifact."),
            digest: z.string().describe("Digest of its artifact."),
            filename: z.string().describe("Name of its file."),
          })
          .describe("An ExternalArtifact."),
      )
      .optional()
      .describe("The ExternalArtifacts that were made."),
    observedSourcesDigest: z.string().optional().describe("Another one whenever a source has another artifact."),
  })
  .describe("What was made.");

export type ArtifactGeneratorSpec = z.output<typeof spec>;
export type OutputArtifact = z.output<typeof outputArtifact>;
export type CopyOperation = z.output<typeof copyOperation>;

export const artifactGenerator = defineKind({
  group: "source.extensions.fluxcd.io",
  kind: "ArtifactGenerator",
  plural: "artifactgenerators",
  shortNames: ["ag"],
  categories: ["all", "fluxcd", "fluxcd-sources"],
  component: "source-watcher",
  finalizer: "source.extensions.fluxcd.io/finalizer",
  description: "Makes artifacts out of those of other sources: a part of one, or parts of several; each is offered as an ExternalArtifact.",
  versions: [{ name: "v1beta1", storage: true }],
  conditions: ["Ready", "Reconciling", "Stalled"],
  printerColumns: [
    columns.age,
    columns.ready,
    columns.status,
  ],
  spec,
  status,
  example: {
    apiVersion: "source.extensions.fluxcd.io/v1beta1",
    kind: "ArtifactGenerator",
    metadata: { name: "apps", namespace: "flux-system" },
    spec: {
      sources: [{ alias: "repo", kind: "GitRepository", name: "monorepo" }],
      artifacts: [{ name: "shop", copy: [{ from: "@repo/apps/shop/**", to: "@artifact/" }] }],
    },
  },
});
