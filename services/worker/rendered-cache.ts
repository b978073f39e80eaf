/** Rendered objects by unit, between the build and the apply: in this process only, bounded, and always replaceable by a new build. */
import { LRUCache } from "lru-cache";
import type { RenderedObject } from "#services/render/objects.ts";

/** `passing`: inventory ids of what may be gone when it is done. */
export type RenderedUnit = { key: string; objects: RenderedObject[]; confidential: readonly string[]; passing: ReadonlySet<string> };

const mostBytes = 64 * 1024 * 1024;

export class RenderedCache {
  private readonly units = new LRUCache<string, RenderedUnit & { isEmptied?: true }>({ maxSize: mostBytes });

  /** Builds taken in so far. */
  builtTotal = 0;

  put(unit: string, rendered: RenderedUnit): void {
    this.builtTotal++;
    this.units.set(unit, rendered, { size: 1 + JSON.stringify(rendered.objects).length });
  }

  /** Undefined when it was evicted, belongs to another build, or held decrypted data and was applied. */
  get(unit: string, key: string): RenderedUnit | undefined {
    const found = this.units.get(unit);
    return found?.key === key && !found.isEmptied ? found : undefined;
  }

  passing(unit: string, key: string): ReadonlySet<string> {
    const found = this.units.get(unit);
    return found?.key === key ? found.passing : new Set();
  }

  /** Decrypted data stays no longer than it is needed: the next apply decrypts anew. */
  applied(unit: string): void {
    const found = this.units.get(unit);
    if (found?.objects.some(({ secret }) => secret)) this.units.set(unit, { ...found, objects: [], confidential: [], isEmptied: true }, { size: 1 });
  }

  drop(unit: string): void {
    this.units.delete(unit);
  }
}
