package main

import "helm.sh/helm/v4/pkg/chart/loader/archive"

// Code runs slowly the first times: better over this chart, which uses what most do, than over a user's.
func sampleChart() (files []*archive.BufferedFile) {
	for name, text := range map[string]string{
		"Chart.yaml":  "apiVersion: v2\nname: sample\nversion: 1.0.0\n",
		"values.yaml": "replicas: 1\nlabels: {a: b}\nimage: {repository: web, tag: '1'}\n",
		"templates/_helpers.tpl": `{{- define "sample.labels" -}}
app: {{ .Chart.Name | trunc 63 | trimSuffix "-" | quote }}
{{- with .Values.labels }}{{ toYaml . | nindent 0 }}{{ end }}
{{- end }}`,
		"templates/deployment.yaml": `apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ printf "%s-%s" .Release.Name .Chart.Name }}
  labels: {{- include "sample.labels" . | nindent 4 }}
spec:
  replicas: {{ .Values.replicas }}
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: "{{ .Values.image.repository }}:{{ .Values.image.tag | default "1" }}"}]}
`,
		"templates/service.yaml": "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {ports: [{port: 80}]}\n",
		"templates/hook.yaml":    "apiVersion: batch/v1\nkind: Job\nmetadata: {name: hook, annotations: {helm.sh/hook: pre-install}}\n",
	} {
		files = append(files, &archive.BufferedFile{Name: name, Data: []byte(text)})
	}
	return files
}
