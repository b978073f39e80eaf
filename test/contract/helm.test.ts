/** The simulator's engine keeps what Helm's keeps. */
import { smallHelm } from "../simulate/helm.ts";
import { helmCases } from "./helm-cases.ts";

const objects = { map: "1", "hook_pre-install,pre-upgrade_pre": "ok", hook_test_check: "ok" };

helmCases({
  helm: smallHelm((archive) => ({ name: "shop", version: new TextDecoder().decode(archive), objects })),
  chart: async () => ({ digest: "sha256:1", load: async () => new TextEncoder().encode("1.2.3") }),
});
