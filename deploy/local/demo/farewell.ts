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

export function farewell({ data, cluster, repository, flotilla, kubectlProgram, dir }: Farewell, path = process.env["PATH"] ?? ""): string {
  const places = columns([
    ["Flotilla", `${flotilla.url}  (/readyz, /metrics)`],
    ["KUBECONFIG", cluster.kubeconfig],
    ["Repository", `${repository.url}  (clone: ${repository.clone})`],
    ["Log", `${dir}/flotilla.log`],
  ]);
  const folders = path.split(delimiter);
  const lines = [
    `export KUBECONFIG=${cluster.kubeconfig}`,
    ...(folders.includes(dirname(kubectlProgram)) ? [] : [`export PATH="$PATH:${dirname(kubectlProgram)}"  # kubectl`]),
    "npx flotilla get all -A",
    "kubectl get pods -A",
    "",
    "# one environment changes: only that one is rendered and applied",
    `sed -i.old 's/count: 1/count: 4/' ${repository.clone}/overlays/dev/kustomization.yaml`,
    `git -C ${repository.clone} commit -qam "Four in dev" && git -C ${repository.clone} push`,
    `npx flotilla trace $(git -C ${repository.clone} rev-parse HEAD) --data ${data}`,
    "",
    "# what is deleted comes back",
    "kubectl -n shop-test delete service web; kubectl -n shop-test get service web --watch",
  ];
  return [
    "",
    "Everything keeps running. Ctrl-C stops it all and removes its files.",
    indent(places),
    "",
    "To try, in another terminal, in this folder:",
    indent(lines.join("\n")),
    "",
  ].join("\n");
}
