import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import test from "node:test";
import { filesToOpen } from "./plan.ts";

const plan = (files: Record<string, string>, directory = "", components: string[] = []) => {
  const contents = new Map(Object.entries(files).map(([path, text]) => [path, Buffer.from(text)]));
  return Object.fromEntries(filesToOpen({ get: (path) => contents.get(path), paths: contents.keys() }, directory, components).map(({ path, format }) => [path, format]));
};

test("[SO11] what secret generators take in, in the format of its key or name", () =>
  assert.deepEqual(plan({ "app/kustomization.yaml": `secretGenerator:
- name: a
  files: [a.yaml, b.json, c.ini, d.env, e.bin, key.yaml=f.txt, .dockerconfigjson=g.txt, ../shared/h.yml, /i.yaml]
- name: b
  envs: [a, b.env, c.json, d.yaml, e.ini]
  env: f
configMapGenerator:
- { name: c, files: [not.yaml] }
` }, "app"), {
    "app/a.yaml": "yaml", "app/b.json": "json", "app/c.ini": "ini", "app/d.env": "dotenv", "app/e.bin": "binary", "app/f.txt": "yaml", "app/g.txt": "json",
    "shared/h.yml": "yaml", "i.yaml": "yaml", "app/f": "dotenv", "app/a": "dotenv", "app/b.env": "dotenv", "app/c.json": "json", "app/d.yaml": "yaml", "app/e.ini": "ini",
  }));

test("[SO12] patches by path, but not those at a remote address nor those in line", () =>
  assert.deepEqual(plan({ "Kustomization": "patches: [{ path: p.yaml }, { path: q.json }, { path: 'https://x.example/r.yaml' }, { patch: '{}' }]" }), { "p.yaml": "yaml", "q.json": "json" }));

test("[SO13] resources and components are followed through the whole artifact, and through no circle twice", () =>
  assert.deepEqual(plan({
    "app/kustomization.yml": "resources: [../base, ./self, secret.yaml, 'https://github.com/x/y']\ncomponents: [../part]",
    "app/self/kustomization.yaml": "resources: [..]\nsecretGenerator: [{ name: s, envs: [s.env] }]",
    "base/kustomization.yaml": "resources: [../app]\nsecretGenerator: [{ name: b, envs: [b.env] }]",
    "part/kustomization.yaml": "kind: Component\nsecretGenerator: [{ name: p, envs: [p.env] }]",
    "extra/kustomization.yaml": "kind: Component\nsecretGenerator: [{ name: e, envs: [e.env] }]",
    "other/kustomization.yaml": "secretGenerator: [{ name: o, envs: [o.env] }]",
  }, "app", ["../extra"]), { "extra/e.env": "dotenv", "part/p.env": "dotenv", "app/self/s.env": "dotenv", "base/b.env": "dotenv" }));

test("[SO13] a directory without a kustomization file has those below as its resources, the outermost ones", () =>
  assert.deepEqual(plan({
    "app/deployment.yaml": "", "app/a/kustomization.yaml": "secretGenerator: [{ name: a, envs: [a.env] }]", "app/a/b/kustomization.yaml": "secretGenerator: [{ name: b, envs: [b.env] }]",
    "app/c/d/Kustomization": "secretGenerator: [{ name: d, envs: [d.env] }]", "beside/kustomization.yaml": "secretGenerator: [{ name: x, envs: [x.env] }]",
  }, "app"), { "app/c/d/d.env": "dotenv", "app/a/a.env": "dotenv" }));

for (const [what, text] of Object.entries({ "no YAML": "{", "a list": "- x", "nothing": "", "wrong types": "secretGenerator: { files: 7 }\npatches: [x, 7, null]\nresources: 3" }))
  test(`[SO13] a kustomization file that is ${what} is left for kustomize to judge`, () => assert.deepEqual(plan({ "kustomization.yaml": text }), {}));

test("[SO13] no path leads out of the artifact", () =>
  assert.deepEqual(plan({ "app/kustomization.yaml": "secretGenerator: [{ name: a, envs: [../../../etc/passwd] }]" }, "app"), { "etc/passwd": "dotenv" }));
