/** What the reader can do while everything keeps running: where it is, and lines that work when they are pasted. */
import { delimiter, dirname } from "node:path";
import { columns, indent } from "./screen.ts";
import type { Stage } from "./stage.ts";

export type Farewell = {
  dir: string;
  data: string;
  kubectlProgram: string;
  cluster: Pick<Stage["cluster"], "kubeconfig">;
  repository: Pick<Stage["repository"], "url" | "clone">;
  flotilla: Pick<Stage["flotilla"], "url">;
};

/** @param path the reader's PATH */
export function farewell(stage: Farewell, path = process.env["PATH"] ?? ""): string {
  const { dir, data, cluster, repository, flotilla, kubectlProgram } = stage;
  const places = columns([
    ["Flotilla", `${flotilla.url}  (/readyz, /metrics)`],
    ["KUBECONFIG", cluster.kubeconfig],
    ["Repository", `${repository.url}  (clone: ${repository.clone})`],
    ["Log", `${dir}/flotilla.log`],
  ]);
  const { clone } = repository;
  const found = path.split(delimiter).includes(dirname(kubectlProgram));
  const tries: readonly (readonly [string, ...string[]])[] = [
    [
      "In another terminal, in this folder:",
      `export KUBECONFIG=${cluster.kubeconfig}`,
      ...(found ? [] : [`export PATH="$PATH:${dirname(kubectlProgram)}"`]),
      "npx flotilla get all -A",
      "kubectl get pods -A",
    ],
    [
      "Change one environment: only that one is built and applied.",
      `sed -i.old 's/count: 1/count: 4/' ${clone}/overlays/dev/kustomization.yaml`,
      `git -C ${clone} commit -qam "Four in dev" && git -C ${clone} push`,
      `npx flotilla trace $(git -C ${clone} rev-parse HEAD) --data ${data}`,
    ],
    [
      "Delete something: it comes back.",
      "kubectl -n shop-test delete service web; kubectl -n shop-test get service web --watch",
    ],
  ];
  return [
    "",
    "Everything keeps running. Ctrl-C stops it all and removes its files.",
    indent(places),
    ...tries.flatMap(([name, ...lines]) => ["", name, indent(lines.join("\n"))]),
    "",
  ].join("\n");
}
