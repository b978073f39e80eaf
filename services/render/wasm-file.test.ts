import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import test, { type TestContext } from "node:test";
import { Fault } from "#protocol/errors/fault.ts";
import { edits } from "./quick-kustomize.ts";
import { buildWasm, findWasm } from "./wasm-file.ts";

/** An empty cache folder, and a `go` that has the module to be edited, writes its output file when told to, and a line for every build. */
async function machine(t: TestContext, go?: string) {
  const folder = await mkdtemp(join(tmpdir(), "render-"));
  t.after(() => rm(folder, { recursive: true }));
  const log = join(folder, "log");
  await writeFile(log, "");
  const bin = join(folder, "bin");
  await mkdir(bin);
  for (const { file, before } of edits) {
    const path = join(folder, "module", file);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, `${before}\n`, { flag: "a" });
  }
  const asked = `if [ "$1" = mod ]; then echo '{"Dir":"${join(folder, "module")}"}'; exit; fi`;
  if (go)
    await writeFile(
      join(bin, "go"),
      `#!/bin/sh\n${asked}\necho built >> "${log}"\nfor last; do [ "$before" = -o ] && out=$last; before=$last; done\n${go}\n`,
      { mode: 0o755 },
    );
  const env = { XDG_CACHE_HOME: join(folder, "cache"), PATH: go ? `${bin}:/usr/bin:/bin` : bin, HOME: folder };
  return { env, builds: async () => (await readFile(log, "utf8")).split("\n").length - 1 };
}

const missing = (text: string) => (thrown: unknown) =>
  thrown instanceof Fault && thrown.code === "RendererMissing" && thrown.message.includes(text);
const silent = () => {};

test("[RN35] FLOTILLA_RENDER_WASM is used as it is, under a key of its content", async (t) => {
  const { env } = await machine(t);
  const path = join(env.HOME, "some.wasm");
  await writeFile(path, "one");
  const one = await findWasm({ ...env, FLOTILLA_RENDER_WASM: path });
  assert.equal(one.path, path);
  await writeFile(path, "two");
  assert.notEqual((await findWasm({ ...env, FLOTILLA_RENDER_WASM: path })).key, one.key);
  await assert.rejects(findWasm({ ...env, FLOTILLA_RENDER_WASM: `${path}.not` }), missing("cannot be read"));
});

test("[RN35] without a renderer in the cache folder, that is said", async (t) => {
  const { env } = await machine(t);
  await assert.rejects(findWasm(env), missing("not built yet"));
});

test("[RN36] what is built is found, under its key, and built once", async (t) => {
  const { env, builds } = await machine(t, 'echo wasm > "$out"');
  const lines: string[] = [];
  const built = await buildWasm((line) => lines.push(line), env);
  assert.ok(built.path.startsWith(join(env.XDG_CACHE_HOME, "flotilla/render", built.key)));
  assert.match(built.key, /^[0-9a-f]{16}$/);
  assert.equal(await readFile(built.path, "utf8"), "wasm\n");
  assert.equal(lines.length, 1);
  await buildWasm(silent, env);
  assert.equal(await builds(), 1);
  assert.deepEqual(await readdir(dirname(built.path)), ["render.wasm"], "nothing is left behind");
});

test("[RN36] of many that build at the same time, one does", async (t) => {
  const { env, builds } = await machine(t, 'echo wasm > "$out"');
  const all = await Promise.all(Array.from({ length: 4 }, () => buildWasm(silent, env)));
  assert.equal(new Set(all.map(({ path }) => path)).size, 1);
  assert.equal(await builds(), 1);
});

test("[RN36] the lock of a process that is gone holds up nobody", async (t) => {
  const { env, builds } = await machine(t, 'echo wasm > "$out"');
  const { path } = await buildWasm(silent, env);
  await rm(path);
  await writeFile(join(dirname(path), "lock"), "4194304999"); // beyond the largest process id
  await buildWasm(silent, env);
  assert.equal(await builds(), 2);
});

test("[RN36] a build that fails leaves no renderer, says why, and can be tried again", async (t) => {
  const { env, builds } = await machine(t, 'echo half > "$out"; echo "no such module" >&2; exit 1');
  await assert.rejects(buildWasm(silent, env), missing("no such module"));
  await assert.rejects(findWasm(env), missing("not built yet"));
  await assert.rejects(buildWasm(silent, env), missing("no such module"));
  assert.equal(await builds(), 2);
});

test("[RN36] a kustomize that the edits do not fit is not built", async (t) => {
  const { env, builds } = await machine(t, 'echo wasm > "$out"');
  await writeFile(join(env.HOME, "module", "resmap/factory.go"), "package resmap\n");
  await assert.rejects(buildWasm(silent, env), missing("factory.go is not as this release knows it"));
  assert.equal(await builds(), 0);
});

test("[RN36] without Go, the message says so", async (t) => {
  const { env } = await machine(t);
  await assert.rejects(buildWasm(silent, env), missing("install Go"));
});
