/** Every command, as data: help, parsing and docs/reference/cli.md come from here. */
import type { Command, Option } from "./command.ts";

const json: Option = { flags: "--json", help: "print the result as JSON" };
const verbose: Option = { flags: "--verbose", help: "on failure print the stack as well" };
const data: Option = {
  flags: "--data <dir>",
  help: "Flotilla's data folder (default: $XDG_DATA_HOME/flotilla or ~/.local/share/flotilla)",
};
const always = [json, verbose];

const cluster: Option[] = [
  {
    flags: "-n, --namespace <name>",
    help: "namespace of the objects (default: $FLUX_SYSTEM_NAMESPACE or flux-system)",
  },
  {
    flags: "--kubeconfig <file>",
    help: "kubeconfig to use (default: $KUBECONFIG, the pod's service account, ~/.kube/config)",
  },
  { flags: "--context <name>", help: "context of the kubeconfig (default: its current one)" },
];
const timeout: Option = { flags: "--timeout <duration>", help: "how long to wait", default: "5m" };

const kubeconfig: Option = {
  flags: "--kubeconfig <file>",
  help: "the cluster to work on (default: $KUBECONFIG, or the pod's service account)",
};
const running: Option[] = [
  { flags: "--nats-creds <file>", help: "credentials file (JWT and seed) for the NATS (default: $FLOTILLA_NATS_CREDS)" },
  { flags: "--nats-nkey <file>", help: "seed of an NKey for the NATS (default: $FLOTILLA_NATS_NKEY)" },
  { flags: "--nats-ca <file>", help: "authorities that may sign the NATS servers' certificates; TLS is then a must, as with tls:// (default: $FLOTILLA_NATS_CA)" },
  { flags: "--nats-cert <file>", help: "our own certificate for the NATS (default: $FLOTILLA_NATS_CERT)" },
  { flags: "--nats-key <file>", help: "key of that certificate (default: $FLOTILLA_NATS_KEY)" },
  {
    flags: "--nats-monitor <url>",
    help: "NATS's monitoring endpoint, several with commas between: at the start it is asked whether what NATS acknowledges is on disk",
  },
  { flags: "--capacity <number>", help: "how much this worker carries: one with 2 gets twice as much as one with 1", default: "1" },
  {
    flags: "--shard <key>",
    help: "be there for the objects labelled sharding.fluxcd.io/key: <key> (default: for all that have no shard)",
  },
  {
    flags: "--tenant-label <key>",
    help: "label that names the tenant whose turn it is, such as sharding.fluxcd.io/key (default: the namespace is the tenant)",
  },
  {
    flags: "--stamp-epochs",
    help: "write the owner's epoch on applied objects, for deploy/policy/epoch-fence.yaml; all workers or none",
  },
  {
    flags: "--tenancy <mode>",
    help: "open, or locked: units act as their namespace's ServiceAccount and reach nothing of other namespaces (sets the three flags below; the same on all workers)",
    default: "open",
  },
  { flags: "--default-service-account <name>", help: "ServiceAccount, of its own namespace, in whose name a Kustomization that names none is applied" },
  { flags: "--no-cross-namespace-refs", help: "refuse a Kustomization whose source is in another namespace" },
  {
    flags: "--default-kubeconfig-service-account <name>",
    help: "ServiceAccount whose token opens the cluster of a spec.kubeConfig.configMapRef that names none (default: none; locked: default)",
  },
  {
    flags: "--default-decryption-service-account <name>",
    help: "ServiceAccount whose identity in a cloud or at a Vault decrypts for a spec.decryption that names none (default: none; locked: default)",
  },
  { flags: "--insecure-kubeconfig-exec", help: "let kubeconfigs that users name in spec.kubeConfig run programs (user.exec)" },
  { flags: "--insecure-kubeconfig-tls", help: "let them leave out the check of the server's certificate, or TLS" },
  { flags: "--no-remote-bases", help: "builds fetch nothing from elsewhere, whatever --allow-remote-bases says" },
  { flags: "--allow-remote-bases", help: "fetch the remote bases of kustomizations from Git over https, without credentials (not with --no-remote-bases or --tenancy locked)" },
  { flags: "--remote-base-hosts <hosts>", help: "hosts that remote bases are fetched from, with commas between, also by http and at private addresses (default: all at public addresses)" },
  {
    flags: "--feature-gates <list>",
    help: "Flux's feature gates as Name=true,Other=false: StrictPostBuildSubstitutions (default: true), DisableFailFastBehavior (default: false), AdditiveCELDependencyCheck (default: false), DefaultToRetryOnFailure (default: false)",
  },
  { flags: "--sops-age-secret <[namespace/]name>", help: "Secret with age keys for Kustomizations whose spec.decryption names none (namespace: $RUNTIME_NAMESPACE or flux-system)" },
  { flags: "--sops-vault-configmap <[namespace/]name>", help: "ConfigMap with the Vaults (config.yaml: instances of address and loginPath) that ServiceAccounts may log in at to decrypt" },
  { flags: "--sops-own-identity", help: "decrypt with the worker's own identity in a cloud where neither credentials nor a ServiceAccount are named, as Flux does: for whoever may create a Kustomization" },
  { flags: "--sops-ignore-mac", help: "do not verify the MAC of encrypted files, as Flux does not" },
  {
    flags: "--override-manager <names>",
    help: "field managers whose changes to applied objects are undone, with commas between: beginnings of names; the same for all workers",
  },
  {
    flags: "--custom-apply-stage-kinds <kinds>",
    help: "kinds that are applied before the rest, such as some.group.io/SomeResource, with commas between; the same for all workers",
  },
  { flags: "--artifacts <url>", help: "keep artifacts in S3, or in what speaks its API, and not in NATS: s3://BUCKET/PREFIX?endpoint=https://HOST&region=REGION; the same for all workers" },
  { flags: "--artifact-cache <MiB>", help: "disk for artifacts in the data folder, so that what was read is not fetched again; 0: none", default: "512" },
  { flags: "--replicas <number>", help: "on how many servers NATS keeps what is stored (default: 3 in a cluster that has room, else 1)" },
  data,
  { flags: "--log-level <level>", help: "trace, debug, info or error", default: "info" },
  verbose,
];

const local: Option[] = [
  { flags: "--path <dir>", help: "directory to build, in place of spec.path of the source" },
  { flags: "--root <dir>", help: "what the source would hold (default: the Git repository that holds --path, or --path itself)" },
  { flags: "--kustomization-file <file>", help: "the Kustomization, in place of the cluster's" },
  { flags: "--ignore-paths <list>", help: "what to leave out beside .sourceignore: its patterns, with commas between" },
  { flags: "--strict-substitute", help: "fail for a variable without value and default: as workers do, also with --dry-run" },
  { flags: "--no-strict-substitute", help: "such a variable is empty text" },
];

const chart: Option[] = [
  { flags: "--helmrelease-file <file>", help: "the HelmRelease, in place of the cluster's" },
  { flags: "--values-root <dir>", help: "directory that stands for the source of valuesFrom's files; KIND/NAME=DIR with commas between for several (default: --root for files beside the chart, else what the sources in the cluster offer)" },
];

const server: Option[] = [
  {
    flags: "--server <url>",
    help: "address of the gateway, with FLOTILLA_TOKEN (default: $FLOTILLA_SERVER, or the data folder's endpoint.json)",
  },
  data,
];

export const commands: Command[] = [
  {
    name: "up",
    words: "",
    summary: "run Flotilla: worker, gateway and, without --nats, an embedded nats-server",
    details: "Stays in the foreground, prints one line when ready, and ends with its children on SIGTERM or Ctrl-C.",
    examples: [
      "flotilla up --kubeconfig ~/.kube/config",
      "flotilla up --nats nats://nats.example:4222 --listen 0.0.0.0:9090",
    ],
    options: [
      kubeconfig,
      cluster[2]!,
      { flags: "--nats <url>", help: "an existing NATS with JetStream (default: $FLOTILLA_NATS, or an embedded server)" },
      {
        flags: "--listen <host:port>",
        help: "where the gateway listens: webhooks, artifacts, metrics, health",
        default: "127.0.0.1:9090",
      },
      { flags: "--advertise <url>", help: "address written into artifact URLs (default: the listening address)" },
      ...running,
    ],
    load: async () => (await import("./commands/up.ts")).up,
  },
  {
    name: "worker",
    words: "",
    summary: "run one more worker on an existing NATS: the work is shared among all of them",
    details:
      "Start as many as you like, on one machine or several; none needs to be told which part is its own. On SIGTERM or Ctrl-C\n" +
      "it hands everything over before it ends, a second one ends it at once. FLOTILLA_TOKEN and FLOTILLA_WEBHOOK_TOKEN in the\n" +
      "environment give all workers the same tokens.",
    examples: [
      "flotilla worker --nats nats://nats.example:4222",
      "flotilla worker --nats tls://nats.example:4222 --nats-ca ca.pem --nats-creds flotilla.creds",
      "flotilla worker --nats nats://a:4222,nats://b:4222,nats://c:4222 --listen 0.0.0.0:9090 --advertise http://flotilla.flux-system",
    ],
    options: [
      { flags: "--nats <url>", help: "the NATS with JetStream that the workers share; several servers with commas between (default: $FLOTILLA_NATS)" },
      kubeconfig,
      cluster[2]!,
      {
        flags: "--listen <host:port>",
        help: "where the gateway listens: webhooks, artifacts, metrics, health; port 0 takes a free one",
        default: "127.0.0.1:0",
      },
      {
        flags: "--advertise <url>",
        help: "address written into artifact URLs, for all workers (default: the one written down before, or the listening address)",
      },
      ...running,
    ],
    load: async () => (await import("./commands/worker.ts")).worker,
  },
  {
    name: "workers",
    words: "",
    summary: "show the workers that share the work, and what each of them holds",
    details:
      "LOAD is the time its actors worked, per minute. LEASE is the age of its last heartbeat: a worker that is silent for\n" +
      "two seconds is held for dead. COORDINATOR marks the one that places the partitions.",
    examples: ["flotilla workers", "flotilla workers --json"],
    options: [...server, ...always],
    load: async () => (await import("./commands/workers.ts")).workers,
  },
  {
    name: "drain",
    words: "<worker>",
    summary: "empty a worker: it hands everything over, and gets nothing until --undo",
    details: "A beginning of the name that no other worker has is enough. Waits until the worker holds nothing.",
    examples: ["flotilla drain node-a-1f3c", "flotilla drain node-a-1f3c --undo"],
    options: [{ flags: "--undo", help: "let it take part again" }, timeout, ...server, ...always],
    load: async () => (await import("./commands/drain.ts")).drain,
  },
  {
    name: "get",
    words: "[kind] [name...]",
    summary: "show objects and whether they are ready",
    details: "Kinds: all, sources, source git (gitrepository, gitrepo), source oci (ocirepository, ocirepo),\nsource bucket, source helm (helmrepository, helmrepo), source chart (helmchart, hc),\nsource external, artifacts generators (artifactgenerator, ag), images, image repository (imagerepository, imgrepo),\nimage policy (imagepolicy, imgpol), image update (imageupdateautomation, iua), kustomizations (kustomization, ks), helmreleases (helmrelease, hr).",
    examples: ["flotilla get all -A", "flotilla get kustomizations -n apps", "flotilla get sources git podinfo --json", "flotilla get images all"],
    options: [{ flags: "-A, --all-namespaces", help: "objects of every namespace" }, ...cluster, ...always],
    load: async () => (await import("./commands/get.ts")).get,
  },
  {
    name: "reconcile",
    words: "<kind> <name...>",
    summary: "reconcile an object now and wait for the result",
    details: "Kinds: source git, source oci, source bucket, source helm, source chart, image repository, image policy, image update, kustomization, helmrelease. Exits with 1 when the object is not Ready afterwards.",
    examples: [
      "flotilla reconcile source git podinfo -n apps",
      "flotilla reconcile kustomization podinfo -n apps --with-source",
      "flotilla reconcile image repository podinfo",
      "flotilla reconcile helmrelease podinfo -n apps --reset --force",
    ],
    options: [
      { flags: "--with-source", help: "reconcile the object's source first" },
      { flags: "--force", help: "of a helmrelease: one install or upgrade, whatever its state" },
      { flags: "--reset", help: "of a helmrelease: count its failures from zero" },
      timeout, ...cluster, ...always,
    ],
    load: async () => (await import("./commands/reconcile.ts")).reconcile,
  },
  {
    name: "suspend",
    words: "<kind> <name...>",
    summary: "stop reconciling an object until it is resumed",
    details: "Kinds: source git, source oci, source bucket, source helm, source chart, image repository, image policy, image update, kustomization, helmrelease. What is applied stays; drift is not put back meanwhile.",
    examples: ["flotilla suspend kustomization podinfo -n apps", "flotilla suspend source git podinfo -n apps"],
    options: [...cluster, ...always],
    load: async () => (await import("./commands/suspend.ts")).suspend,
  },
  {
    name: "resume",
    words: "<kind> <name...>",
    summary: "reconcile a suspended object again and wait for the result",
    details: "Kinds: source git, source oci, source bucket, source helm, source chart, image repository, image policy, image update, kustomization, helmrelease.",
    examples: [
      "flotilla resume kustomization podinfo -n apps",
      "flotilla resume source git podinfo -n apps --timeout 1m",
    ],
    options: [timeout, ...cluster, ...always],
    load: async () => (await import("./commands/suspend.ts")).resume,
  },
  {
    name: "why",
    words: "<unit...>",
    summary: "explain what holds a kustomization or a release up: the chain down to its cause, since when, and what to do",
    details:
      "Follows spec.dependsOn and the source, by what the objects themselves say. Exits with 0 when the unit is ready at its\n" +
      "newest revision, with 1 when something holds it up.",
    examples: ["flotilla why podinfo -n apps", "flotilla why kustomization podinfo -n apps --json", "flotilla why helmrelease podinfo -n apps"],
    options: [...cluster, ...always],
    load: async () => (await import("./commands/why.ts")).why,
  },
  {
    name: "build",
    words: "<kind> <name>",
    summary: "build a kustomization or a helmrelease, and print its objects in the order they are applied",
    details:
      "Kind: kustomization, helmrelease. What Secrets hold is masked. With --kustomization-file and --dry-run no cluster is asked:\n" +
      "variables of substituteFrom count as absent, and what is encrypted stays so. A helmrelease is built from the chart in --path,\n" +
      "a directory or a .tgz, or from the one that its source in the cluster offers: CustomResourceDefinitions, objects, then hooks.\n" +
      "Without a cluster valuesFrom counts as absent, but for files of --values-root, and lookup finds nothing.",
    examples: [
      "flotilla build kustomization podinfo -n apps --path ./apps/podinfo",
      "flotilla build kustomization podinfo --path ./apps/podinfo --kustomization-file podinfo.yaml --dry-run",
      "flotilla build helmrelease podinfo -n apps --path ./charts/podinfo",
      "flotilla build helmrelease podinfo -n apps",
    ],
    options: [
      ...local,
      ...chart,
      { flags: "--kube-version <version>", help: "what a chart takes the cluster's version to be (default: the cluster's, or v1.36.0)" },
      { flags: "--api-versions <list>", help: "what a chart takes the cluster to serve, e.g. apps/v1 (default: what it serves)" },
      { flags: "--dry-run", help: "ask no cluster; needs the object's file" },
      ...cluster,
      ...always,
    ],
    load: async () => (await import("./commands/build.ts")).build,
  },
  {
    name: "diff",
    words: "<kind> <name>",
    summary: "show what applying a directory on this machine, or a release's next revision, would create, change and delete",
    details:
      "Kind: kustomization, helmrelease. Everything is tried by server-side dry-run, nothing is written. Fields are JSON pointers, as\n" +
      "spec.ignore takes them; what Secrets hold is masked. A helmrelease is that of the chart in --path, a directory or a .tgz, or of\n" +
      "the one that its source in the cluster offers; its hooks are left out. Exits with 0 when nothing differs, 1 when something does,\n" +
      "2 on failure.",
    examples: [
      "flotilla diff kustomization podinfo -n apps --path ./apps/podinfo",
      "flotilla diff kustomization podinfo -n apps --path ./apps/podinfo --json",
      "flotilla diff helmrelease podinfo -n apps --path ./charts/podinfo",
      "flotilla diff helmrelease podinfo -n apps --values-root .",
    ],
    options: [...local, ...chart, ...cluster, ...always],
    load: async () => (await import("./commands/diff.ts")).diff,
  },
  {
    name: "trace",
    words: "[commit|unit]",
    summary: "follow a change from its commit to healthy objects, and see where the time went",
    details:
      "A commit is given by its first digits (4 or more) or as a revision; a unit as kind/namespace/name or kind/name, and\n" +
      "its latest trace is shown. Without either, lists the latest changes. Traces are kept for a week.",
    examples: ["flotilla trace", "flotilla trace 4c1d9e2", "flotilla trace kustomization/apps/podinfo"],
    options: [cluster[0]!, ...server, ...always],
    load: async () => (await import("./commands/trace.ts")).trace,
  },
  {
    name: "version",
    words: "",
    summary: "print the version",
    examples: ["flotilla version", "flotilla version --json"],
    options: [...always],
    load: async () => (await import("./commands/version.ts")).version,
  },
];
