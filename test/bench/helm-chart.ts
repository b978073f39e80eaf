/** A chart of the size and manner of podinfo's: helpers, a deployment with many conditions, a service, an ingress, an autoscaler, a test. */
export const chartFiles: Record<string, string> = {
  "Chart.yaml": "apiVersion: v2\nname: podinfo\nversion: 6.5.0\nappVersion: 6.5.0\nkubeVersion: '>=1.23.0-0'\n",
  "values.yaml": `replicaCount: 1
logLevel: info
image: {repository: ghcr.io/stefanprodan/podinfo, tag: 6.5.0, pullPolicy: IfNotPresent}
ui: {color: "#34577c", message: ""}
service: {enabled: true, type: ClusterIP, httpPort: 9898, metricsPort: 9797, grpcPort: 9999, grpcService: podinfo}
hpa: {enabled: true, maxReplicas: 10, cpu: 80, memory: ""}
ingress: {enabled: true, className: nginx, hosts: [{host: podinfo.local, paths: [{path: /, pathType: ImplementationSpecific}]}], tls: []}
resources: {limits: null, requests: {cpu: 1m, memory: 16Mi}}
nodeSelector: {}
tolerations: []
podAnnotations: {}
`,
  "templates/_helpers.tpl": `{{- define "podinfo.name" -}}{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}{{- end }}
{{- define "podinfo.fullname" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 63 }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 63 | trimSuffix "-" }}{{ end }}
{{- end }}
{{- define "podinfo.selector" -}}
app.kubernetes.io/name: {{ include "podinfo.fullname" . }}
{{- end }}
{{- define "podinfo.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "podinfo.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}
`,
  "templates/deployment.yaml": `apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ template "podinfo.fullname" . }}
  labels:
    {{- include "podinfo.labels" . | nindent 4 }}
spec:
  {{- if not .Values.hpa.enabled }}
  replicas: {{ .Values.replicaCount }}
  {{- end }}
  strategy: {type: RollingUpdate, rollingUpdate: {maxUnavailable: 1}}
  selector:
    matchLabels:
      {{- include "podinfo.selector" . | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "podinfo.selector" . | nindent 8 }}
      annotations:
        prometheus.io/port: "{{ .Values.service.httpPort }}"
        {{- range $key, $value := .Values.podAnnotations }}
        {{ $key }}: {{ $value | quote }}
        {{- end }}
    spec:
      containers:
        - name: {{ .Chart.Name }}
          image: "{{ .Values.image.repository }}:{{ .Values.image.tag }}"
          imagePullPolicy: {{ .Values.image.pullPolicy }}
          command:
            - ./podinfo
            - --port={{ .Values.service.httpPort | default 9898 }}
            - --level={{ .Values.logLevel }}
          env:
            - {name: PODINFO_UI_COLOR, value: {{ .Values.ui.color | quote }}}
            {{- if .Values.ui.message }}
            - {name: PODINFO_UI_MESSAGE, value: {{ .Values.ui.message | quote }}}
            {{- end }}
          ports:
            - {name: http, containerPort: {{ .Values.service.httpPort | default 9898 }}, protocol: TCP}
            - {name: grpc, containerPort: {{ .Values.service.grpcPort }}, protocol: TCP}
          livenessProbe: {exec: {command: [podcli, check, http, "localhost:{{ .Values.service.httpPort }}/healthz"]}}
          resources:
{{ toYaml .Values.resources | indent 12 }}
      {{- with .Values.nodeSelector }}
      nodeSelector: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .Values.tolerations }}
      tolerations: {{- toYaml . | nindent 8 }}
      {{- end }}
`,
  "templates/service.yaml": `{{- if .Values.service.enabled -}}
apiVersion: v1
kind: Service
metadata:
  name: {{ template "podinfo.fullname" . }}
  labels:
    {{- include "podinfo.labels" . | nindent 4 }}
spec:
  type: {{ .Values.service.type }}
  ports:
    - {port: {{ .Values.service.httpPort }}, targetPort: http, protocol: TCP, name: http}
    - {port: {{ .Values.service.grpcPort }}, targetPort: grpc, protocol: TCP, name: grpc}
  selector:
    {{- include "podinfo.selector" . | nindent 4 }}
{{- end }}
`,
  "templates/ingress.yaml": `{{- if .Values.ingress.enabled -}}
{{- $fullName := include "podinfo.fullname" . -}}
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: {{ $fullName }}
  labels:
    {{- include "podinfo.labels" . | nindent 4 }}
spec:
  ingressClassName: {{ .Values.ingress.className }}
  rules:
    {{- range .Values.ingress.hosts }}
    - host: {{ .host | quote }}
      http:
        paths:
          {{- range .paths }}
          - {path: {{ .path }}, pathType: {{ .pathType }}, backend: {service: {name: {{ $fullName }}, port: {name: http}}}}
          {{- end }}
    {{- end }}
{{- end }}
`,
  "templates/hpa.yaml": `{{- if .Values.hpa.enabled -}}
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: {{ template "podinfo.fullname" . }}
  labels:
    {{- include "podinfo.labels" . | nindent 4 }}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: {{ template "podinfo.fullname" . }}}
  minReplicas: {{ .Values.replicaCount }}
  maxReplicas: {{ .Values.hpa.maxReplicas }}
  metrics:
    - {type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: {{ .Values.hpa.cpu }}}}}
{{- end }}
`,
  "templates/tests/grpc.yaml": `apiVersion: v1
kind: Pod
metadata:
  name: {{ template "podinfo.fullname" . }}-grpc-test
  annotations: {helm.sh/hook: test-success, helm.sh/hook-delete-policy: "before-hook-creation,hook-succeeded"}
spec:
  restartPolicy: Never
  containers: [{name: grpc, image: example/grpc, command: [sh, -c, "grpc_health_probe -addr={{ template "podinfo.fullname" . }}:{{ .Values.service.grpcPort }}"]}]
`,
  "templates/NOTES.txt": "Visit {{ (index .Values.ingress.hosts 0).host }}\n",
};
