/** Rendered objects by unit, between the build and the apply: in this process only, bounded, and always replaceable by a new build. */
import { LRUCache } from "lru-cache";
import type { RenderedObject } from "#services/render/objects.ts";

export type RenderedUnit = { key: string; objects: RenderedObject[] };

const mostBytes = 64 * 1024 * 1024;

export class RenderedCache {
  private readonly units = new LRUCache<string, RenderedUnit>({ maxSize: mostBytes });

  /** Builds taken in so far. */
  builtTotal = 0;

  put(unit: string, rendered: RenderedUnit): void {
    this.builtTotal++;
    this.units.set(unit, rendered, { size: 1 + JSON.stringify(rendered.objects).length });
  }

  /** Undefined when it was evicted, or belongs to another build. */
  get(unit: string, key: string): RenderedUnit | undefined {
    const found = this.units.get(unit);
    return found?.key === key ? found : undefined;
  }

  drop(unit: string): void {
    this.units.delete(unit);
  }
}
