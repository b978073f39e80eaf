/** ImagePolicy: which tag of an image is the latest (flux.md 1.11). */
import { z } from "zod";
import { condition } from "./conditions.ts";
import { columns, defineKind, deprecated } from "./kind.ts";
import { duration, int64, validations } from "./schema.ts";

const order = (what: string) =>
  z
    .object({ order: z.enum(["asc", "desc"]).default("asc").describe("`asc`: the last one is the latest; `desc`: the first.") })
    .describe(what);

const reference = (what: string) =>
  z
    .object({
      name: z.string().describe("Name of the image."),
      tag: z.string().describe("Its tag."),
      digest: z.string().optional().describe("What the tag meant, where the policy reflects digests."),
    })
    .describe(what);

const spec = z
  .object({
    imageRepositoryRef: z
      .object({
        name: z.string().describe("Name of the ImageRepository."),
        namespace: z.string().optional().describe("Namespace of the ImageRepository, which must allow it; the same when absent."),
      })
      .describe("The ImageRepository whose tags are looked at."),
    policy: z
      .object({
        semver: z
          .object({ range: z.string().describe("Range of semantic versions: the highest version within it is the latest.") })
          .optional()
          .describe("Tags are versions."),
        alphabetical: order("Tags are ordered as text.").optional(),
        numerical: order("Tags are ordered as numbers.").optional(),
      })
      .describe("How tags are ordered: the first given of semver, alphabetical, numerical."),
    filterTags: z
      .object({
        pattern: z.string().optional().describe("Regular expression: only tags that it matches are looked at."),
        extract: z.string().optional().describe("What of such a tag is ordered in its place: text with `$name` or `$1` for groups of the pattern."),
      })
      .optional()
      .describe("Which tags are looked at; all when absent."),
    digestReflectionPolicy: z
      .enum(["Always", "IfNotPresent", "Never"])
      .default("Never")
      .describe("Whether the digest of the latest tag is looked up: never, once for each tag, or again and again."),
    interval: duration().optional().describe("How often the digest is looked up, with `Always`."),
    suspend: z.boolean().optional().describe("Do nothing until this is taken away."),
  })
  .describe("Whose tags, and which of them is the latest.")
  .meta(
    validations(
      {
        rule: "!has(self.interval) || (has(self.digestReflectionPolicy) && self.digestReflectionPolicy == 'Always')",
        message: "an interval is for digestReflectionPolicy 'Always' only",
      },
      {
        rule: "has(self.interval) || !has(self.digestReflectionPolicy) || self.digestReflectionPolicy != 'Always'",
        message: "digestReflectionPolicy 'Always' needs an interval",
      },
    ),
  );

const status = z
  .object({
    observedGeneration: int64().optional().describe("Generation of the object that was last seen through."),
    lastHandledReconcileAt: z.string().optional().describe("Value of the annotation `reconcile.fluxcd.io/requestedAt` that was last acted on."),
    conditions: z.array(condition).optional().describe("What is known about the election."),
    latestRef: reference("The latest image.").optional(),
    observedPreviousRef: reference("The one that was the latest before.").optional(),
  })
  .describe("What was elected.");

export type ImagePolicySpec = z.output<typeof spec>;

export const imagePolicy = defineKind({
  group: "image.toolkit.fluxcd.io",
  kind: "ImagePolicy",
  plural: "imagepolicies",
  shortNames: ["imgpol", "imagepol"],
  categories: ["all", "fluxcd", "fluxcd-images"],
  component: "image-reflector-controller",
  description: "Elects the latest of the tags that an ImageRepository has found.",
  versions: [
    { name: "v1", storage: true },
    deprecated("ImagePolicy", "v1beta2", "v1"),
    deprecated("ImagePolicy", "v1beta1", "v1"),
  ],
  conditions: ["Ready", "Reconciling", "Stalled"],
  printerColumns: [
    { name: "Image", type: "string", jsonPath: ".status.latestRef.name" },
    { name: "Tag", type: "string", jsonPath: ".status.latestRef.tag" },
    columns.ready,
    columns.status,
    columns.age,
  ],
  spec,
  status,
  statusDefault: { observedGeneration: -1 },
  example: {
    apiVersion: "image.toolkit.fluxcd.io/v1",
    kind: "ImagePolicy",
    metadata: { name: "shop", namespace: "flux-system" },
    spec: { imageRepositoryRef: { name: "shop" }, policy: { semver: { range: ">=1.0.0" } } },
  },
});
