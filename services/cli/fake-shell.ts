/** A shell for tests: keeps what is printed, has a clock of its own, and a cluster and an API in memory. */
import type { KubeObject } from "#machines/rules/inventory.ts";
import type { StoredSpan, TraceEntry } from "#protocol/trace/span.ts";
import type { WorkerView } from "#protocol/messages/fleet.ts";
import type { Foreseen } from "#services/cluster/foresee.ts";
import type { DataObject } from "#services/cluster/objects.ts";
import type { RenderedObject } from "#services/render/objects.ts";
import type { RenderRequest } from "#services/render/render.ts";
import type { Api } from "./api.ts";
import type { Cluster, FluxObject } from "./cluster.ts";
import type { Builder } from "./local/builder.ts";
import type { ResourceKind } from "./resources.ts";
import type { Shell } from "./shell.ts";

export type Patch = { kind: string; namespace: string; name: string; change: object };

const nobody = () => Promise.reject(new Error("no chart is rendered here"));

export class FakeShell implements Shell {
  readonly columns = 80;
  readonly colour = false;
  readonly unicode = false;
  env: Record<string, string> = {};
  stdout = "";
  stderr = "";
  opened: object[] = [];
  closed = 0;
  readonly patches: Patch[] = [];
  /** By kind; a kind that is absent is one that the cluster does not know. */
  objects: Record<string, FluxObject[]> = { GitRepository: [], Kustomization: [] };
  /** Of kinds that are none of Flux's. */
  foreign: KubeObject[] = [];
  entries: TraceEntry[] = [];
  spans: StoredSpan[] = [];
  readonly asked: string[] = [];
  workers: WorkerView[] = [];
  /** What a build gives: by what it is asked. */
  build: (request: RenderRequest) => Promise<RenderedObject[]> = () => Promise.resolve([]);
  /** Of ConfigMaps and Secrets, by `Kind/namespace/name`. */
  data: Record<string, DataObject> = {};
  foreseen: Foreseen[] = [];
  /** What renders charts. */
  helm: Builder["helm"] = { packageChart: nobody, composeValues: nobody, render: nobody, objects: nobody };
  /** Called at each look at the workers: a fleet that moves on, or does not. */
  fleet: (workers: WorkerView[], nowMs: number) => WorkerView[] = (workers) => workers;
  /** Called at each look at an object: a controller that answers, or does not. */
  controller: (object: FluxObject, nowMs: number) => void = () => {};
  private clockMs = 1_700_000_000_000;

  print = (text: string): void => void (this.stdout += text);
  say = (text: string): void => void (this.stderr += `${text}\n`);
  nowMs = (): number => this.clockMs;
  sleep = (ms: number): Promise<void> => {
    this.clockMs += ms;
    return Promise.resolve();
  };

  openCluster = (options: object): Promise<Cluster> => {
    this.opened.push(options);
    const find = ({ kind }: ResourceKind, namespace: string, name: string) =>
      this.objects[kind]?.find(({ metadata }) => metadata.namespace === namespace && metadata.name === name);
    return Promise.resolve({
      get: (kind, { namespace, name }) => {
        const object = find(kind, namespace, name);
        if (object) this.controller(object, this.clockMs);
        return Promise.resolve(object && structuredClone(object));
      },
      list: (kind, namespace) =>
        Promise.resolve(
          this.objects[kind.kind]?.filter(
            ({ metadata }) => namespace === undefined || metadata.namespace === namespace,
          ),
        ),
      read: ({ kind, namespace, name }) => Promise.resolve(this.foreign.find((each) => each.kind === kind && each.metadata.namespace === namespace && each.metadata.name === name)),
      patch: (kind, { namespace, name }, change) => {
        this.patches.push({ kind: kind.kind, namespace, name, change });
        const object = find(kind, namespace, name)!;
        const { metadata, spec } = change as {
          metadata?: { annotations: Record<string, string> };
          spec?: { suspend: boolean };
        };
        if (metadata) object.metadata.annotations = { ...object.metadata.annotations, ...metadata.annotations };
        if (spec)
          Object.assign(object, {
            spec: { ...object.spec, ...spec },
            metadata: { ...object.metadata, generation: (object.metadata.generation ?? 0) + 1 },
          });
        return Promise.resolve(structuredClone(object));
      },
      data: ({ kind, namespace, name }) => Promise.resolve(this.data[`${kind}/${namespace}/${name}`]),
      offered: () => Promise.resolve({ capabilities: { kubeVersion: "v1.37.2", apiVersions: ["v1"] }, lookup: () => Promise.resolve(undefined) }),
      foresee: () => Promise.resolve(this.foreseen),
      foreseeRelease: () => Promise.resolve(this.foreseen),
      deployed: () => Promise.resolve(undefined),
      close: () => Promise.resolve(void this.closed++),
    } satisfies Cluster);
  };

  openBuilder = (): Promise<Builder> =>
    Promise.resolve({
      renderer: {
        render: async (request) => {
          const variables = await request.substitution?.read();
          const objects = await this.build(request);
          return { unchanged: false, key: "", readSet: { files: [], absent: [] } as never, objects, confidential: variables?.confidential ?? [] };
        },
      },
      decryptor: { ignoreMac: false, openFiles: () => Promise.resolve({ files: [], plain: [] }), openObjects: ({ objects }) => Promise.resolve(objects.map((object) => ({ object }))) },
      helm: this.helm,
      close: () => Promise.resolve(void this.closed++),
    } satisfies Builder);

  openApi = (options: object): Promise<Api> => {
    this.opened.push(options);
    const answer = (question: string) => {
      this.asked.push(question);
      return Promise.resolve(this.entries);
    };
    return Promise.resolve({
      tracesOfCommit: (commit) => answer(`commit ${commit}`),
      tracesOfUnit: (unit) => answer(`unit ${unit}`),
      recentTraces: () => answer("recent"),
      spans: (traceId) => Promise.resolve(this.spans.filter((span) => span.traceId === traceId)),
      workers: () => Promise.resolve((this.workers = this.fleet(structuredClone(this.workers), this.clockMs))),
      drain: (name, on) => {
        this.asked.push(`${on ? "drain" : "undo"} ${name}`);
        for (const worker of this.workers) if (worker.name === name) worker.state = on ? "draining" : "ready";
        return Promise.resolve();
      },
    } satisfies Api);
  };
}
