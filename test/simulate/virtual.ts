/**
 * What acts on a cluster for releases waits, looks at the time and compresses by the platform's own means. In the simulator
 * these are virtual (virtual-clock.ts): import this before everything else, and everything else by `await import`.
 */
import { registerHooks } from "node:module";

const clock = new URL("virtual-clock.ts", import.meta.url).href;
const living = /\/services\/(?:release|cluster|clients\/kubernetes)\/[a-z-]+\.ts$/;
const replaced = new Set(["node:timers/promises", "node:zlib"]);

registerHooks({
  resolve: (specifier, context, next) =>
    replaced.has(specifier) && living.test(context.parentURL ?? "") ? { url: clock, shortCircuit: true } : next(specifier, context),
  load(url, context, next) {
    const loaded = next(url, context);
    if (!living.test(url)) return loaded;
    // On the line of the first, so that places in errors stay true.
    return { ...loaded, source: `import { Date, Math, performance, virtualTimeout as setTimeout, clearTimeout } from "${clock}"; ${String(loaded.source)}` };
  },
});
