import assert from "node:assert/strict";
import test from "node:test";
import * as fc from "fast-check";
import { artifact, configMap, deployment, lines, renderer, type Files } from "./fixtures.ts";
import type { Rendered } from "./render.ts";

const made = await renderer();
const signal = new AbortController().signal;
const render = async (files: Files, path: string, previous?: Rendered, spec = {}): Promise<Rendered> =>
  made.render(
    { artifact: await artifact(files), path, spec, ...(previous && !previous.unchanged && { previous }) },
    signal,
  );
const built = (rendered: Rendered) => (rendered.unchanged ? assert.fail("not built") : rendered);

const repository: Files = {
  "base/kustomization.yaml": "resources: [web.yaml, config.yaml]\n",
  "base/web.yaml": deployment("web"),
  "base/config.yaml": configMap("config"),
  "base/unused.yaml": configMap("unused"),
  "dev/kustomization.yaml": lines(
    "resources: [../base]",
    "patches: [{path: patch.yaml}]",
    "configMapGenerator: [{name: g, files: [data/settings.txt]}]",
  ),
  "dev/patch.yaml": "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {replicas: 2}\n",
  "dev/data/settings.txt": "a=b",
  "dev/README.md": "# dev",
  "plain/a.yaml": configMap("a"),
  "plain/sub/b.yaml": configMap("b"),
  "plain/app/kustomization.yaml": "resources: [c.yaml]\n",
  "plain/app/c.yaml": configMap("c"),
  "plain/app/d.yaml": configMap("d"),
  "plain/notes.txt": "notes",
};

const sets: { path: string; files: string[]; dirs: string[] }[] = [
  {
    path: "dev",
    dirs: [],
    files: [
      "base/config.yaml",
      "base/kustomization.yaml",
      "base/web.yaml",
      "dev/data/settings.txt",
      "dev/kustomization.yaml",
      "dev/patch.yaml",
    ],
  },
  {
    path: "plain",
    dirs: ["plain", "plain/sub"],
    files: ["plain/a.yaml", "plain/app/c.yaml", "plain/app/kustomization.yaml", "plain/sub/b.yaml"],
  },
];
for (const { path, files, dirs } of sets)
  test(`[RN27] ${path}: the read set holds what was read and listed, and nothing else that exists`, async () => {
    const { readSet } = built(await render(repository, path));
    assert.deepEqual(
      readSet.files.filter((name) => name in repository),
      files,
    );
    assert.deepEqual(readSet.dirs, dirs);
    assert.ok(readSet.files.includes(`${path}/Kustomization`), "a file looked for and not found counts");
  });

const edits: { what: string; path: string; edit: Files; unchanged: boolean }[] = [
  { what: "a file of another app", path: "dev", edit: { "plain/a.yaml": configMap("z") }, unchanged: true },
  {
    what: "a file beside those read",
    path: "dev",
    edit: { "base/unused.yaml": "x", "dev/README.md": "# more" },
    unchanged: true,
  },
  { what: "a new file beside those read", path: "dev", edit: { "base/new.yaml": configMap("new") }, unchanged: true },
  { what: "a base", path: "dev", edit: { "base/web.yaml": deployment("web", "web:2") }, unchanged: false },
  { what: "a generator's file", path: "dev", edit: { "dev/data/settings.txt": "a=c" }, unchanged: false },
  {
    what: "a second kustomization file",
    path: "plain",
    edit: { "plain/kustomization.yaml": "resources: [a.yaml]\n" },
    unchanged: false,
  },
  {
    what: "a new manifest in a listed directory",
    path: "plain",
    edit: { "plain/sub/new.yaml": configMap("new") },
    unchanged: false,
  },
  { what: "a new directory", path: "plain", edit: { "plain/more/x.yaml": configMap("x") }, unchanged: false },
  {
    what: "a file of a sub-directory that is not listed",
    path: "plain",
    edit: { "plain/app/d.yaml": configMap("z"), "plain/app/e.yaml": "no: object" },
    unchanged: true,
  },
  {
    what: "a listed file that is no manifest",
    path: "plain",
    edit: { "plain/notes.txt": "other notes" },
    unchanged: true,
  },
  {
    what: "a sub-directory that gets a kustomization file",
    path: "plain",
    edit: { "plain/sub/kustomization.yaml": "resources: [b.yaml]\n" },
    unchanged: false,
  },
];
for (const { what, path, edit, unchanged } of edits)
  test(`[RN28] ${path}, edited: ${what}: ${unchanged ? "skipped" : "built"}`, async () => {
    const before = built(await render(repository, path));
    const after = await render({ ...repository, ...edit }, path, before);
    assert.equal(after.unchanged, unchanged);
    assert.equal(after.key === before.key, unchanged);
  });

test("[RN28] other settings or another path are built", async () => {
  const before = built(await render(repository, "dev"));
  assert.equal((await render(repository, "dev", before, { targetNamespace: "n" })).unchanged, false);
  assert.equal((await render(repository, "dev", before, { commonMetadata: { labels: { a: "b" } } })).unchanged, false);
  assert.equal((await render(repository, "./dev/", before)).unchanged, true);
  assert.equal((await render(repository, "base", before)).unchanged, false);
});

test("[RN28] whatever is edited: what is skipped comes out the same, what was read is built", async () => {
  const names = Object.keys(repository);
  const edit = fc.record({
    name: fc.constantFrom(...names, "new.yaml", "base/new.yaml", "plain/new.yaml", "plain/sub/kustomization.yml"),
    how: fc.constantFrom("append", "remove", "replace"),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom("dev", "plain", "base", "plain/app"),
      fc.array(edit, { minLength: 1, maxLength: 3 }),
      async (path, changes) => {
        const before = built(await render(repository, path));
        const files = { ...repository };
        for (const { name, how } of changes)
          if (how === "remove") delete files[name];
          else files[name] = how === "append" && files[name] ? `${files[name]}\n# changed\n` : configMap("replaced");
        const read = before.readSet.files.some((name) => files[name] !== repository[name]);
        const after = await render(files, path, before).catch(() => undefined); // a broken build was built
        if (read) assert.notEqual(after?.unchanged, true);
        if (after?.unchanged) assert.deepEqual(built(await render(files, path)), before);
      },
    ),
    { numRuns: 150 },
  );
});

test("[SW1] directories in or below which a file came, went or changed are named, up to the root", async () => {
  const before = await artifact({ "a/x.yaml": "1", "a/deep/y.yaml": "1", "b/z.yaml": "1", "c/gone.yaml": "1" });
  const after = await artifact({ "a/x.yaml": "1", "a/deep/y.yaml": "2", "b/z.yaml": "1", "d/new.yaml": "1" });
  assert.deepEqual([...(await made.changedDirectories(before, after))].toSorted(), ["", "a", "a/deep", "c", "d"]);
  assert.deepEqual([...(await made.changedDirectories(after, after))], []);
});
