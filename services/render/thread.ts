/** A thread that renders with kustomize. */
import { RenderModule, type BuildCall } from "./module.ts";
import { serve, type Loading } from "./pool-thread.ts";

/** A build, of an artifact that is packed by Tree.pack; or objects and variables, as JSON text (wasm/substitute.go). */
export type RenderCall = (BuildCall | { substitute: string }) & Loading;

serve<RenderCall, RenderModule>({
  what: "the build",
  start: ({ module, memoryLimitBytes }, samples) => new RenderModule(module, memoryLimitBytes, samples),
  run: (module, call) => ("substitute" in call ? module.substitute(call.substitute) : module.build(call)),
});
