import assert from "node:assert/strict";
import test from "node:test";
import { Fault, type FaultCode } from "#protocol/errors/fault.ts";
import { Engine } from "./engine.ts";
import { renderMessage, type MessageData } from "./message.ts";
import type { Change } from "./setters.ts";
import { buildWasm } from "./wasm-file.ts";

const engine = new Engine({ wasm: await buildWasm(() => {}) });
const change = (file: string, name: string, kind: string, oldValue: string, newValue: string): Change =>
  ({ file, object: { apiVersion: kind ? "apps/v1" : "", kind, namespace: kind ? "shop" : "", name }, setter: `apps:${name || "web"}:tag`, oldValue, newValue });
const data: MessageData = {
  automation: { namespace: "apps", name: "images" },
  changes: [change("b/web.yaml", "web", "Deployment", "1", "2"), change("a.yaml", "db", "StatefulSet", "v8", "v9"), change("a.yaml", "web", "Deployment", "1", "2"), change("values.yaml", "", "", "1", "2")],
  values: { team: "shop", "with space": "yes" },
};
const render = (template: string, more = {}) => renderMessage(template, data, { engine, subject: "apps/images", signal: AbortSignal.timeout(300_000), ...more });

// The last is what Flux's documentation shows.
const messages: { template: string; message: string; why?: string }[] = [
  { template: "", message: "Update from image update automation" },
  { template: "Update", message: "Update" },
  { template: "{{ .AutomationObject }} {{ .AutomationObject.Name }} {{ .AutomationObject.Namespace }}", message: "apps/images images apps" },
  { template: "{{ range .Changed.Changes }}{{ .Setter }} {{ .OldValue }}>{{ .NewValue }};{{ end }}", message: "apps:web:tag 1>2;apps:db:tag v8>v9;", why: "each once" },
  { template: "{{ range $file, $objects := .Changed.FileChanges }}{{ $file }}:{{ range $o, $c := $objects }} {{ $o.Kind }}/{{ $o.Name }}.{{ $o.Namespace }}{{ range $c }} {{ .NewValue }}{{ end }}{{ end }}\n{{ end }}",
    message: "a.yaml: Deployment/web.shop 2 StatefulSet/db.shop v9\nb/web.yaml: Deployment/web.shop 2\nvalues.yaml: /. 2\n" },
  { template: "{{ range $o, $c := .Changed.Objects }}{{ $o.Kind }} {{ $o.APIVersion }} {{ len $c }};{{ end }}", message: "  1;Deployment apps/v1 2;StatefulSet apps/v1 1;" },
  { template: "{{ .Values.team | upper | quote }} {{ index .Values \"with space\" }} {{ .Values.none }}", message: '"SHOP" yes <no value>' },
  { template: "{{ $m := dict }}{{ range .Changed.Changes }}{{ $_ := set $m .Setter .NewValue }}{{ end }}{{ range $k, $v := $m }}{{ $k }}={{ $v }} {{ end }}", message: "apps:db:tag=v9 apps:web:tag=2 " },
  { template: "{{ regexReplaceAll \"^apps:(.*):tag$\" \"apps:web:tag\" \"${1}\" }} {{ list 3 1 2 | join \",\" }} {{ trunc 3 \"abcdef\" }} {{ semver \"1.2.3\" | toString }}", message: "web 3,1,2 abc 1.2.3" },
  { template: `Automated image update

Automation name: {{ .AutomationObject }}

Files:
{{ range $filename, $_ := .Changed.FileChanges -}}
- {{ $filename }}
{{ end -}}

Objects:
{{ range $resource, $changes := .Changed.Objects -}}
- {{ $resource.Kind }} {{ $resource.Name }}
  Changes:
{{- range $_, $change := $changes }}
    - {{ $change.OldValue }} -> {{ $change.NewValue }}
{{ end -}}
{{ end -}}
`, message: "Automated image update\n\nAutomation name: apps/images\n\nFiles:\n- a.yaml\n- b/web.yaml\n- values.yaml\nObjects:\n-  \n  Changes:\n    - 1 -> 2\n- Deployment web\n  Changes:\n    - 1 -> 2\n\n    - 1 -> 2\n- StatefulSet db\n  Changes:\n    - v8 -> v9\n" },
];
for (const { template, message, why } of messages)
  test(`[IM30] ${JSON.stringify(template.slice(0, 70))}${why ? `: ${why}` : ""}`, async () => assert.equal(await render(template), message));

const faults: { template: string; code: FaultCode; says: RegExp; why?: string }[] = [
  { template: "{{ .Updated.Images }}", code: "TemplateFieldRemoved", says: /can't evaluate field Updated/ },
  { template: "{{ range .Changed.ImageResult.Images }}{{ end }}", code: "TemplateFieldRemoved", says: /can't evaluate field ImageResult/ },
  { template: "{{ .Nothing }}", code: "MessageTemplateFailed", says: /can't evaluate field Nothing/ },
  { template: "{{ .Changed", code: "MessageTemplateFailed", says: /unclosed action/ },
  { template: "{{ if }}", code: "MessageTemplateFailed", says: /missing value for if/ },
  { template: "{{ fail \"not today\" }}", code: "MessageTemplateFailed", says: /not today/ },
  { template: "{{ env \"HOME\" }}", code: "MessageTemplateFailed", says: /function "env" not defined/, why: "hermetic" },
  { template: "{{ now }}", code: "MessageTemplateFailed", says: /function "now" not defined/, why: "hermetic" },
  { template: "{{ getHostByName \"x\" }}", code: "MessageTemplateFailed", says: /not defined/, why: "hermetic" },
  { template: "{{ define \"a\" }}{{ template \"a\" }}{{ end }}{{ template \"a\" }}", code: "MessageTemplateFailed", says: /exceeded maximum template depth/, why: "calls itself" },
  { template: "{{ repeat 70000 \"x\" }}", code: "MessageTemplateFailed", says: /longer than 64 KiB/, why: "explodes" },
  { template: "{{ range until 100000 }}{{ . }}{{ end }}", code: "MessageTemplateFailed", says: /longer than 64 KiB/, why: "explodes piece by piece" },
  { template: "{{ repeat 2000000000 \"x\" }}", code: "MessageTemplateFailed", says: /needs more memory than it may have/, why: "explodes in memory" },
  { template: "{{ range until 3000 }}{{ range until 3000 }}{{ range until 3000 }}{{ end }}{{ end }}{{ end }}", code: "MessageTemplateFailed", says: /not done after 2 s/, why: "takes for ever" },
  { template: "x".repeat(70_000), code: "MessageTemplateFailed", says: /longer than 64 KiB/ },
];
for (const { template, code, says, why } of faults)
  test(`[IM31] ${JSON.stringify(template.slice(0, 60))}${why ? `: ${why}` : ""}`, () =>
    assert.rejects(render(template, why === "takes for ever" ? { timeoutMs: 2_000 } : {}), (error) => {
      assert.ok(error instanceof Fault, String(error));
      assert.equal(error.code, code);
      assert.match(error.detail ?? "", says);
      assert.ok(!/0x[0-9a-f]{6}|goroutine/.test(error.message), error.message);
      return true;
    }));

test("[IM31] two fields in a template that were removed stall, as in Flux; whatever else is wrong with one is tried again", () => {
  assert.equal(new Fault("TemplateFieldRemoved", "x").remedy, "stall");
  assert.equal(new Fault("MessageTemplateFailed", "x").remedy, "retry");
});
