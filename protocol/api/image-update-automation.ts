/** ImageUpdateAutomation: elected images written back to Git (flux.md 1.12). */
import { z } from "zod";
import { condition } from "./conditions.ts";
import { reference } from "./git-repository.ts";
import { columns, defineKind, deprecated } from "./kind.ts";
import { duration, int64, localReference, requiredAllTheSame, stringMap, timestamp } from "./schema.ts";

const selector = z
  .object({
    matchLabels: stringMap().optional().describe("Labels and their values, all of which a policy carries."),
    matchExpressions: z
      .array(
        z
          .object({
            key: z.string().describe("The label."),
            operator: z.string().describe("`In`, `NotIn`, `Exists` or `DoesNotExist`."),
            values: z.array(z.string()).optional().describe("Values, with `In` and `NotIn`."),
          })
          .describe("One demand."),
      )
      .optional()
      .describe("Demands, all of which a policy meets."),
  })
  .describe("Labels of the policies that count; all of the namespace when absent.");

const git = z
  .object({
    checkout: z
      .object({ ref: reference.describe("What is checked out.") })
      .optional()
      .describe("What the change begins from; what the source follows when absent."),
    commit: z
      .object({
        author: z
          .object({
            email: z.string().describe("Address of the author, who is the committer too."),
            name: z.string().optional().describe("Name of the author."),
          })
          .describe("In whose name commits are made."),
        messageTemplate: z.string().optional().describe("Go template of the message, with the functions of sprig that depend on nothing else."),
        messageTemplateValues: stringMap().optional().describe("What the template finds under `.Values`."),
        signingKey: z
          .object({
            secretRef: localReference().describe("Secret with the key: `git.asc` and `passphrase`, or with type `ssh` `identity` and `password`."),
            type: z.enum(["gpg", "ssh"]).optional().describe("What kind of key it is; `gpg` when absent."),
          })
          .optional()
          .describe("With what commits are signed."),
      })
      .describe("How commits are made."),
    push: z
      .object({
        branch: z.string().optional().describe("Branch to push to, made from what is checked out; the branch that is checked out when absent."),
        refspec: z.string().optional().describe("A refspec that is pushed beside the branch, such as `refs/heads/main:refs/for/main`."),
        options: stringMap().optional().describe("Push options."),
      })
      .optional()
      .describe("Where commits are pushed to."),
  })
  .describe("What is checked out, and how commits are made and pushed.");

const spec = z
  .object({
    sourceRef: z
      .object({
        apiVersion: z.string().optional().describe("API version of the source."),
        kind: z.enum(["GitRepository"]).default("GitRepository").describe("Kind of the source.").meta(requiredAllTheSame),
        name: z.string().describe("Name of the source."),
        namespace: z.string().optional().describe("Namespace of the source; the same when absent."),
      })
      .describe("The repository, and how it is reached."),
    git: git.optional(),
    interval: duration().describe("How often it is looked whether anything is to be updated, when nothing announces it."),
    policySelector: selector.optional(),
    update: z
      .object({
        strategy: z.enum(["Setters"]).default("Setters").describe("How files are updated: by the markers in them."),
        path: z.string().optional().describe("Directory whose files are updated; the whole repository when absent."),
      })
      .default({ strategy: "Setters" })
      .describe("Which files are updated, and how."),
    suspend: z.boolean().optional().describe("Do nothing until this is taken away."),
  })
  .describe("Which images go into which files of which branch.");

const status = z
  .object({
    observedGeneration: int64().optional().describe("Generation of the object that was last seen through."),
    lastHandledReconcileAt: z.string().optional().describe("Value of the annotation `reconcile.fluxcd.io/requestedAt` that was last acted on."),
    conditions: z.array(condition).optional().describe("What is known about the updates."),
    lastAutomationRunTime: timestamp().optional().describe("When it was last looked."),
    lastPushCommit: z.string().optional().describe("The commit that was pushed last."),
    lastPushTime: timestamp().optional().describe("When that was."),
    observedPolicies: z
      .record(
        z.string(),
        z.object({ name: z.string().describe("Name of the image."), tag: z.string().describe("Its tag."), digest: z.string().optional().describe("What the tag meant.") }).describe("What a policy elects."),
      )
      .optional()
      .describe("What each policy elected, when it was last looked."),
    observedSourceRevision: z.string().optional().describe("Revision of the source, when it was last looked."),
  })
  .describe("What was updated.");

export type ImageUpdateSpec = z.output<typeof spec>;

export const imageUpdateAutomation = defineKind({
  group: "image.toolkit.fluxcd.io",
  kind: "ImageUpdateAutomation",
  plural: "imageupdateautomations",
  shortNames: ["iua", "imgupd", "imgauto"],
  categories: ["all", "fluxcd", "fluxcd-images"],
  component: "image-automation-controller",
  description: "Writes the images that policies elect into the files of a Git repository, as commits.",
  versions: [
    { name: "v1", storage: true },
    deprecated("ImageUpdateAutomation", "v1beta2", "v1"),
    deprecated("ImageUpdateAutomation", "v1beta1", "v1"),
  ],
  conditions: ["Ready", "Reconciling", "Stalled"],
  printerColumns: [
    columns.ready,
    columns.status,
    { name: "Last run", type: "string", jsonPath: ".status.lastAutomationRunTime", priority: 1 },
    columns.age,
  ],
  spec,
  status,
  statusDefault: { observedGeneration: -1 },
  example: {
    apiVersion: "image.toolkit.fluxcd.io/v1",
    kind: "ImageUpdateAutomation",
    metadata: { name: "shop", namespace: "flux-system" },
    spec: {
      interval: "10m",
      sourceRef: { kind: "GitRepository", name: "shop" },
      git: { commit: { author: { name: "Flotilla", email: "flotilla@example.com" } } },
      update: { path: "./overlays/prod" },
    },
  },
});
