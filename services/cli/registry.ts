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
  {
    flags: "--nats-monitor <url>",
    help: "NATS's monitoring endpoint, several with commas between: at the start it is asked whether what NATS acknowledges is on disk",
  },
  { flags: "--capacity <number>", help: "how much this worker carries: one with 2 gets twice as much as one with 1", default: "1" },
  {
    flags: "--tenant-label <key>",
    help: "label that names the tenant whose turn it is, such as sharding.fluxcd.io/key (default: the namespace is the tenant)",
  },
  {
    flags: "--stamp-epochs",
    help: "write the owner's epoch on applied objects, for deploy/policy/epoch-fence.yaml; all workers or none",
  },
  { flags: "--replicas <number>", help: "on how many servers NATS keeps what is stored (default: 3 in a cluster that has room, else 1)" },
  data,
  { flags: "--log-level <level>", help: "trace, debug, info or error", default: "info" },
  verbose,
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
      { flags: "--nats <url>", help: "an existing NATS with JetStream (default: an embedded server)" },
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
      "flotilla worker --nats nats://a:4222,nats://b:4222,nats://c:4222 --listen 0.0.0.0:9090 --advertise http://flotilla.flux-system",
    ],
    options: [
      { flags: "--nats <url>", help: "the NATS with JetStream that the workers share; several servers with commas between" },
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
    details: "Kinds: all, sources, source git (gitrepository, gitrepo), kustomizations (kustomization, ks).",
    examples: ["flotilla get all -A", "flotilla get kustomizations -n apps", "flotilla get sources git podinfo --json"],
    options: [{ flags: "-A, --all-namespaces", help: "objects of every namespace" }, ...cluster, ...always],
    load: async () => (await import("./commands/get.ts")).get,
  },
  {
    name: "reconcile",
    words: "<kind> <name...>",
    summary: "reconcile an object now and wait for the result",
    details: "Kinds: source git, kustomization. Exits with 1 when the object is not Ready afterwards.",
    examples: [
      "flotilla reconcile source git podinfo -n apps",
      "flotilla reconcile kustomization podinfo -n apps --with-source",
    ],
    options: [{ flags: "--with-source", help: "reconcile the object's source first" }, timeout, ...cluster, ...always],
    load: async () => (await import("./commands/reconcile.ts")).reconcile,
  },
  {
    name: "suspend",
    words: "<kind> <name...>",
    summary: "stop reconciling an object until it is resumed",
    details: "Kinds: source git, kustomization. What is applied stays; drift is not put back meanwhile.",
    examples: ["flotilla suspend kustomization podinfo -n apps", "flotilla suspend source git podinfo -n apps"],
    options: [...cluster, ...always],
    load: async () => (await import("./commands/suspend.ts")).suspend,
  },
  {
    name: "resume",
    words: "<kind> <name...>",
    summary: "reconcile a suspended object again and wait for the result",
    details: "Kinds: source git, kustomization.",
    examples: [
      "flotilla resume kustomization podinfo -n apps",
      "flotilla resume source git podinfo -n apps --timeout 1m",
    ],
    options: [timeout, ...cluster, ...always],
    load: async () => (await import("./commands/suspend.ts")).resume,
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
