import assert from "node:assert/strict";
import test from "node:test";
import { farewell } from "./farewell.ts";

const stage = {
  dir: "/tmp/x",
  data: "/tmp/x/data",
  kubectlProgram: "/cache/kubectl/kubectl",
  cluster: { kubeconfig: "/tmp/x/kubeconfig" },
  repository: { url: "http://127.0.0.1:1/shop.git", clone: "/tmp/x/shop" },
  flotilla: { url: "http://127.0.0.1:2" },
};

test("says where everything is, and commands that need no editing", () => {
  const text = farewell(stage, "/bin");
  for (const each of [stage.flotilla.url, stage.cluster.kubeconfig, stage.repository.url, "/tmp/x/flotilla.log"]) assert.ok(text.includes(each), each);
  assert.match(text, /^ +export KUBECONFIG=\/tmp\/x\/kubeconfig$/m);
  assert.match(text, /^ +npx flotilla get all -A$/m);
  assert.doesNotMatch(text, /[<>…]|undefined/);
});

const paths = [
  { path: "/bin", shown: true, why: "kubectl was built for the demo" },
  { path: "/bin:/cache/kubectl", shown: false, why: "kubectl is found already" },
];
for (const { path, shown, why } of paths)
  test(`the line that puts kubectl on the PATH is ${shown ? "shown" : "left out"}: ${why}`, () => {
    assert.equal(/export PATH=/.test(farewell(stage, path)), shown);
  });
