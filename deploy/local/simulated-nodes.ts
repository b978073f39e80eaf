/**
 * What kwok does in place of kubelets: nodes stay Ready, pods come up, pods of Jobs finish, deleted pods go away.
 *
 * A pod can be told not to come up, as in a bad rollout: by an image tagged `:missing`, or by the annotation
 * `flotilla.test/never-ready`, whose value is the reason shown (CrashLoopBackOff).
 */
const neverReady = "flotilla.test/never-ready";
const failing = `(.metadata.annotations // {} | .["${neverReady}"] // empty), (.spec.containers[].image | select(endswith(":missing")))`;
const ready = '.status.conditions // [] | .[] | select(.type == "Ready") | .status';
const owner = ".metadata.ownerReferences // [] | .[].kind";
const phase = ".status.phase";

const jq = (key: string, operator: "In" | "NotIn", ...values: string[]) => ({ jq: { key, operator, values } });
const exists = (key: string) => ({ jq: { key, operator: "Exists" } });
const absent = (key: string) => ({ jq: { key, operator: "DoesNotExist" } });
const setStatus = (template: string) => ({ patch: { subresource: "status", root: "status", template } });

const stage = (name: string, kind: "Node" | "Pod", when: object[], steps: object[]) => ({
  apiVersion: "kwok.x-k8s.io/v1alpha1",
  kind: "Stage",
  metadata: { name },
  spec: { resourceRef: { apiGroup: "v1", kind }, selector: { matchExpressions: when }, steps },
});

const live = absent(".metadata.deletionTimestamp");
const now = "{{ Now | Quote }}";

const stages = [
  stage("node-ready", "Node", [jq(ready, "NotIn", "True")], [
    setStatus(`
phase: Running
conditions:
{{ range NodeConditions }}
- type: {{ .type | Quote }}
  status: {{ .status | Quote }}
  reason: {{ .reason | Quote }}
  message: {{ .message | Quote }}
  lastHeartbeatTime: ${now}
  lastTransitionTime: ${now}
{{ end }}`),
  ]),
  stage("pod-running", "Pod", [live, jq(phase, "In", "Pending"), absent(failing)], [
    setStatus(`
phase: Running
startTime: ${now}
{{ with PodIPsWith .spec.nodeName (or .spec.hostNetwork false) .metadata.uid .metadata.name .metadata.namespace }}
podIP: {{ index . 0 | Quote }}
podIPs: [{ip: {{ index . 0 | Quote }}}]
{{ end }}
conditions:
{{ range list "PodReadyToStartContainers" "Initialized" "ContainersReady" "Ready" }}
- {type: {{ . }}, status: "True", lastTransitionTime: ${now}}
{{ end }}
{{ range .spec.readinessGates }}
- {type: {{ .conditionType | Quote }}, status: "True", lastTransitionTime: ${now}}
{{ end }}
initContainerStatuses:
{{ range .spec.initContainers }}
- name: {{ .name | Quote }}
  image: {{ .image | Quote }}
  imageID: ""
  ready: true
  restartCount: 0
  {{ if eq (or .restartPolicy "") "Always" }}
  started: true
  state: {running: {startedAt: ${now}}}
  {{ else }}
  started: false
  state: {terminated: {exitCode: 0, reason: Completed, startedAt: ${now}, finishedAt: ${now}}}
  {{ end }}
{{ end }}
containerStatuses:
{{ range .spec.containers }}
- name: {{ .name | Quote }}
  image: {{ .image | Quote }}
  imageID: ""
  ready: true
  started: true
  restartCount: 0
  state: {running: {startedAt: ${now}}}
{{ end }}`),
  ]),
  stage("pod-failing", "Pod", [live, jq(phase, "In", "Pending"), exists(failing), absent(".status.containerStatuses")], [
    setStatus(`
{{ $reason := or (index (or .metadata.annotations dict) "${neverReady}") "ImagePullBackOff" }}
startTime: ${now}
conditions:
- {type: Initialized, status: "True", lastTransitionTime: ${now}}
{{ range list "ContainersReady" "Ready" }}
- {type: {{ . }}, status: "False", reason: ContainersNotReady, lastTransitionTime: ${now}}
{{ end }}
containerStatuses:
{{ range .spec.containers }}
- name: {{ .name | Quote }}
  image: {{ .image | Quote }}
  imageID: ""
  ready: false
  started: false
  restartCount: 0
  state: {waiting: {reason: {{ $reason | Quote }}, message: "simulated: this container does not start"}}
{{ end }}`),
  ]),
  stage("pod-of-job-done", "Pod", [live, jq(phase, "In", "Running"), jq(owner, "In", "Job")], [
    setStatus(`
phase: Succeeded
containerStatuses:
{{ range .spec.containers }}
- name: {{ .name | Quote }}
  image: {{ .image | Quote }}
  imageID: ""
  ready: false
  started: false
  restartCount: 0
  state: {terminated: {exitCode: 0, reason: Completed, startedAt: ${now}, finishedAt: ${now}}}
{{ end }}`),
  ]),
  stage("pod-gone", "Pod", [exists(".metadata.deletionTimestamp")], [{ delete: true }]),
];

const configuration = {
  apiVersion: "config.kwok.x-k8s.io/v1alpha1",
  kind: "KwokConfiguration",
  options: {
    manageAllNodes: true,
    cidr: "10.0.0.0/16", // pod addresses
    // kwok's documented defaults do not hold once there is a configuration file
    podPlayStageParallelism: 8,
    nodePlayStageParallelism: 4,
    podsOnNodeSyncParallelism: 1,
    nodeLeaseDurationSeconds: 40,
    nodeLeaseParallelism: 4, // without it no lease is renewed, and the nodes turn NotReady after 40 s
  },
};

/** kwok's configuration file: YAML documents, each written as JSON. */
export const kwokConfig = (): string => [configuration, ...stages].map((each) => `${JSON.stringify(each)}\n`).join("---\n");

/** A node as its kubelet would announce it; it becomes Ready by kwok's hand. */
export const simulatedNode = (name: string): object => ({
  apiVersion: "v1",
  kind: "Node",
  metadata: { name, labels: { "kubernetes.io/hostname": name, "kubernetes.io/os": "linux", type: "kwok" } },
  status: {
    addresses: [
      { type: "InternalIP", address: "127.0.0.1" },
      { type: "Hostname", address: name },
    ],
    capacity: { cpu: "1000", memory: "4Ti", pods: "10000" },
    allocatable: { cpu: "1000", memory: "4Ti", pods: "10000" },
    nodeInfo: {
      architecture: "amd64",
      operatingSystem: "linux",
      kubeletVersion: "v1.37.2",
      kubeProxyVersion: "",
      containerRuntimeVersion: "kwok",
      kernelVersion: "",
      osImage: "simulated by kwok",
      machineID: "",
      systemUUID: "",
      bootID: "",
    },
  },
});
