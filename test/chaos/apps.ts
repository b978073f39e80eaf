/**
 * What the fleet works on: repositories with units of ConfigMaps, all of one version, and commits that raise it. Watches
 * keep every state an object has been in.
 */
import { setTimeout as pause } from "node:timers/promises";
import type { ActorKey } from "#protocol/names/actor.ts";
import { eventually } from "../../deploy/local/eventually.ts";
import type { GitServer } from "../../deploy/local/git-server.ts";
import { pathOf, type Kube, type KubeObject } from "../system/kube.ts";
import { configMap, file, object } from "../system/objects.ts";
import { isReady, revisionOf } from "../system/tenant.ts";
import { watchCollection, type Watched } from "../system/watched.ts";

export type Unit = { name: string; key: ActorKey; objects: string[]; repository: number };

export type AppsOptions = { kube: Kube; git: GitServer; namespace: string; repositories: number; /** Objects of each unit. */ sizes: number[]; signal: AbortSignal };

export class Apps {
  readonly namespace: string;
  readonly units: Unit[];
  readonly maps: Watched;
  readonly kustomizations: Watched;
  /** Of the newest commit. */
  version = 0;
  private readonly options: AppsOptions;
  private readonly heads: string[] = [];
  private last: Promise<unknown> = Promise.resolve();

  private constructor(options: AppsOptions, maps: Watched, kustomizations: Watched) {
    const { namespace, sizes, repositories } = options;
    this.options = options;
    this.namespace = namespace;
    this.maps = maps;
    this.kustomizations = kustomizations;
    this.units = sizes.map((size, i) => ({
      name: `u${i}`, key: { kind: "kustomization", namespace, name: `u${i}` }, repository: i % repositories,
      objects: Array.from({ length: size }, (_, j) => `u${i}-${j}`),
    }));
  }

  /** Objects and watches; the workers have installed the definitions. */
  static async open(options: AppsOptions): Promise<Apps> {
    const { kube, git, namespace, repositories, signal } = options;
    const watch = (kind: string) => watchCollection(kube, pathOf(kind, namespace), signal);
    const [maps, kustomizations] = await Promise.all([watch("ConfigMap"), watch("Kustomization")]);
    const apps = new Apps(options, maps, kustomizations);
    await Promise.all(Array.from({ length: repositories }, (_, i) => git.createRepo(`${namespace}-${i}`)));
    await apps.commit();
    await Promise.all(Array.from({ length: repositories }, (_, i) => kube.create(object("GitRepository", `r${i}`, {
      metadata: { namespace }, spec: { url: apps.url(i), ref: { branch: "main" }, interval: "10s" }, // webhooks get lost with who hears them
    }))));
    await Promise.all(apps.units.map(({ name, repository }) => kube.create(object("Kustomization", name, {
      metadata: { namespace },
      spec: { sourceRef: { kind: "GitRepository", name: `r${repository}` }, path: `./${name}`, prune: true, interval: "1h", retryInterval: "1s", targetNamespace: namespace },
    }))));
    return apps;
  }

  url(repository: number): string {
    return this.options.git.repoUrl(`${this.namespace}-${repository}`);
  }

  urls(): string[] {
    return Array.from({ length: this.options.repositories }, (_, i) => this.url(i));
  }

  /** Raises the version of every object, in one commit per repository. */
  commit(): Promise<void> {
    const next = this.last.then(async () => {
      const version = String(++this.version);
      for (let i = 0; i < this.options.repositories; i++) {
        const mine = this.units.filter(({ repository }) => repository === i);
        const files = Object.fromEntries(mine.map(({ name, objects }) => [`${name}/all.yaml`, file(...objects.map((each) => configMap(each, { version })))]));
        this.heads[i] = await this.options.git.commit(`${this.namespace}-${i}`, { files, message: `version ${version}` });
      }
    });
    this.last = next.catch(() => undefined);
    return next;
  }

  /** How far the server's order has come. */
  async order(): Promise<number> {
    const { metadata } = await this.options.kube.get<{ metadata: { resourceVersion: string } }>(`${pathOf("ConfigMap", this.namespace)}?limit=1`);
    return Number(metadata.resourceVersion);
  }

  versionOf(name: string): number {
    return versionIn(this.maps.get(this.namespace, name));
  }

  /** How many of its objects are at the newest version. */
  appliedOf({ objects }: Unit): number {
    return objects.filter((name) => this.versionOf(name) === this.version).length;
  }

  /** A unit in the middle of its apply; looked for often, as an apply takes no longer than a few hundred milliseconds. */
  async untilHalfApplied(withinMs = 15_000): Promise<Unit> {
    for (const endMs = performance.now() + withinMs; performance.now() < endMs; await pause(1)) {
      const found = this.units.find((unit) => this.isHalfApplied(unit));
      if (found) return found;
    }
    throw new Error(`no unit was seen half applied by version ${this.version}`);
  }

  /** Some of its objects are at a version that others have not yet. */
  isHalfApplied({ objects }: Unit): boolean {
    return new Set(objects.map((name) => this.versionOf(name))).size > 1;
  }

  /** Every object and every unit is at the newest commit, and the units say so. */
  async untilNewest(withinMs = 45_000): Promise<void> {
    try {
      await eventually(`every unit at version ${this.version}`, () => this.behind().length === 0, { withinMs });
    } catch (thrown) {
      throw new Error(`${(thrown as Error).message}\n${this.behind().slice(0, 10).join("\n")}`, { cause: thrown });
    }
  }

  /** What is not at the newest commit, a line each. */
  behind(): string[] {
    return this.units.flatMap((unit) => {
      const seen = this.kustomizations.get(this.namespace, unit.name);
      const applied = this.appliedOf(unit);
      const isDone = seen !== undefined && isReady(seen) && revisionOf(seen).endsWith(this.heads[unit.repository] ?? "-") && applied === unit.objects.length;
      return isDone ? [] : [`${unit.name}: ${applied} of ${unit.objects.length} objects; ${JSON.stringify(seen?.status?.conditions ?? "no status")}`];
    });
  }
}

export const versionIn = (object: KubeObject | undefined): number => Number(object?.data?.["version"] ?? 0);
