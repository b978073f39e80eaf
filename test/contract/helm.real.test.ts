/** What releases rely on, of the real engine. */
import { chart, helmEngine } from "#services/render/helm/fixtures.ts";
import { helmCases } from "./helm-cases.ts";

const job = (name: string, events: string) => `apiVersion: batch/v1\nkind: Job\nmetadata:\n  name: {{ .Release.Name }}-${name}\n  annotations:\n    helm.sh/hook: ${events}\n`;
const files = {
  "templates/map.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Release.Name }}-map\ndata:\n  value: \"1\"\n",
  "templates/pre.yaml": job("pre", "pre-install,pre-upgrade"), "templates/check.yaml": job("check", "test"),
};

helmCases({ helm: await helmEngine(), chart: () => chart(files, "shop") });
