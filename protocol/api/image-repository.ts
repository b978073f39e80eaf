/** ImageRepository: the tags of an image in a registry, scanned again and again (flux.md 1.10). */
import { z } from "zod";
import { condition } from "./conditions.ts";
import { columns, defineKind, deprecated } from "./kind.ts";
import { duration, int64, localReference, shortDuration, stringMap, timestamp } from "./schema.ts";

const spec = z
  .object({
    image: z.string().describe("Name of the image with its registry, such as `ghcr.io/team/shop`: neither scheme nor tag."),
    interval: duration().describe("How often the tags are listed."),
    timeout: shortDuration().optional().describe("Longest time for one scan; as long as the interval when absent."),
    secretRef: localReference().optional().describe("Pull secret (`kubernetes.io/dockerconfigjson`) with the registry's credentials."),
    serviceAccountName: z
      .string()
      .max(253)
      .optional()
      .describe("ServiceAccount whose `imagePullSecrets` are used, or whose identity, with another provider than `generic`."),
    certSecretRef: localReference()
      .optional()
      .describe("Secret with `ca.crt`, trusted beside the usual authorities, or `tls.crt` and `tls.key`, shown to the registry, or all."),
    proxySecretRef: localReference().optional().describe("Secret with the `address` of a proxy, its `username` and `password`."),
    provider: z
      .enum(["generic", "aws", "azure", "gcp"])
      .default("generic")
      .describe("Who vouches for us at the registry; `generic`: the pull secrets."),
    insecure: z.boolean().optional().describe("Plain HTTP will do."),
    suspend: z.boolean().optional().describe("Do nothing until this is taken away."),
    exclusionList: z
      .array(z.string())
      .max(25)
      .default(["^.*\\.sig$"])
      .describe("Regular expressions: a tag that one of them matches is passed over."),
    accessFrom: z
      .object({
        namespaceSelectors: z
          .array(z.object({ matchLabels: stringMap().optional().describe("Labels that the namespace carries; every namespace when empty.") }).describe("Some namespaces."))
          .describe("Namespaces whose policies may refer to this object; any one of the selectors will do."),
      })
      .optional()
      .describe("Who may refer to this object from another namespace; nobody when absent."),
  })
  .describe("Which image, where, and how often.");

const status = z
  .object({
    observedGeneration: int64().optional().describe("Generation of the object that was last seen through."),
    lastHandledReconcileAt: z.string().optional().describe("Value of the annotation `reconcile.fluxcd.io/requestedAt` that was last acted on."),
    conditions: z.array(condition).optional().describe("What is known about the scans."),
    canonicalImageName: z.string().optional().describe("Name of the image with everything that it implies, such as `index.docker.io/library/alpine`."),
    lastScanResult: z
      .object({
        revision: z.string().optional().describe("Another one whenever the tags are others."),
        tagCount: z.int().describe("How many tags were kept."),
        scanTime: timestamp().optional().describe("When it was."),
        latestTags: z.array(z.string()).optional().describe("The last ten tags in the order of text, last one first."),
      })
      .optional()
      .describe("The last scan that ended well."),
    observedExclusionList: z.array(z.string()).optional().describe("`spec.exclusionList` of the last scan."),
  })
  .describe("What was found.");

export type ImageRepositorySpec = z.output<typeof spec>;

export const imageRepository = defineKind({
  group: "image.toolkit.fluxcd.io",
  kind: "ImageRepository",
  plural: "imagerepositories",
  shortNames: ["imgrepo", "imagerepo"],
  categories: ["all", "fluxcd", "fluxcd-images"],
  component: "image-reflector-controller",
  description: "An image in a registry, scanned for its tags; an ImagePolicy elects one of them.",
  versions: [
    { name: "v1", storage: true },
    deprecated("ImageRepository", "v1beta2", "v1"),
    deprecated("ImageRepository", "v1beta1", "v1"),
  ],
  conditions: ["Ready", "Reconciling", "Stalled"],
  printerColumns: [
    { name: "Image", type: "string", jsonPath: ".spec.image" },
    { name: "Tags", type: "string", jsonPath: ".status.lastScanResult.tagCount" },
    columns.ready,
    columns.status,
    { name: "Last scan", type: "string", jsonPath: ".status.lastScanResult.scanTime", priority: 1 },
    columns.age,
  ],
  spec,
  status,
  statusDefault: { observedGeneration: -1 },
  example: {
    apiVersion: "image.toolkit.fluxcd.io/v1",
    kind: "ImageRepository",
    metadata: { name: "shop", namespace: "flux-system" },
    spec: { image: "registry.example.com/team/shop", interval: "5m" },
  },
});
