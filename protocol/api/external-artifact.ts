/** ExternalArtifact: an artifact that somebody else makes, and says so in its status (flux.md 1.6). */
import { z } from "zod";
import { artifact } from "./artifact.ts";
import { condition } from "./conditions.ts";
import { columns, defineKind } from "./kind.ts";

const spec = z
  .object({
    sourceRef: z
      .object({
        apiVersion: z.string().optional().describe("API version of that object."),
        kind: z.string().describe("Kind of that object."),
        name: z.string().describe("Name of that object."),
        namespace: z.string().optional().describe("Namespace of that object; the same when absent."),
      })
      .optional()
      .describe("The object that the artifact is made for."),
  })
  .describe("What the artifact is made for.");

const status = z
  .object({
    artifact: artifact.optional().describe("The newest artifact, as its producer says."),
    conditions: z.array(condition).optional().describe("What its producer says of it."),
  })
  .describe("Written by the producer of the artifact.");

export const externalArtifact = defineKind({
  group: "source.toolkit.fluxcd.io",
  kind: "ExternalArtifact",
  plural: "externalartifacts",
  shortNames: [],
  categories: [],
  component: "source-controller",
  description: "An artifact that somebody else makes: its producer writes into the status where it is, and consumers fetch it.",
  versions: [{ name: "v1", storage: true }],
  conditions: ["Ready"],
  printerColumns: [
    columns.age,
    columns.ready,
    columns.status,
    { name: "Source", type: "string", jsonPath: ".spec.sourceRef.name" },
  ],
  spec,
  status,
  source: { stored: "fetched artifact for revision", isForeign: true },
  example: {
    apiVersion: "source.toolkit.fluxcd.io/v1",
    kind: "ExternalArtifact",
    metadata: { name: "shop", namespace: "flux-system" },
    spec: { sourceRef: { apiVersion: "build.example.com/v1", kind: "Package", name: "shop" } },
  },
});
