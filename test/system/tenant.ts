/** What one test has for itself: a namespace, a repository, and the words to say what it does and what it waits for. */
import { randomBytes } from "node:crypto";
import { eventually } from "../../deploy/local/eventually.ts";
import type { Commit } from "../../deploy/local/git-commit.ts";
import { pathOf, type Condition, type KubeObject } from "./kube.ts";
import { object } from "./objects.ts";
import type { System } from "./system.ts";
import { imageKinds, sourceKinds, unitKinds } from "./watched.ts";

type Ours = (typeof sourceKinds)[number] | (typeof unitKinds)[number] | (typeof imageKinds)[number];

/** As `kubectl get events` shows them. */
export type Told = { type: string; reason: string; message: string; annotations: Record<string, string>; component: string };

export class Tenant {
  readonly system: System;
  readonly namespace: string;
  /** Named as the namespace; a source looks at it unless told otherwise. */
  readonly url: string;
  /** What was last written here, by `Kind/name`: the watch may still show what was before. */
  private readonly written = new Map<string, number>();

  private constructor(system: System, namespace: string) {
    this.system = system;
    this.namespace = namespace;
    this.url = system.git.repoUrl(namespace);
  }

  static async open(system: System): Promise<Tenant> {
    const name = `t-${randomBytes(4).toString("hex")}`;
    await Promise.all([system.git.createRepo(name), system.kube.create(object("Namespace", name))]);
    await eventually("its service account", () => system.kube.find(pathOf("ServiceAccount", name, "default")));
    return new Tenant(system, name);
  }

  /** Lets go of what it made, so that the next `up` finds a cluster without leftovers; the namespace's end is not waited for. */
  async release(): Promise<void> {
    const { kube, watched } = this.system;
    await kube.remove(pathOf("Namespace", undefined, this.namespace));
    const mine = [...unitKinds, ...sourceKinds, ...imageKinds].flatMap((kind) => watched[kind].all(this.namespace));
    for (const { kind, metadata } of mine)
      await kube.merge(pathOf(kind, this.namespace, metadata.name), { metadata: { finalizers: null } }).catch(() => undefined); // gone by itself
  }

  /** Adds a commit without telling anybody. */
  commit(files: Commit["files"], more: Partial<Commit> = {}): Promise<string> {
    return this.system.git.commit(this.namespace, { files, message: "a change", ...more });
  }

  /** Adds a commit and lets the webhook say so. */
  async push(files: Commit["files"], more: Partial<Commit> = {}): Promise<string> {
    const sha = await this.commit(files, more);
    await this.system.flotilla.announce(this.url);
    return sha;
  }

  /** A GitRepository, `app` unless named, whose interval does nothing during a test. */
  source(spec: Record<string, unknown> = {}, name = "app"): Promise<KubeObject> {
    return this.create("GitRepository", name, { spec: { url: this.url, ref: { branch: "main" }, interval: "1h", ...spec } });
  }

  /** A Kustomization of that source, which tries again every second and looks every hour. */
  unit(name: string, spec: Record<string, unknown> = {}): Promise<KubeObject> {
    const sourceRef = { kind: "GitRepository", name: "app" };
    const usual = { sourceRef, path: `./${name}`, prune: true, interval: "1h", retryInterval: "1s", targetNamespace: this.namespace };
    return this.create("Kustomization", name, { spec: { ...usual, ...spec } });
  }

  /** A HelmRelease of the chart in directory `chart` of that source. */
  helmRelease(name: string, spec: Record<string, unknown> = {}): Promise<KubeObject> {
    const chart = { spec: { chart: "./chart", sourceRef: { kind: "GitRepository", name: "app" }, interval: "1h", reconcileStrategy: "Revision" } };
    return this.create("HelmRelease", name, { spec: { chart, interval: "1h", timeout: "30s", ...spec } });
  }

  create(kind: string, name: string, rest: Record<string, unknown> = {}): Promise<KubeObject> {
    return this.system.kube.create(object(kind, name, { ...rest, metadata: { namespace: this.namespace } }));
  }

  find(kind: string, name: string): Promise<KubeObject | undefined> {
    return this.system.kube.find(pathOf(kind, this.namespace, name));
  }

  /** @throws Refused when there is none */
  get(kind: string, name: string): Promise<KubeObject> {
    return this.system.kube.get(pathOf(kind, this.namespace, name));
  }

  /** Somebody else edits an object. */
  async edit(kind: string, name: string, patch: object, manager?: string): Promise<KubeObject> {
    const edited = await this.system.kube.merge(pathOf(kind, this.namespace, name), patch, manager);
    this.written.set(`${kind}/${name}`, edited.metadata.generation ?? 0);
    return edited;
  }

  remove(kind: string, name: string): Promise<void> {
    return this.system.kube.remove(pathOf(kind, this.namespace, name));
  }

  /** Asks for a reconcile as `flux reconcile` does; returns what the status will repeat. */
  async request(kind: Ours, name: string): Promise<string> {
    const at = `${new Date().toISOString()}-${randomBytes(2).toString("hex")}`;
    await this.edit(kind, name, { metadata: { annotations: { "reconcile.fluxcd.io/requestedAt": at } } });
    return at;
  }

  /** One of ours as last seen. */
  seen(kind: Ours, name: string): KubeObject | undefined {
    return this.system.watched[kind].get(this.namespace, name);
  }

  async until(kind: Ours, name: string, what: string, holds: (object: KubeObject) => unknown): Promise<KubeObject> {
    return this.explained(kind, name, eventually(`${kind} ${this.namespace}/${name}: ${what}`, () => {
      const object = this.seen(kind, name);
      const isCurrent = (object?.metadata.generation ?? 0) >= (this.written.get(`${kind}/${name}`) ?? 0);
      return object && isCurrent && holds(object) ? object : undefined;
    }));
  }

  /** A wait that was in vain says what the object and the log say. */
  private async explained<T>(kind: Ours, name: string, wait: Promise<T>): Promise<T> {
    try {
      return await wait;
    } catch (thrown) {
      const said = this.seen(kind, name)?.status ?? "not there";
      const lines = this.system.flotilla.logs().filter(({ namespace }) => namespace === this.namespace).slice(-20);
      const text = [said, ...lines].map((each) => JSON.stringify(each)).join("\n");
      throw new Error(`${(thrown as Error).message}\n${text}`, { cause: thrown });
    }
  }

  /** Asks for a reconcile, and waits until the status says that it was handled. */
  async reconciled(kind: Ours, name: string): Promise<KubeObject> {
    const at = await this.request(kind, name);
    return this.until(kind, name, `handled ${at}`, ({ status }) => status?.lastHandledReconcileAt === at);
  }

  async untilGone(kind: Ours, name: string): Promise<void> {
    await this.explained(kind, name, eventually(`${kind} ${this.namespace}/${name} gone`, () => !this.seen(kind, name)));
  }

  /** Ready at its present generation; at the revision that ends in the commit, when one is given. */
  ready(kind: Ours, name: string, commit = ""): Promise<KubeObject> {
    return this.until(kind, name, `Ready ${commit}`, (object) => isReady(object) && revisionOf(object).endsWith(commit));
  }

  /** The usual two, ready: a source `app` and units of it at the commit. */
  async start(files: Commit["files"], ...units: string[]): Promise<string> {
    const sha = await this.commit(files);
    await this.source();
    await Promise.all(units.map((name) => this.unit(name)));
    await Promise.all(units.map((name) => this.ready("Kustomization", name, sha)));
    return sha;
  }

  /** Not ready for this reason, said about its present generation. */
  failing(kind: Ours, name: string, reason: string): Promise<KubeObject> {
    return this.until(kind, name, `not ready: ${reason}`, (object) => {
      const ready = conditionOf(object, "Ready");
      return ready?.status === "False" && ready.reason === reason && ready.observedGeneration === object.metadata.generation;
    });
  }

  /** What was told about an object so far. */
  told(kind: Ours, name: string): Told[] {
    return this.system.watched.Event.all(this.namespace).flatMap((event) => {
      const { involvedObject, type, reason, message, source, reportingComponent } = event as unknown as CoreEvent;
      if (involvedObject.kind !== kind || involvedObject.name !== name) return [];
      return [{ type, reason, message, annotations: event.metadata.annotations ?? {}, component: source?.component ?? reportingComponent ?? "" }];
    });
  }

  untilTold(kind: Ours, name: string, type: "Normal" | "Warning", reason: string, message: RegExp = /./): Promise<Told> {
    const what = `a ${type} event ${reason} ${message} of ${kind} ${this.namespace}/${name}`;
    return this.explained(kind, name, eventually(what, () =>
      this.told(kind, name).find((event) => event.type === type && event.reason === reason && message.test(event.message))));
  }
}

type CoreEvent = {
  involvedObject: { kind: string; name: string };
  type: string;
  reason: string;
  message: string;
  source?: { component?: string };
  reportingComponent?: string;
};

export const conditionOf = ({ status }: KubeObject, type: string): Condition | undefined =>
  status?.conditions?.find((condition) => condition.type === type);

export function isReady(object: KubeObject): boolean {
  const { generation } = object.metadata;
  const ready = conditionOf(object, "Ready");
  const says = object.kind === "ArtifactGenerator" ? generation : object.status?.observedGeneration; // it says so in its conditions alone
  return ready?.status === "True" && ready.observedGeneration === generation && says === generation;
}

export const revisionOf = ({ status }: KubeObject): string => status?.lastAppliedRevision ?? status?.artifact?.revision ?? "";
