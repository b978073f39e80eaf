import assert from "node:assert/strict";
import test from "node:test";
import { Fault } from "#protocol/errors/fault.ts";
import { artifact, configMap, lines, renderer, type Files } from "./fixtures.ts";
import { Renderer } from "./render.ts";

const signal = new AbortController().signal;
const small = artifact({ "a.yaml": configMap("a") });
const code =
  (expected: string, text = "") =>
  (thrown: unknown) =>
    thrown instanceof Fault && thrown.code === expected && thrown.message.includes(text);

/** Each level holds the one before it twice: 2^levels objects from a few hundred bytes. */
function doubling(levels: number): Files {
  const files: Files = { "l0/kustomization.yaml": "resources: [a.yaml]\n", "l0/a.yaml": configMap("a") };
  for (let level = 1; level <= levels; level++) {
    for (const side of ["x", "y"])
      files[`l${level}${side}/kustomization.yaml`] = `namePrefix: ${side}-\nresources: [../l${level - 1}]\n`;
    files[`l${level}/kustomization.yaml`] = `resources: [../l${level}x, ../l${level}y]\n`;
  }
  return files;
}

test("[RN29] a build that takes too long ends, and others go on", async () => {
  const made = await renderer({ timeoutMs: 2_000 });
  const endless = made.render({ artifact: await artifact(doubling(24)), path: "l24", spec: {} }, signal);
  const waiting = made.render({ artifact: await small, path: "", spec: {} }, signal);
  await assert.rejects(endless, code("RenderTimeout", "l24: not done after 2 s"));
  assert.equal((await waiting).unchanged, false);
});

test("[RN69] a slow build holds up no other tenant", async () => {
  const made = await renderer({ slowMs: 0, timeoutMs: 300_000 });
  const done: string[] = [];
  const build = async (name: string, files: Files, path = "") => {
    await made.render({ tenant: name, artifact: await artifact(files), path, spec: {} }, signal);
    done.push(name);
  };
  const endless = build("endless", doubling(40), "l40").catch(() => undefined);
  await Promise.all(["one", "two"].map((name) => build(name, { "a.yaml": configMap(name) })));
  assert.deepEqual(done.toSorted(), ["one", "two"]);
  await made.close();
  await endless;
});

test("[RN69] a thread that was lent and has gone is lent again", async () => {
  const made = await renderer({ slowMs: 0, spareIdleMs: 0 });
  const endless = made.render({ tenant: "slow", artifact: await artifact(doubling(40)), path: "l40", spec: {} }, signal).catch(() => undefined);
  for (const name of ["one", "two", "three"]) await made.render({ tenant: name, artifact: await artifact({ "a.yaml": configMap(name) }), path: "", spec: {} }, signal);
  await made.close();
  await endless;
});

/** A few dozen times as much memory as the file is long, for a moment. */
const large = (megabytes: number): Files => ({
  "kustomization.yaml": "configMapGenerator: [{name: g, files: [large.txt]}]\n",
  "large.txt": "0123456789abcde\n".repeat(megabytes * 65_536),
});

test("[RN29] a build that needs too much memory fails as a build, and others go on", async () => {
  const made = await renderer({ memoryLimitBytes: 96 * 1024 * 1024 });
  await assert.rejects(
    made.render({ artifact: await artifact(large(20)), path: "", spec: {} }, signal),
    code("BuildFailed", ".: the build needs more memory than it may have"),
  );
  assert.equal((await made.render({ artifact: await small, path: "", spec: {} }, signal)).unchanged, false);
});

const deep: { what: string; file: string }[] = [
  {
    what: "lists in lists",
    file: `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: ${"[".repeat(50_000)}${"]".repeat(50_000)}\n`,
  },
  {
    what: "maps in maps",
    file: `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: ${"{a: ".repeat(9_000)}1${"}".repeat(9_000)}\n`,
  },
  {
    what: "aliases of aliases",
    file: lines(
      "apiVersion: v1",
      "kind: ConfigMap",
      "metadata: {name: a}",
      "a0: &a0 [x,x,x,x,x,x,x,x,x]",
      ...Array.from({ length: 9 }, (_, i) => `a${i + 1}: &a${i + 1} [${Array(9).fill(`*a${i}`).join(",")}]`),
    ),
  },
];
const nesting = renderer({ timeoutMs: 2_000 });
for (const { what, file } of deep)
  test(`[RN29] ${what} end their own build at most`, async () => {
    const made = await nesting;
    await made
      .render({ artifact: await artifact({ "a.yaml": file }), path: "", spec: {} }, signal)
      .catch((thrown: unknown) =>
        assert.ok(thrown instanceof Fault && ["BuildFailed", "RenderTimeout"].includes(thrown.code), String(thrown)),
      );
    assert.equal((await made.render({ artifact: await small, path: "", spec: {} }, signal)).unchanged, false);
  });

for (const { what, files } of [
  { what: "components that include one another", files: {
    "kustomization.yaml": "components: [a]\n",
    "a/kustomization.yaml": "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\ncomponents: [../b]\n",
    "b/kustomization.yaml": "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\ncomponents: [../a]\n",
  } },
  { what: "bases that include one another", files: { "kustomization.yaml": "resources: [a]\n", "a/kustomization.yaml": "resources: [../b]\n", "b/kustomization.yaml": "resources: [../a]\n" } },
])
  test(`[RN29] ${what} fail the build by name`, async () => {
    await assert.rejects((await nesting).render({ artifact: await artifact(files), path: "", spec: {} }, signal), code("BuildFailed", "cycle"));
  });

test("[RN29] a document of 100 MB ends its own build at most, and others go on", async () => {
  const made = await renderer({ timeoutMs: 20_000, memoryLimitBytes: 256 * 1024 * 1024 });
  const big = await artifact({ "a.yaml": configMap("a", `{k: "${"x".repeat(100 * 1024 * 1024)}"}`) });
  await assert.rejects(made.render({ artifact: big, path: "", spec: {} }, signal), (thrown) =>
    thrown instanceof Fault && ["BuildFailed", "RenderTimeout", "ArtifactCorrupt"].includes(thrown.code));
  assert.equal((await made.render({ artifact: await small, path: "", spec: {} }, signal)).unchanged, false);
});

test("[RN30] a module above its cap is replaced, and renders as before", async () => {
  const made = await renderer({ memoryLimitBytes: 256 * 1024 * 1024 });
  const before = await made.render({ artifact: await small, path: "", spec: {} }, signal);
  await made.render({ artifact: await artifact(large(4)), path: "", spec: {} }, signal);
  const grown = made.memoryBytes;
  assert.deepEqual(await made.render({ artifact: await small, path: "", spec: {} }, signal), before);
  assert.ok(grown > 128 * 1024 * 1024 && made.memoryBytes < grown, `${grown} -> ${made.memoryBytes}`);
});

test("[RN30] artifacts come and go, and memory stays", async () => {
  const made = await renderer({ loadedLimitBytes: 6 * 1024 * 1024, treeCacheBytes: 6 * 1024 * 1024 });
  for (let i = 0; i < 60; i++) {
    const files = { "a.yaml": configMap(`a${i}`), "ballast.bin": `${i}`.padEnd(2 * 1024 * 1024, "x") };
    const rendered = await made.render({ artifact: await artifact(files), path: "", spec: {} }, signal);
    assert.ok(!rendered.unchanged && rendered.objects[0]?.object.metadata.name === `a${i}`);
  }
  assert.ok(made.memoryBytes < 120 * 1024 * 1024, `${made.memoryBytes}`);
});

test("[RN31] a build given up while it waits is not done; one that runs is left to end", async () => {
  const made = await renderer();
  const busy = new AbortController();
  const running = made.render({ artifact: await artifact(doubling(6)), path: "l6", spec: {} }, busy.signal);
  const given = new AbortController();
  const waiting = made.render({ artifact: await small, path: "", spec: {} }, given.signal);
  given.abort(new Error("no longer wanted"));
  await assert.rejects(waiting, /no longer wanted/);
  busy.abort(new Error("nor this"));
  await assert.rejects(running, /nor this/);
  assert.equal((await made.render({ artifact: await small, path: "", spec: {} }, signal)).unchanged, false);
  await assert.rejects(
    made.render({ artifact: await small, path: "", spec: {} }, AbortSignal.abort(new Error("at once"))),
    /at once/,
  );
});

test("[RN31] many builds of many artifacts on two threads each get their own answer", async () => {
  const made = await renderer({ threads: 2 });
  const artifacts = await Promise.all(
    ["a", "b", "c"].map((name) =>
      artifact({ "kustomization.yaml": "resources: [x.yaml]\n", "x.yaml": configMap(name) }),
    ),
  );
  const got = await Promise.all(
    Array.from({ length: 60 }, async (_, i) => {
      const handle = artifacts[i % 3];
      assert.ok(handle);
      const rendered = await made.render({ artifact: handle, path: "", spec: { nameSuffix: `-${i}` } }, signal);
      return rendered.unchanged ? "" : rendered.objects[0]?.object.metadata.name;
    }),
  );
  assert.deepEqual(
    got,
    Array.from({ length: 60 }, (_, i) => `${"abc"[i % 3]}-${i}`),
  );
});

test("[RN31] a closed renderer gives up what it was doing, and does no more", async () => {
  const made = await renderer();
  await made.warm();
  const asked = [artifact(doubling(10)), small].map(async (handle, i) =>
    made.render({ artifact: await handle, path: i === 0 ? "l10" : "", spec: {} }, signal),
  );
  const answers = Promise.allSettled(asked);
  await made.close();
  assert.deepEqual(
    (await answers).map(({ status }) => status),
    ["rejected", "rejected"],
  );
  await assert.rejects(
    made.render({ artifact: await small, path: "", spec: {} }, signal),
    code("RendererMissing", "closed"),
  );
});

test("[RN35] what is no renderer is said to be missing", async () => {
  const bad = new Renderer({
    wasm: { path: import.meta.filename, key: "k" },
  });
  await assert.rejects(
    bad.render({ artifact: await small, path: "", spec: {} }, signal),
    code("RendererMissing", "pool.real.test.ts"),
  );
});
