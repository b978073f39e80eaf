import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, test } from "node:test";
import { Fault } from "#protocol/errors/fault.ts";
import type { RenderedObject } from "#services/render/objects.ts";
import type { RenderRequest } from "#services/render/render.ts";
import { unpack } from "#services/render/unpack.ts";
import type { FluxObject } from "./cluster.ts";
import { FakeShell } from "./fake-shell.ts";
import { main } from "./main.ts";

const folder = mkdtempSync(join(tmpdir(), "flotilla-build-"));
after(() => rmSync(folder, { recursive: true, force: true }));

let made = 0;
function directory(files: Record<string, string>): string {
  const root = join(folder, `${made++}`);
  mkdirSync(root);
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, name)), { recursive: true });
    writeFileSync(join(root, name), text);
  }
  return root;
}

type Spec = Record<string, unknown>;
const unit = (spec: Spec = {}): FluxObject =>
  ({
    apiVersion: "kustomize.toolkit.fluxcd.io/v1", kind: "Kustomization",
    metadata: { name: "shop", namespace: "apps", uid: "u-1", resourceVersion: "7", generation: 1 },
    spec: { interval: "1m", prune: true, sourceRef: { kind: "GitRepository", name: "shop" }, ...spec },
  }) as FluxObject;

const rendered = (kind: string, name: string, fields: object = {}, secret = false): RenderedObject =>
  ({ object: { apiVersion: "v1", kind, metadata: { name, namespace: "apps" }, ...fields }, digest: name, ...(secret && { secret: true as const }) });

const somewhere = directory({ "a.yaml": "" });
async function run(argv: string[], prepare: (shell: FakeShell) => void = () => {}, path = somewhere) {
  const shell = new FakeShell();
  shell.objects["Kustomization"] = [unit()];
  prepare(shell);
  const code = await main([...argv, "kustomization", "shop", "-n", "apps", "--path", path], shell);
  return { code, shell };
}
const built = (...objects: RenderedObject[]) => (shell: FakeShell) => void (shell.build = () => Promise.resolve(objects));

test("[CL31] build prints the objects in the order in which they are applied", async () => {
  const { code, shell } = await run(["build"], built(rendered("Service", "s"), rendered("ConfigMap", "c", { data: { on: "yes" } }), rendered("Namespace", "n")));
  assert.equal(code, 0);
  assert.deepEqual(shell.stdout.match(/^kind: .*/gm), ["kind: Namespace", "kind: ConfigMap", "kind: Service"]);
  assert.match(shell.stdout, /^ {2}"on": "yes"$/m);
  assert.equal(shell.closed, 2);
});

test("[CL31] build --json prints the same objects", async () => {
  const { shell } = await run(["build", "--json"], built(rendered("ConfigMap", "c", { data: { a: "1" } })));
  assert.deepEqual(JSON.parse(shell.stdout), [{ apiVersion: "v1", kind: "ConfigMap", metadata: { name: "c", namespace: "apps" }, data: { a: "1" } }]);
});

test("[CL31] bases outside the path are found in the Git repository that holds it; what is ignored is not there", async () => {
  const root = directory({ ".git/HEAD": "", ".sourceignore": "*.md\n", "base/a.yaml": "", "over/b.yaml": "", "over/c.txt": "", "R.md": "" });
  const seen: RenderRequest[] = [];
  const { code } = await run(["build", "--ignore-paths", "*.txt"], (shell) => void (shell.build = (request) => (seen.push(request), Promise.resolve([]))), join(root, "over"));
  assert.equal(code, 0);
  const [request] = seen;
  assert.ok(request);
  assert.equal(request.path, "over");
  const tree = await unpack(await request.artifact.load(), request.artifact.digest);
  assert.deepEqual([...tree.files.keys()].sort(), [".sourceignore", "base/a.yaml", "over/b.yaml"]);
});

test("[CL31] a failed build has the worker's words and exits with 1", async () => {
  const { code, shell } = await run(["build"], (shell) => void (shell.build = () => Promise.reject(new Fault("BuildFailed", "over", { detail: "no such base" }))));
  assert.deepEqual([code, shell.stdout, shell.stderr], [1, "", "✗ over: no such base\n"]);
  const twice = await run(["build"], built(rendered("ConfigMap", "c"), rendered("ConfigMap", "c")));
  assert.match(twice.shell.stderr, /ConfigMap\/apps\/c is rendered twice/);
});

for (const [flags, strict] of [[[], true], [["--no-strict-substitute"], false]] as const)
  test(`[CL31] a variable without a value ${strict ? "fails" : "is empty text with --no-strict-substitute"}`, async () => {
    const seen: RenderRequest[] = [];
    await run(["build", ...flags], (shell) => {
      shell.objects["Kustomization"] = [unit({ postBuild: { substitute: { a: "1" } } })];
      shell.build = (request) => (seen.push(request), Promise.resolve([]));
    });
    assert.equal(seen[0]?.substitution?.strict, strict);
  });

for (const [argv, says] of [
  [["build", "ks", "shop"], /--path <dir>/], [["build", "ks", "shop", "--path", "/no/such"], /--path: no directory/],
  [["build", "gitrepo", "shop", "--path", folder], /one kustomization/], [["build", "ks", "shop", "--path", folder, "--dry-run"], /--kustomization-file/],
  [["diff", "ks", "shop"], /--path <dir>/], [["diff", "ks", "shop", "--path", folder, "--root", somewhere], /--root: .* is not in/],
] as const)
  test(`[CL31] ${argv.slice(0, 4).join(" ")} makes no sense: ${says}`, async () => {
    const shell = new FakeShell();
    assert.equal(await main([...argv], shell), 2);
    assert.match(shell.stderr, says);
  });

const file = (spec: string) => join(directory({ "ks.yaml": `kind: Other\n---\napiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: shop}\nspec: {interval: 1m, prune: true, sourceRef: {kind: GitRepository, name: shop}${spec}}\n` }), "ks.yaml");

test("[CL32] with --dry-run no cluster is asked, and what it would have given is said to be absent", async () => {
  const from = ", decryption: {provider: sops}, postBuild: {substitute: {a: '1'}, substituteFrom: [{kind: Secret, name: keys}]}";
  const seen: RenderRequest[] = [];
  const { code, shell } = await run(["build", "--dry-run", "--kustomization-file", file(from)], (shell) => void (shell.build = (request) => (seen.push(request), Promise.resolve([]))));
  assert.equal(code, 0);
  assert.deepEqual(shell.opened, []);
  assert.match(shell.stderr, /variables of Secret\/keys count as absent\n.*what is encrypted stays so/);
  const [request] = seen;
  assert.equal(request?.substitution?.strict, false);
  const sealed = { kind: "Secret", data: { a: "ENC[]" } };
  const opened = await request?.decryption?.openObjects({ tree: {} as never, read: [], objects: [{ ...sealed, sops: {} }, { kind: "Plain" }] }, new AbortController().signal);
  assert.deepEqual(opened?.map(({ object, digestKey }) => [object, digestKey !== undefined]), [[sealed, true], [{ kind: "Plain" }, false]]);
});

test("[CL32] a file without the Kustomization is said to have none", async () => {
  const { code, shell } = await run(["build", "--dry-run", "--kustomization-file", join(directory({ "x.yaml": "kind: Other\n" }), "x.yaml")]);
  assert.equal(code, 1);
  assert.match(shell.stderr, /no Kustomization 'shop' of namespace apps in/);
});

const secretly = (shell: FakeShell) => {
  shell.objects["Kustomization"] = [unit({ postBuild: { substituteFrom: [{ kind: "Secret", name: "keys" }] } })];
  shell.data = { "Secret/apps/keys": { version: "1", data: { word: Buffer.from("hunter2") } } };
};

test("[CL33] no build shows data of Secrets, what was decrypted, or values of a Secret's variables", async () => {
  const { code, shell } = await run(["build"], (shell) => {
    secretly(shell);
    built(
      rendered("Secret", "plain", { data: { a: "cGxhaW4=" }, type: "Opaque" }), rendered("Secret", "sealed", { data: { a: "c2VhbGVk" } }, true),
      rendered("ConfigMap", "opened", { data: { a: "opened text" } }, true), rendered("ConfigMap", "url", { data: { a: "http://u:hunter2@h", b: "seen" } }),
    )(shell);
  });
  assert.equal(code, 0);
  assert.doesNotMatch(shell.stdout, /cGxhaW4|c2VhbGVk|opened text|hunter2/);
  assert.deepEqual(shell.stdout.match(/^ {2}[ab]: .*/gm), ['  a: "**SOPS**"', "  a: http://u:*****@h", "  b: seen", '  a: "*****"', '  a: "**SOPS**"']);
});

const object = (kind: string, name: string) => rendered(kind, name).object;
const changed = (kind: string, name: string, path: string[], is: unknown, wanted: unknown) =>
  ({ id: `apps_${name}__${kind}`, action: "changed" as const, object: object(kind, name), secret: false, fields: [{ path, is, wanted }] });

test("[CL33] no diff shows them either", async () => {
  const { code, shell } = await run(["diff"], (shell) => {
    secretly(shell);
    shell.foreseen = [
      changed("Secret", "s", ["data", "a"], "b2xk", "bmV3"), changed("Secret", "t", ["data"], undefined, { a: "bmV3" }), changed("ConfigMap", "c", ["data", "u"], "x", "hunter2"),
      { id: "apps_f__ConfigMap", action: "failed", fault: new Fault("ObjectInvalid", "ConfigMap/apps/f", { detail: "bad value hunter2" }) },
    ];
  });
  assert.equal(code, 2);
  assert.doesNotMatch(shell.stdout + shell.stderr, /b2xk|bmV3|hunter2/);
  assert.match(shell.stdout, /\/data\/a: "\*\*\*\*\* \(before\)" -> "\*\*\*\*\* \(after\)"/);
});

test("[CL34] diff tells what would be created, changed and deleted, field by field", async () => {
  const { code, shell } = await run(["diff"], (shell) => {
    shell.foreseen = [
      { id: "_n__Namespace", action: "created", object: object("Namespace", "n"), secret: false, fields: [] },
      changed("ConfigMap", "c", ["data", "a/b"], "1", "2"), changed("ConfigMap", "d", ["data", "f"], "a\nb\nc\n", "a\nx\nc\n"), changed("ConfigMap", "e", ["data", "g"], undefined, "1"),
      { id: "apps_u__ConfigMap", action: "unchanged", object: object("ConfigMap", "u"), secret: false, fields: [] },
      { id: "apps_o__ConfigMap", action: "deleted" },
    ];
  });
  assert.equal(code, 1);
  assert.equal(shell.stdout, `> Namespace/n created
> ConfigMap/apps/c changed
    /data/a~1b: "1" -> "2"
> ConfigMap/apps/d changed
    /data/f:
      - b
      + x
> ConfigMap/apps/e changed
    /data/g: (none) -> "1"
> ConfigMap/apps/o deleted
`);
});

test("[CL35] diff exits with 0 when nothing differs, and with 2 when it cannot tell", async () => {
  const same = await run(["diff"]);
  assert.deepEqual([same.code, same.shell.stdout, same.shell.stderr], [0, "", "nothing differs\n"]);
  const missing = await run(["diff"], (shell) => void (shell.objects["Kustomization"] = []));
  assert.equal(missing.code, 2);
  assert.match(missing.shell.stderr, /Kustomization 'shop' not found in namespace apps/);
  const remote = await run(["diff"], (shell) => void (shell.objects["Kustomization"] = [unit({ kubeConfig: { secretRef: { name: "far" } } })]));
  assert.equal(remote.code, 2);
  assert.match(remote.shell.stderr, /spec\.kubeConfig names another cluster/);
});

test("[CL35] diff --json has the differences and the failures", async () => {
  const { code, shell } = await run(["diff", "--json"], (shell) => void (shell.foreseen = [changed("ConfigMap", "c", ["data", "a"], "1", "2")]));
  assert.equal(code, 1);
  assert.deepEqual(JSON.parse(shell.stdout), {
    differences: [{ object: "ConfigMap/apps/c", id: "apps_c__ConfigMap", action: "changed", fields: [{ path: "/data/a", before: "1", after: "2" }] }], failures: [],
  });
});
