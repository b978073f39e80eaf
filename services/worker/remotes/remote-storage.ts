/** What stands in Helm's storage on another cluster: one watch for each namespace that releases of ours keep theirs in. */
import { storageMark } from "#machines/rules/release-storage.ts";
import { actorId, type ActorKey } from "#protocol/names/actor.ts";
import type { StorageListener } from "#services/release/storage-watch.ts";

type Namespace = { marks: Map<string, string>; isKnown: boolean };
type User = { unit: ActorKey; place: string };

export class RemoteStorage {
  private readonly watch: (namespace: string, listener: StorageListener) => void;
  private readonly changed: (unit: ActorKey) => void;
  private readonly namespaces = new Map<string, Namespace>();
  /** By unit. */
  private readonly users = new Map<string, User>();

  /** @param watch for as long as the place is open @param changed something stands otherwise than it was told */
  constructor(watch: (namespace: string, listener: StorageListener) => void, changed: (unit: ActorKey) => void) {
    this.watch = watch;
    this.changed = changed;
  }

  /** @param place of the unit's release (`storagePlace`) */
  follow(unit: ActorKey, place: string): void {
    this.users.set(actorId(unit), { unit, place });
    const namespace = namespaceOf(place);
    if (this.namespaces.has(namespace)) return;
    const seen: Namespace = { marks: new Map(), isKnown: false };
    this.namespaces.set(namespace, seen);
    this.watch(namespace, {
      changed: (changed, mark) => {
        if (mark === undefined) seen.marks.delete(changed);
        else seen.marks.set(changed, mark);
        if (seen.isKnown) this.tell((user) => user.place === changed);
      },
      known: (is) => {
        seen.isKnown = is;
        if (is) this.tell((user) => namespaceOf(user.place) === namespace);
      },
    });
  }

  leave(unit: string): void {
    this.users.delete(unit);
  }

  /** Undefined: it is not known, because it is not watched yet, or may not be. */
  at(place: string): string | undefined {
    const seen = this.namespaces.get(namespaceOf(place));
    return seen?.isKnown ? (seen.marks.get(place) ?? storageMark([])) : undefined;
  }

  private tell(whom: (user: User) => boolean): void {
    for (const user of this.users.values()) if (whom(user)) this.changed(user.unit);
  }
}

const namespaceOf = (place: string): string => place.slice(0, place.indexOf("/"));
