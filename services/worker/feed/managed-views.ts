/** What stands in one place of all that units applied: a view for each kind of unit, because an object may be two units'. */
import type { UnitKind } from "#machines/rules/applier.ts";
import type { ActorKey } from "#protocol/names/actor.ts";
import type { Managed } from "#services/cluster/managed-record.ts";
import { readName } from "./managed-names.ts";
import { ManagedView, type ManagedChange, type ManagedViewOptions } from "./managed-view.ts";
import type { KindRef, KindState } from "./ports.ts";

export class ManagedViews {
  private readonly views: Record<UnitKind, ManagedView>;

  constructor(options: ManagedViewOptions) {
    const { onNeed } = options;
    this.views = { kustomization: new ManagedView(options), helmrelease: new ManagedView({ ...options, onNeed: (ref, again) => onNeed(ofRelease(ref), again) }) };
  }

  of({ kind }: Pick<ActorKey, "kind">): ManagedView {
    return this.views[kind === "helmrelease" ? kind : "kustomization"];
  }

  each(run: (view: ManagedView) => void): void {
    Object.values(this.views).forEach(run);
  }

  /** @param text the object's managed name */
  put(text: string, record: Managed): void {
    const { unit, name } = readName(text);
    this.views[unit].put(name, record);
  }

  drop(text: string): void {
    const { unit, name } = readName(text);
    this.views[unit].drop(name);
  }

  /** @returns whether it had been told of before */
  kindIs(text: string, state: KindState): boolean {
    const { unit, name } = readName(text);
    return this.views[unit].kindIs(name, state);
  }

  neededKinds(): KindRef[] {
    const { kustomization, helmrelease } = this.views;
    return [...kustomization.neededKinds(), ...helmrelease.neededKinds().map(ofRelease)];
  }

  /** Hears of everything that is worth comparing, with the unit whose labels it carries. */
  onDrift(told: (unit: ActorKey, id: ManagedChange["id"]) => void): void {
    for (const [kind, view] of Object.entries(this.views))
      view.subscribe({ change: ({ owner, id, drift }) => { if (drift) told({ kind, ...owner }, id); }, synced: () => {} });
  }
}

const ofRelease = (ref: KindRef): KindRef => ({ ...ref, unit: "helmrelease" });
