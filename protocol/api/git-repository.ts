/** GitRepository: a Git repository as a source (flux.md 1.1). */
import { z } from "zod";
import { artifact } from "./artifact.ts";
import { condition } from "./conditions.ts";
import { columns, defineKind } from "./kind.ts";
import { duration, int64, localReference, shortDuration, stringMap, validations } from "./schema.ts";

const include = z
  .object({
    repository: localReference().describe("The other GitRepository."),
    fromPath: z.string().optional().describe("Directory of its artifact to copy; the whole of it when absent."),
    toPath: z
      .string()
      .optional()
      .describe("Directory of this artifact to copy to; the other repository's name when absent."),
  })
  .describe("Part of another GitRepository's artifact, copied into this one's.");

export const reference = z.object({
  branch: z.string().optional().describe("Branch to follow."),
  tag: z.string().optional().describe("Tag to follow."),
  semver: z.string().optional().describe("Range of semantic versions: the highest tag within it is followed."),
  name: z.string().optional().describe("Full name of a reference, such as `refs/pull/420/head`."),
  commit: z.string().optional().describe("Commit to stay at; with `branch`, the branch it is expected on."),
});

const spec = z
  .object({
    url: z
      .string()
      .regex(/^(http|https|ssh):\/\/.*$/)
      .describe("Address of the repository. The form `host:path` is not accepted: write it as `ssh://`."),
    interval: duration().describe("How often the repository is asked for news when no webhook announces it."),
    timeout: shortDuration().default("60s").describe("Longest time for one operation on the repository."),
    secretRef: localReference()
      .optional()
      .describe(
        "Secret with the credentials: `username` and `password`, or `bearerToken`, for HTTPS, `ca.crt` for a private " +
          "authority; `identity` and `known_hosts` for SSH.",
      ),
    provider: z
      .enum(["generic", "aws", "azure", "github"])
      .optional()
      .describe("Who vouches for the credentials; `generic` when absent: what is in the Secret is used as it is."),
    serviceAccountName: z
      .string()
      .optional()
      .describe("ServiceAccount whose identity is used, with provider `aws` or `azure`."),
    ref: reference
      .optional()
      .describe("What to follow: the first given of commit, name, tag, semver, branch; branch `master` when absent."),
    verify: z
      .object({
        mode: z
          .enum(["head", "HEAD", "Tag", "TagAndHEAD"])
          .default("HEAD")
          .describe("What must be signed: the commit, the tag, or both. `head` is an older spelling of `HEAD`."),
        secretRef: localReference().describe(
          "Secret with the trusted public keys: PGP under `*.asc`, SSH under `*.sshpub`.",
        ),
      })
      .optional()
      .describe("Signatures to demand before anything is published."),
    proxySecretRef: localReference()
      .optional()
      .describe("Secret with the `address` of a proxy, its `username` and `password`."),
    ignore: z
      .string()
      .optional()
      .describe("What to leave out of the artifact, in the syntax of .gitignore; replaces the default list."),
    suspend: z.boolean().optional().describe("Do nothing until this is taken away."),
    recurseSubmodules: z.boolean().optional().describe("Fetch submodules too, with the same credentials."),
    include: z.array(include).optional().describe("Artifacts of other GitRepositories to copy in."),
    sparseCheckout: z.array(z.string()).optional().describe("Directories to publish, instead of the whole repository."),
  })
  .meta(
    validations({
      rule:
        "!has(self.serviceAccountName) || " +
        "(has(self.provider) && (self.provider == 'azure' || self.provider == 'aws'))",
      message: "serviceAccountName can only be set when provider is 'azure' or 'aws'",
    }),
  )
  .describe("What to fetch, from where, and how often.");

const status = z
  .object({
    observedGeneration: int64().optional().describe("Generation of the object that was last seen through."),
    lastHandledReconcileAt: z.string().optional().describe("The request for a reconcile that was last answered."),
    conditions: z.array(condition).optional().describe("What is known about the source."),
    artifact: artifact.optional().describe("The newest artifact: last good one when fetching fails."),
    includedArtifacts: z.array(artifact).optional().describe("Artifacts that were copied in."),
    observedIgnore: z.string().optional().describe("`spec.ignore` the artifact was made with."),
    observedInclude: z.array(include).optional().describe("`spec.include` the artifact was made with."),
    observedRecurseSubmodules: z.boolean().optional().describe("`spec.recurseSubmodules` the artifact was made with."),
    observedSparseCheckout: z
      .array(z.string())
      .optional()
      .describe("`spec.sparseCheckout` the artifact was made with."),
    sourceVerificationMode: z.string().optional().describe("What was last verified."),
  })
  .describe("What was fetched.");

export const gitRepository = defineKind({
  group: "source.toolkit.fluxcd.io",
  kind: "GitRepository",
  plural: "gitrepositories",
  shortNames: ["gitrepo"],
  categories: ["all", "fluxcd", "fluxcd-sources"],
  component: "source-controller",
  description: "A Git repository, watched for new revisions; each is published as an artifact.",
  versions: [
    { name: "v1", storage: true },
    {
      name: "v1beta2",
      storage: false,
      deprecationWarning:
        "v1beta2 GitRepository is deprecated, use v1; spec.accessFrom and spec.gitImplementation have no effect",
      formerSpecFields: {
        accessFrom: z
          .object({
            namespaceSelectors: z.array(
              z.object({ matchLabels: stringMap().optional().describe("Labels of the namespace.") }),
            ),
          })
          .describe("Dropped: access across namespaces is a matter of the installation.")
          .optional(),
        gitImplementation: z.enum(["go-git", "libgit2"]).optional().describe("Dropped: there is one implementation."),
      },
    },
  ],
  conditions: [
    "Ready",
    "Reconciling",
    "Stalled",
    "ArtifactInStorage",
    "ArtifactOutdated",
    "FetchFailed",
    "StorageOperationFailed",
    "IncludeUnavailable",
    "SourceVerified",
  ],
  printerColumns: [
    { name: "URL", type: "string", jsonPath: ".spec.url" },
    columns.age,
    columns.ready,
    columns.status,
  ],
  spec,
  status,
  statusDefault: { observedGeneration: -1 },
  source: {
    stored: "stored artifact for revision",
    madeFrom(written) {
      const { data } = z.object({ include: z.array(include) }).safeParse(written);
      return (data?.include ?? []).map(({ repository: { name } }) => ({ kind: "GitRepository", name }));
    },
  },
  example: {
    apiVersion: "source.toolkit.fluxcd.io/v1",
    kind: "GitRepository",
    metadata: { name: "shop", namespace: "flux-system" },
    spec: { url: "https://git.example.com/team/shop.git", interval: "1m", ref: { branch: "main" } },
  },
});
