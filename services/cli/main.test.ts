import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import test from "node:test";
import { Fault } from "#protocol/errors/fault.ts";
import type { FluxObject } from "./cluster.ts";
import { FakeShell } from "./fake-shell.ts";
import { main } from "./main.ts";
import { cliReference } from "./reference.ts";
import { commands } from "./registry.ts";

const sha = "4c1d9e2f00000000000000000000000000000001";
const revision = `main@sha1:${sha}`;

type Status = NonNullable<FluxObject["status"]>;

function object(namespace: string, name: string, { spec = {}, status = {} }: Pick<FluxObject, "spec" | "status"> = {}): FluxObject {
  return { metadata: { namespace, name, generation: 1 }, spec, status };
}
const ready = (status: "True" | "False" | "Unknown", message: string, generation = 1): Status => ({
  observedGeneration: generation,
  conditions: [{ type: "Ready", status, reason: "X", message, observedGeneration: generation }],
});

async function run(argv: string[], prepare: (shell: FakeShell) => void = () => {}) {
  const shell = new FakeShell();
  prepare(shell);
  return { code: await main(argv, shell), shell };
}

// --- what every command has in common

for (const { name, options, examples } of commands)
  test(`[CL1] ${name} --help explains it with an example`, async () => {
    const { code, shell } = await run([name, "--help"]);
    assert.equal(code, 0);
    for (const text of [...examples, ...options.map(({ flags }) => flags)]) assert.ok(shell.stdout.includes(text), text);
    assert.equal(shell.stderr, "");
  });

test("[CL1] --help lists every command", async () => {
  const { code, shell } = await run(["--help"]);
  assert.equal(code, 0);
  for (const { name } of commands) assert.match(shell.stdout, new RegExp(`^ {2}${name} `, "m"));
});

const misuse: { argv: string[]; says: RegExp }[] = [
  { argv: [], says: /Usage: flotilla/ },
  { argv: ["bogus"], says: /^✗ unknown command 'bogus'; see "flotilla --help"$/m },
  { argv: ["get", "--bogus"], says: /^✗ unknown option '--bogus'; see "flotilla get --help"$/m },
  { argv: ["get", "deployments"], says: /^✗ no kind "deployments": one of .*kustomizations/m },
  { argv: ["get", "sources", "svn"], says: /^✗ no source kind "svn": one of git/m },
  { argv: ["get", "images", "tags"], says: /^✗ no image kind "tags": one of repository, policy, update/m },
  { argv: ["reconcile", "image", "policy", "x", "--with-source"], says: /^✗ --with-source is for kustomizations and charts/m },
  { argv: ["get", "all", "podinfo"], says: /^✗ names go with one kind/m },
  { argv: ["get", "ks", "-n", "Not A Namespace"], says: /^✗ "Not A Namespace" is no namespace$/m },
  { argv: ["get", "ks", "../x"], says: /is no name of an object/ },
  { argv: ["reconcile", "ks", "podinfo", "--force"], says: /^✗ --force is for helmreleases$/m },
  { argv: ["reconcile", "source", "git", "podinfo", "--reset"], says: /^✗ --reset is for helmreleases$/m },
  { argv: ["reconcile", "kustomization"], says: /missing required argument 'name'/ },
  { argv: ["reconcile", "source", "git"], says: /^✗ which object\?/m },
  { argv: ["reconcile", "source", "external", "x"], says: /^✗ ExternalArtifact objects are their producer's/m },
  { argv: ["suspend", "ag", "x"], says: /^✗ an ArtifactGenerator rests by its annotation/m },
  { argv: ["get", "artifacts", "x"], says: /^✗ "artifacts generators" is all/m },
  { argv: ["suspend", "source", "external", "x"], says: /^✗ ExternalArtifact objects are their producer's/m },
  { argv: ["reconcile", "all", "x"], says: /^✗ which object\?/m },
  { argv: ["reconcile", "ks", "podinfo", "--timeout", "soon"], says: /^✗ --timeout: not a duration such as 5m or 1m30s: soon$/m },
  { argv: ["reconcile", "source", "git", "podinfo", "--with-source"], says: /^✗ --with-source is for kustomizations and charts/m },
  { argv: ["reconcile", "ks", "a/b/c"], says: /is no name of an object/ },
  { argv: ["suspend", "ks", "x?force=true"], says: /is no name of an object/ },
  { argv: ["trace", "podinfo"], says: /^✗ "podinfo" is neither a commit/m },
  { argv: ["trace", "abc"], says: /^✗ "abc" is neither a commit/m },
  { argv: ["trace", "pod/x"], says: /^✗ no kind "pod"/m },
  { argv: ["trace", "4c1d", "more"], says: /too many arguments|one commit or one unit/ },
];
for (const { argv, says } of misuse)
  test(`[CL2] flotilla ${argv.join(" ")} -> 2, and nothing is tried`, async () => {
    const { code, shell } = await run(argv);
    assert.match(shell.stderr, says);
    assert.deepEqual({ code, opened: shell.opened, stdout: shell.stdout }, { code: 2, opened: [], stdout: "" });
  });

const failures: { thrown: unknown; says: string }[] = [
  { thrown: new Error("boom"), says: "✗ boom\n" },
  { thrown: new Fault("ClusterUnreachable", "https://api:6443", { detail: "connect ECONNREFUSED" }), says: "✗ https://api:6443: connect ECONNREFUSED\n" },
  { thrown: new Fault("SecretMissing", "Secret/a/b"), says: "✗ Secret/a/b: create the Secret, or correct spec.secretRef.name\n" },
  { thrown: new Error("two\nlines \u001b[2J"), says: "✗ two lines [2J\n" },
];
for (const { thrown, says } of failures)
  test(`[CL3] a failure is one sentence and exit code 1: ${JSON.stringify(says)}`, async () => {
    const { code, shell } = await run(["get", "all"], (shell) => (shell.openCluster = () => Promise.reject(thrown)));
    assert.deepEqual([code, shell.stderr], [1, says]);
  });

test("[CL3] --verbose adds the stack, and what is below it", async () => {
  const thrown = new Error("boom", { cause: new Error("below") });
  const { shell } = await run(["get", "all", "--verbose"], (shell) => (shell.openCluster = () => Promise.reject(thrown)));
  assert.match(shell.stderr, /^✗ boom\nError: boom\n +at [\s\S]+caused by Error: below/);
});

test("[CL4] the reference page is the registry's", async () =>
  assert.equal(await readFile(new URL("../../docs/reference/cli.md", import.meta.url), "utf8"), cliReference()));

test("[CL4] version, for people and for programs", async () => {
  const { version } = JSON.parse(await readFile(new URL("../../package.json", import.meta.url), "utf8")) as { version: string };
  assert.ok((await run(["version"])).shell.stdout.startsWith(`flotilla: v${version}\n`));
  assert.equal((JSON.parse((await run(["version", "--json"])).shell.stdout) as { flotilla: string }).flotilla, version);
  assert.equal((await run(["--version"])).shell.stdout, `${version}\n`);
});

// --- get

const fleet = (shell: FakeShell) => {
  shell.objects = {
    GitRepository: [object("apps", "podinfo", { status: { ...ready("True", `stored artifact for revision '${revision}'`), artifact: { revision } } })],
    Kustomization: [
      object("apps", "dev", { status: { ...ready("True", `Applied revision: ${revision}`), lastAppliedRevision: revision } }),
      object("apps", "prod", { spec: { suspend: true } }),
      object("other", "x", { status: ready("False", "build failed:\u001b[2J\nno such file") }),
    ],
  };
};
const lists: { argv: string; prints: string[]; code?: number; says?: RegExp }[] = [
  {
    argv: "get kustomizations -n apps",
    prints: [
      "NAME\tREVISION          \tSUSPENDED\tREADY\tMESSAGE",
      "dev \tmain@sha1:4c1d9e2f\tFalse    \tTrue \tApplied revision: main@sha1:4c1d9e2f",
      "prod\t                  \tTrue     \tFalse\twaiting to be reconciled",
    ],
  },
  {
    argv: "get ks -n other",
    prints: ["NAME\tREVISION\tSUSPENDED\tREADY\tMESSAGE", "x   \t        \tFalse    \tFalse\tbuild failed: [2J no such file"],
  },
  {
    argv: "get sources git podinfo -n apps",
    prints: [
      "NAME   \tREVISION          \tSUSPENDED\tREADY\tMESSAGE",
      "podinfo\tmain@sha1:4c1d9e2f\tFalse    \tTrue \tstored artifact for revision 'main@sha1:4c1d9e2f'",
    ],
  },
  {
    argv: "get all -A",
    prints: [
      "NAMESPACE\tNAME                 \tREVISION          \tSUSPENDED\tREADY\tMESSAGE",
      "apps     \tgitrepository/podinfo\tmain@sha1:4c1d9e2f\tFalse    \tTrue \tstored artifact for revision 'main@sha1:4c1d9e2f'",
      "",
      "NAMESPACE\tNAME              \tREVISION          \tSUSPENDED\tREADY\tMESSAGE",
      "apps     \tkustomization/dev \tmain@sha1:4c1d9e2f\tFalse    \tTrue \tApplied revision: main@sha1:4c1d9e2f",
      "apps     \tkustomization/prod\t                  \tTrue     \tFalse\twaiting to be reconciled",
      "other    \tkustomization/x   \t                  \tFalse    \tFalse\tbuild failed: [2J no such file",
    ],
  },
  { argv: "get ks nope -n apps", prints: [], code: 1, says: /^✗ Kustomization 'nope' not found in namespace apps: / },
  { argv: "get ks", prints: [], code: 1, says: /^✗ no Kustomization objects found in namespace flux-system$/m },
  { argv: "get all", prints: [], code: 0 },
];
for (const { argv, prints, code = 0, says = /^$/ } of lists)
  test(`[CL5] flotilla ${argv}`, async () => {
    const { code: got, shell } = await run(argv.split(" "), fleet);
    assert.equal(shell.stdout, prints.map((line) => `${line}\n`).join(""));
    assert.match(shell.stderr, says);
    assert.deepEqual([got, shell.closed], [code, 1]);
  });

const image = "ghcr.io/team/shop";
const images = (shell: FakeShell) => {
  const scanned = { lastScanResult: { revision: "18153657", tagCount: 3, scanTime: "2026-01-02T03:04:05Z" } };
  shell.objects = {
    ImageRepository: [object("apps", "shop", { status: { ...ready("True", "successful scan: found 3 tags with checksum 18153657"), ...scanned } }), object("apps", "web", { spec: { suspend: true } })],
    ImagePolicy: [object("apps", "shop", { status: { ...ready("True", `Latest image tag for ${image} resolved to v3`), latestRef: { name: image, tag: "v3", digest: "sha256:ab" } } }), object("apps", "web")],
    ImageUpdateAutomation: [object("apps", "shop", { status: { ...ready("True", "repository up-to-date"), lastAutomationRunTime: "2026-01-02T03:04:05Z", lastPushCommit: "4c1d" } })],
  };
};
const repositories = [
  "NAME\tLAST SCAN           \tSUSPENDED\tREADY\tMESSAGE",
  "shop\t2026-01-02T03:04:05Z\tFalse    \tTrue \tsuccessful scan: found 3 tags with checksum 18153657",
  "web \t                    \tTrue     \tFalse\twaiting to be reconciled",
];
const policies = [
  "NAME\tIMAGE            \tTAG\tREADY\tMESSAGE",
  `shop\t${image}\tv3 \tTrue \tLatest image tag for ${image} resolved to v3`,
  "web \t                 \t   \tFalse\twaiting to be reconciled",
];
const updates = ["NAME\tLAST RUN            \tSUSPENDED\tREADY\tMESSAGE", "shop\t2026-01-02T03:04:05Z\tFalse    \tTrue \trepository up-to-date"];
const named = (kind: string, [header = "", ...lines]: string[]) => [header.replace("NAME", "NAME".padEnd(5 + kind.length)), ...lines.map((line) => `${kind}/${line}`)];
for (const [argv, prints] of [
  ["get images repository", repositories], ["get image repository", repositories], ["get imgrepo", repositories], ["get image policy", policies], ["get imagepol", policies], ["get images update", updates], ["get iua", updates],
  ...["get images all", "get images"].map((argv) => [argv, [...named("imagerepository", repositories), "", ...named("imagepolicy", policies), "", ...named("imageupdateautomation", updates)]] as const),
] as const)
  test(`[CL13] flotilla ${argv}`, async () => {
    const { code, shell } = await run([...argv.split(" "), "-n", "apps"], images);
    assert.equal(shell.stdout, prints.map((line) => `${line}\n`).join(""));
    assert.equal(code, 0, shell.stderr);
  });

for (const [kind, says] of [["repository", "scan fetched 3 tags"], ["policy", `selected ref ${image}:v3@sha256:ab`], ["update", "repository up-to-date"]] as const)
  test(`[CL13] reconcile image ${kind} says what came of it`, async () => {
    const { code, shell } = await run(["reconcile", "image", kind, "shop", "-n", "apps"], (shell) => {
      images(shell);
      shell.controller = ({ metadata, status }) => { if (status) status.lastHandledReconcileAt = metadata.annotations?.["reconcile.fluxcd.io/requestedAt"] ?? ""; };
    });
    assert.ok(shell.stderr.endsWith(`✔ ${says}\n`), shell.stderr);
    assert.equal(code, 0);
  });

const aliases = ["kustomizations", "kustomization", "ks", "Kustomization"].map((word) => ({ word, kind: "Kustomization" }));
for (const { word, kind } of [...aliases, ...["gitrepo", "gitrepository", "sources git", "source git", "source gitrepository"].map((word) => ({ word, kind: "GitRepository" }))])
  test(`[CL5] "${word}" means ${kind}`, async () => {
    const { shell } = await run(["get", ...word.split(" "), "-n", "apps", "--json"], fleet);
    const views = JSON.parse(shell.stdout) as { kind: string }[];
    assert.deepEqual([...new Set(views.map((view) => view.kind))], [kind]);
  });

test("[CL5] --json has the whole revision", async () => {
  const { shell } = await run(["get", "ks", "dev", "-n", "apps", "--json"], fleet);
  const view = { kind: "Kustomization", namespace: "apps", name: "dev", revision, suspended: false, ready: "True", message: `Applied revision: ${revision}` };
  assert.deepEqual(JSON.parse(shell.stdout), [view]);
});

test("[CL5] a kind the cluster does not know is a failure by itself, and left out of all", async () => {
  const without = (shell: FakeShell) => {
    fleet(shell);
    delete shell.objects["GitRepository"];
  };
  const alone = await run(["get", "sources", "git"], without);
  assert.match(alone.shell.stderr, /^✗ the cluster does not know the kind GitRepository/);
  assert.equal(alone.code, 1);
  assert.equal((await run(["get", "all", "-A"], without)).code, 0);
});

const namespaces: { env: Record<string, string>; argv: string[]; looksIn: string }[] = [
  { env: {}, argv: [], looksIn: "flux-system" },
  { env: { FLUX_SYSTEM_NAMESPACE: "gitops" }, argv: [], looksIn: "gitops" },
  { env: { FLUX_SYSTEM_NAMESPACE: "gitops" }, argv: ["-n", "apps"], looksIn: "apps" },
];
for (const { env, argv, looksIn } of namespaces)
  test(`[CL6] ${JSON.stringify(env)} ${argv.join(" ")} -> namespace ${looksIn}`, async () => {
    const { shell } = await run(["get", "ks", ...argv], (shell) => void (shell.env = env));
    assert.ok(shell.stderr.includes(`in namespace ${looksIn}\n`));
  });

test("[CL6] --kubeconfig and --context choose the cluster", async () => {
  const { shell } = await run(["get", "all", "--kubeconfig", "/k", "--context", "c"]);
  const { kubeconfig, context } = shell.opened[0] as Record<string, string>;
  assert.deepEqual([kubeconfig, context], ["/k", "c"]);
});

// --- reconcile, suspend, resume

/** Handles a request some time after it was made, with this outcome. */
const handles = (outcome: Status) => {
  let looks = 0;
  return (object: FluxObject) => {
    const requestedAt = object.metadata.annotations?.["reconcile.fluxcd.io/requestedAt"];
    if (requestedAt && ++looks > 2) object.status = { ...object.status, ...outcome, lastHandledReconcileAt: requestedAt };
  };
};
const applied = { ...ready("True", "Applied"), lastAppliedRevision: revision };
const waiting = (shell: FakeShell, status: Status = { ...ready("True", "before"), lastHandledReconcileAt: "before" }) =>
  void (shell.objects["Kustomization"] = [object("apps", "dev", { spec: { sourceRef: { kind: "GitRepository", name: "podinfo" } }, status })]);

test("[CL7] reconcile annotates, waits for the answer to its own request, and says what Flux says", async () => {
  const { code, shell } = await run("reconcile kustomization dev -n apps".split(" "), (shell) => {
    waiting(shell);
    shell.controller = handles(applied);
  });
  assert.equal(
    shell.stderr,
    "► annotating Kustomization dev in apps namespace\n✔ Kustomization annotated\n◎ waiting for Kustomization reconciliation\n" +
      `✔ applied revision ${revision}\n`,
  );
  assert.deepEqual([code, shell.stdout, shell.closed], [0, "", 1]);
  const { metadata } = shell.patches[0]!.change as { metadata: { annotations: Record<string, string> } };
  assert.match(metadata.annotations["reconcile.fluxcd.io/requestedAt"]!, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z$/);
});

test("[CL7] two requests within one millisecond differ", async () => {
  const { shell } = await run("reconcile ks dev dev2 -n apps".split(" "), (shell) => {
    waiting(shell);
    shell.objects["Kustomization"]!.push(object("apps", "dev2"));
    shell.sleep = () => Promise.resolve(); // the clock stands still
    shell.controller = handles(applied);
  });
  assert.equal(new Set(shell.patches.map(({ change }) => JSON.stringify(change))).size, 2);
});

test("[CL7] --json prints the object's state on stdout", async () => {
  const { shell } = await run("reconcile ks dev -n apps --json".split(" "), (shell) => {
    waiting(shell);
    shell.controller = handles(applied);
  });
  assert.deepEqual((JSON.parse(shell.stdout) as { revision: string }[])[0]?.revision, revision);
});

test("[CL7] --with-source reconciles the source first", async () => {
  const { code, shell } = await run("reconcile ks dev -n apps --with-source".split(" "), (shell) => {
    waiting(shell);
    shell.objects["GitRepository"] = [object("apps", "podinfo")];
    shell.controller = handles({ ...applied, artifact: { revision } });
  });
  assert.deepEqual(shell.patches.map(({ kind, name }) => `${kind}/${name}`), ["GitRepository/podinfo", "Kustomization/dev"]);
  assert.match(shell.stderr, /✔ fetched revision [\s\S]+✔ applied revision /);
  assert.equal(code, 0);
});

test("[CL7] --with-source of a release: its chart, then each source of its values that is there and is reconciled here", async () => {
  const file = (kind: string, name: string, more: object = {}) => ({ kind, name, ...more });
  const { code, shell } = await run("reconcile hr shop -n apps --with-source".split(" "), (shell) => {
    const spec = { chartRef: { kind: "OCIRepository", name: "chart" }, valuesFrom: [file("GitRepository", "fleet"), file("Secret", "s"), file("GitRepository", "fleet"), file("ExternalArtifact", "e"), file("Bucket", "b", { namespace: "shared" }), file("Bucket", "none", { optional: true })] };
    shell.objects["HelmRelease"] = [object("apps", "shop", { spec })];
    shell.objects["OCIRepository"] = [object("apps", "chart")];
    shell.objects["GitRepository"] = [object("apps", "fleet")];
    shell.objects["Bucket"] = [object("shared", "b")];
    shell.controller = handles({ ...ready("True", "done"), artifact: { revision } });
  });
  assert.equal(code, 0, shell.stderr);
  assert.deepEqual(shell.patches.map(({ kind, namespace, name }) => `${kind}/${namespace}/${name}`), ["OCIRepository/apps/chart", "GitRepository/apps/fleet", "Bucket/shared/b", "HelmRelease/apps/shop"]);
});

test("[HR9] --force and --reset of a release ask together with the request, in its words", async () => {
  const { code, shell } = await run("reconcile hr shop -n apps --force --reset".split(" "), (shell) => {
    shell.objects["HelmRelease"] = [object("apps", "shop", { status: { ...ready("True", "before"), lastHandledReconcileAt: "before" } })];
    shell.controller = handles(ready("True", "Helm upgrade succeeded"));
  });
  const { annotations } = (shell.patches[0]!.change as { metadata: { annotations: Record<string, string> } }).metadata;
  assert.deepEqual(Object.keys(annotations).sort(), ["forceAt", "requestedAt", "resetAt"].map((name) => `reconcile.fluxcd.io/${name}`));
  assert.equal(new Set(Object.values(annotations)).size, 1);
  assert.equal(code, 0);
});

const outcomes: { why: string; status: Status; says: RegExp }[] = [
  { why: "Ready=False", status: ready("False", "build failed: no such file"), says: /^✗ Kustomization reconciliation failed: build failed: no such file$/m },
  {
    why: "Stalled",
    status: { ...ready("False", "bad spec"), conditions: [{ type: "Stalled", status: "True" }, { type: "Ready", status: "False", message: "bad spec" }] },
    says: /^✗ Kustomization reconciliation failed: bad spec$/m,
  },
  { why: "no result in time", status: ready("Unknown", "waiting for health"), says: /^✗ no result for Kustomization 'dev' within 10s; it last said: waiting for health$/m },
  { why: "Ready, but of an older generation", status: ready("True", "old", 0), says: /^✗ no result for Kustomization 'dev' within 10s/m },
];
for (const { why, status, says } of outcomes)
  test(`[CL7] reconcile: ${why} -> 1`, async () => {
    const { code, shell } = await run("reconcile ks dev -n apps --timeout 10s".split(" "), (shell) => {
      waiting(shell);
      shell.controller = handles(status);
    });
    assert.match(shell.stderr, says);
    assert.deepEqual([code, shell.closed], [1, 1]);
  });

test("[CL7] reconcile: nobody answers -> 1, and it says what to look at", async () => {
  const { code, shell } = await run("reconcile ks dev -n apps --timeout 10s".split(" "), (shell) => waiting(shell, {}));
  assert.match(shell.stderr, /is Flotilla running\?/);
  assert.equal(code, 1);
});

const refusals: { why: string; argv: string; prepare?: (shell: FakeShell) => void; says: RegExp }[] = [
  { why: "missing", argv: "reconcile ks nope -n apps", says: /^✗ Kustomization 'nope' not found in namespace apps/m },
  { why: "suspended", argv: "reconcile ks dev -n apps", prepare: (shell) => (shell.objects["Kustomization"]![0]!.spec = { suspend: true }), says: /^✗ Kustomization 'dev' is suspended: resume it first$/m },
  { why: "source of another kind", argv: "reconcile ks dev -n apps --with-source", prepare: (shell) => (shell.objects["Kustomization"]![0]!.spec = { sourceRef: { kind: "ExternalArtifact", name: "b" } }), says: /has a source of kind ExternalArtifact/ },
  { why: "source missing", argv: "reconcile ks dev -n apps --with-source", says: /^✗ GitRepository 'podinfo' not found/m },
  { why: "suspend what is missing", argv: "suspend ks nope -n apps", says: /^✗ Kustomization 'nope' not found/m },
];
for (const { why, argv, prepare, says } of refusals)
  test(`[CL7] ${argv}: ${why} -> 1, and nothing is changed`, async () => {
    const { code, shell } = await run(argv.split(" "), (shell) => {
      waiting(shell);
      prepare?.(shell);
    });
    assert.match(shell.stderr, says);
    assert.deepEqual([code, shell.patches], [1, []]);
  });

test("[CL8] suspend sets spec.suspend and does not wait", async () => {
  const { code, shell } = await run("suspend kustomization dev -n apps".split(" "), (shell) => waiting(shell));
  assert.deepEqual(shell.patches, [{ kind: "Kustomization", namespace: "apps", name: "dev", change: { spec: { suspend: true } } }]);
  assert.equal(shell.stderr, "► suspending Kustomization dev in apps namespace\n✔ Kustomization suspended\n");
  assert.equal(code, 0);
});

test("[CL8] resume clears it and waits for the new generation", async () => {
  const { code, shell } = await run("resume ks dev -n apps".split(" "), (shell) => {
    waiting(shell, ready("True", "of the generation before"));
    let looks = 0;
    shell.controller = (object) => {
      if (object.metadata.generation === 2 && ++looks > 2) object.status = { ...ready("True", "Applied", 2), lastAppliedRevision: revision };
    };
  });
  assert.deepEqual(shell.patches.map(({ change }) => change), [{ spec: { suspend: false } }]);
  assert.match(shell.stderr, /✔ Kustomization resumed\n◎ waiting for Kustomization reconciliation\n✔ Kustomization reconciliation completed\n✔ applied revision main@/);
  assert.equal(code, 0);
});

// --- trace

const traceId = "4bf92f3577b34da6a3ce929d0e0e4736";
const traced = (shell: FakeShell) => {
  shell.entries = [{ v: 1, traceId, atMs: 1_700_000_000_000 - 90_000, commit: sha, url: "https://git.example/podinfo", title: "Bump\u001b[2J" }];
  shell.spans = [{ traceId, spanId: "00f067aa0ba902b7", name: "fetch", startMs: 1, endMs: 31 }];
};
const questions = [
  { word: "4c1d9e2", asks: "commit 4c1d9e2" },
  { word: "4C1D", asks: "commit 4c1d" },
  { word: revision, asks: `commit ${sha}` },
  { word: `sha1:${sha}`, asks: `commit ${sha}` },
  { word: "kustomization/apps/dev", asks: "unit kustomization/apps/dev" },
  { word: "ks/apps/dev", asks: "unit kustomization/apps/dev" },
  { word: "ks/dev", asks: "unit kustomization/flux-system/dev" },
  { word: "gitrepo/apps/podinfo", asks: "unit gitrepository/apps/podinfo" },
];
for (const { word, asks } of questions)
  test(`[CL9] trace ${word} asks for ${asks} and draws it`, async () => {
    const { code, shell } = await run(["trace", word], traced);
    assert.deepEqual(shell.asked, [asks]);
    assert.match(shell.stdout, /^fetch +30ms \|#+\|$/m);
    assert.equal(code, 0);
  });

test("[CL9] trace --json prints the spans", async () => {
  const { shell } = await run(["trace", "4c1d", "--json"], traced);
  assert.deepEqual(JSON.parse(shell.stdout), { traceId, spans: shell.spans });
});

test("[CL9] trace alone lists the latest changes", async () => {
  const { code, shell } = await run(["trace"], traced);
  assert.equal(shell.stdout, "COMMIT \tAGE  \tREPOSITORY                 \tTITLE\n4c1d9e2\t1m30s\thttps://git.example/podinfo\tBump [2J\n");
  assert.equal(code, 0);
});

test("[CL9] a commit in several traces is listed, not guessed", async () => {
  const { code, shell } = await run(["trace", "4c1d"], (shell) => {
    traced(shell);
    shell.entries.push({ ...shell.entries[0]!, traceId: traceId.replace("4", "5") });
  });
  assert.match(shell.stderr, /^✗ 4c1d is in 2 traces/m);
  assert.equal(shell.stdout.split("\n").length, 4);
  assert.equal(code, 1);
});

test("[CL9] of a unit's traces the newest is drawn", async () => {
  const { code } = await run(["trace", "ks/dev"], (shell) => {
    traced(shell);
    shell.entries.push({ ...shell.entries[0]!, traceId: traceId.replace("4", "5") });
  });
  assert.equal(code, 0);
});

test("[CL9] no trace -> 1, and why that may be", async () => {
  const { code, shell } = await run(["trace", "4c1d"]);
  assert.match(shell.stderr, /^✗ no trace of 4c1d: it is shown once its first step has ended, and kept for a week$/m);
  assert.equal(code, 1);
});
