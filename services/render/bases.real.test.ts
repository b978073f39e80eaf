/** Remote bases: a real Git server, the fetcher that workers use, and the real renderer. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { after, beforeEach, test } from "node:test";
import { Fault } from "#protocol/errors/fault.ts";
import { closeConnections } from "#services/clients/http/connections.ts";
import { AnonymousGit } from "#services/sources/git/anonymous.ts";
import { startGitServer } from "../../deploy/local/git-server.ts";
import { scratchFolder } from "../../test/kit/cluster.ts";
import type { BasePort } from "./bases.ts";
import { artifact, configMap, lines, renderer, type Files } from "./fixtures.ts";
import type { Rendered } from "./render.ts";

const server = await startGitServer({ dir: scratchFolder() });
const made = await renderer();
const signal = new AbortController().signal;
const here = new AnonymousGit({ hosts: ["127.0.0.1"] });
after(async () => {
  await server.stop();
  await closeConnections();
});

let count = 0;
let name = "";
beforeEach(async () => {
  name = `repo-${++count}`;
  await server.createRepo(name);
  server.spoil = undefined;
});

const url = (of = name) => server.repoUrl(of);
const using = (...references: string[]): Files => ({ "app/kustomization.yaml": lines(`resources: ${JSON.stringify(references)}`) });
const render = async (files: Files, { bases = here, previous, path = "app" }: { bases?: BasePort | undefined; previous?: Rendered; path?: string } = {}): Promise<Rendered> =>
  made.render({ artifact: await artifact(files), path, spec: {}, bases, ...(previous && !previous.unchanged && { previous }) }, signal);
const built = (rendered: Rendered) => (rendered.unchanged ? assert.fail("not built") : rendered);
const namesOf = (rendered: Rendered) => built(rendered).objects.map(({ object }) => object.metadata.name);
const detailOf = (work: Promise<Rendered>) =>
  work.then(() => assert.fail("built"), (thrown: unknown) => (thrown instanceof Fault && thrown.code === "BuildFailed" ? (thrown.detail ?? "") : assert.fail(String(thrown))));
const asked = (of = name) => server.requests.filter(({ path }) => path.startsWith(`/${of}.git/`));

const web = { "deploy/kustomization.yaml": "resources: [a.yaml, ../common]\n", "deploy/a.yaml": configMap("web"), "common/kustomization.yaml": "resources: [c.yaml]\n", "common/c.yaml": configMap("common") };

test("[RN61] a base of a branch, a tag, a commit and the repository's own branch is built, with what it uses of its repository", async () => {
  const first = await server.commit(name, { files: web, message: "one" });
  await server.git(name, "tag", "v1");
  await server.commit(name, { files: { "deploy/a.yaml": configMap("newer") }, message: "two" });
  for (const [ref, expected] of [["?ref=main", "newer"], ["?ref=v1", "web"], [`?ref=${first}&submodules=false`, "web"], ["", "newer"]])
    assert.deepEqual(namesOf(await render(using(`${url()}//deploy${ref}`))), [expected, "common"]);
});

test("[RN61] what an overlay does to a base it does to a remote one; comments, anchors and long numbers of the file stay", async () => {
  await server.commit(name, { files: web, message: "one" });
  const files = {
    "app/kustomization.yaml": lines(`resources:`, `- &it ${url()}//deploy # ours`, "namePrefix: dev-", "patches:", `- target: {name: web}`, `  patch: '[{"op": "add", "path": "/data/n", "value": "12345678901234567890"}]'`),
  };
  const rendered = built(await render(files));
  assert.deepEqual(namesOf(rendered), ["dev-web", "dev-common"]);
  assert.deepEqual(rendered.objects[0]?.object["data"], { n: "12345678901234567890" });
});

test("[RN61] a component, and a base of a base", async () => {
  const other = `${name}-other`;
  await server.createRepo(other);
  await server.commit(other, { files: { "kustomization.yaml": "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nnameSuffix: -x\n" }, message: "one" });
  await server.commit(name, { files: { "kustomization.yaml": lines("resources: [a.yaml]", `components: ['${url(other)}?ref=main']`), "a.yaml": configMap("a") }, message: "one" });
  const rendered = built(await render(using(url())));
  assert.deepEqual(namesOf(rendered), ["a-x"]);
  assert.equal(rendered.readSet.bases?.length, 2);
});

test("[RN63] an unchanged build asks where a branch is and fetches nothing; one of a full commit asks nothing; a new commit is built", async () => {
  const commit = await server.commit(name, { files: web, message: "one" });
  const byBranch = using(`${url()}//deploy?ref=main`);
  const first = await render(byBranch);
  server.requests.length = 0;
  assert.equal((await render(byBranch, { previous: first })).unchanged, true);
  assert.ok(asked().length > 0);
  await server.commit(name, { files: { "README.md": "more" }, message: "two" });
  const second = await render(byBranch, { previous: first });
  assert.notEqual(built(second).key, first.key);
  assert.notEqual((await render(byBranch)).key, first.key, "also without a look at what was");

  const byCommit = using(`${url()}//deploy?ref=${commit}`);
  const pinned = await render(byCommit);
  server.requests.length = 0;
  assert.equal((await render(byCommit, { previous: pinned })).unchanged, true);
  assert.deepEqual(asked(), []);
  assert.deepEqual(built(pinned).readSet.files.filter((path) => path !== "app" && !path.startsWith("app/")), [], "the files of a base are its commit's");
  assert.match(await detailOf(made.render({ artifact: await artifact(byCommit), path: "app", spec: {}, previous: built(pinned) }, signal)), /--allow-remote-bases/, "not once it is forbidden");
});

test("[RN61] a source without a kustomization file does not take a base's files for its own", async () => {
  await server.commit(name, { files: { ...web, "kustomization.yaml": "resources: [deploy]\n" }, message: "one" });
  const rendered = await render({ ...using(url()), "b.yaml": configMap("b") }, { path: "" });
  assert.deepEqual(namesOf(rendered), ["web", "common", "b"]);
});

const wrong: { what: string; reference: () => string; says: RegExp }[] = [
  { what: "a reference that is not there", reference: () => `${url()}?ref=v9`, says: /^remote base ".*\?ref=v9": the repository has neither a tag nor a branch v9$/ },
  { what: "a directory that is not there", reference: () => `${url()}//nowhere`, says: /its repository has no directory "nowhere"$/ },
  { what: "a repository that is not there", reference: () => url("none"), says: /HTTP 404/ },
  { what: "a file", reference: () => `${server.url}/org/a.yaml`, says: /it is a file, and only Git repositories are fetched$/ },
  { what: "a password in it", reference: () => url().replace("//", "//me:hunter2@"), says: /^remote base "http:\/\/127\.0\.0\.1:\d+\/.*": .*without credentials$/ },
  { what: "SSH", reference: () => "ssh://git@127.0.0.1/org/repo", says: /not SSH$/ },
  { what: "a host that is not listed", reference: () => "https://git.example/org/repo", says: /git\.example is not among the hosts of --remote-base-hosts$/ },
];
for (const { what, reference, says } of wrong)
  test(`[RN62] ${what}: ${says.source}`, async () => {
    await server.commit(name, { files: { ...web, "kustomization.yaml": "resources: [deploy]\n" }, message: "one" });
    const detail = await detailOf(render(using(reference())));
    assert.match(detail, says);
    assert.doesNotMatch(detail, /hunter2/);
  });

test("[RN64] a base that names a path outside of its repository fails, and its own files are named by the repository", async () => {
  await server.commit(name, { files: { "kustomization.yaml": "configMapGenerator: [{name: g, files: [key=../../.artifact/app/secret.txt]}]\n", "bad/kustomization.yaml": "resources: [none.yaml]\n" }, message: "one" });
  const files = (path: string) => ({ ...using(`${url()}//${path}?ref=main`), "app/secret.txt": "s3cret" });
  assert.match(await detailOf(render(files(""))), /repo-\d+\.git@main\/kustomization\.yaml: ".*secret\.txt" leads out of the remote base's repository$/);
  assert.match(await detailOf(render(files("bad"))), /repo-\d+\.git@main\/bad/);
});

test("[RN65] no more than 16 bases, and no more than 4 deep", async () => {
  await server.commit(name, { files: web, message: "one" });
  const many = Array.from({ length: 17 }, (_, n) => `${url()}//deploy?ref=main&n=${n}`);
  assert.match(await detailOf(render(using(...many))), /the build has more than 16 remote bases$/);
  const deep = Array.from({ length: 5 }, (_, n) => `${name}-${n}`);
  for (const [n, each] of deep.entries()) {
    await server.createRepo(each);
    await server.commit(each, { files: { "kustomization.yaml": `resources: ['${url(deep[n + 1] ?? name)}']\n` }, message: "one" });
  }
  assert.match(await detailOf(render(using(url(deep[0])))), /bases of bases are more than 4 deep$/);
});

test("[RN66] a server that does not answer, and a repository that is too large: the build fails in its own words", async () => {
  await server.commit(name, { files: { ...web, "big.bin": Buffer.alloc(20 * 2 ** 20, 1) }, message: "one" });
  assert.match(await detailOf(render(using(`${url()}//deploy`))), /^remote base .*(larger|more|bytes)/);
  server.spoil = () => ({ status: 503 });
  assert.match(await detailOf(render(using(`${url()}//deploy`))), /HTTP 503$/);
  server.spoil = () => "hang";
  assert.match(await detailOf(render(using(`${url()}//deploy?timeout=20ms`))), /no answer within 0\.02s$/);
});

const anywhere = new AnonymousGit();
for (const host of ["127.0.0.1", "localhost", "[::1]", "169.254.169.254", "10.0.0.1"])
  test(`[RN67] nothing at ${host} is asked for a tenant unless the host is listed`, async () => {
    server.requests.length = 0;
    const port = new URL(server.url).port;
    assert.match(await detailOf(render(using(`https://${host}:${port}/${name}.git`), { bases: anywhere })), /the host is at no public address$/);
    assert.match(await detailOf(render(using(`http://${host}:${port}/${name}.git`), { bases: anywhere })), /only https is used/);
    assert.deepEqual(server.requests, []);
  });

test("[RN67] neither does a redirect or a submodule lead elsewhere", async () => {
  await server.commit(name, { files: { ...web }, message: "one" });
  server.spoil = ({ path }) => (path.startsWith("/moved") ? { status: 302, headers: { location: `${server.url.replace("127.0.0.1", "localhost")}/${name}.git/info/refs?service=git-upload-pack` } } : undefined);
  assert.match(await detailOf(render(using(`${server.url}/moved.git`))), /localhost:\d+ is not among the hosts of --remote-base-hosts$/);
  await server.commit(name, { files: { ".gitmodules": '[submodule "lib"]\n\tpath = lib\n\turl = https://10.0.0.1/lib.git\n' }, message: "two" });
  const entries = await server.git(name, "ls-tree", "main");
  const tree = execFileSync("git", ["mktree", "--missing"], { cwd: server.path(name), input: `${entries.trim()}\n160000 commit ${"a".repeat(40)}\tlib\n` }).toString().trim();
  const commit = await server.git(name, "-c", "user.name=a", "-c", "user.email=a", "commit-tree", "-m", "three", tree);
  await server.git(name, "update-ref", "refs/heads/main", commit.trim());
  assert.match(await detailOf(render(using(`${url()}//deploy`))), /10\.0\.0\.1 is not among the hosts of --remote-base-hosts$/);
  assert.deepEqual(namesOf(await render(using(`${url()}//deploy?submodules=false`))), ["web", "common"]);
});
