/** A thread that renders with Helm. */
import { serve, type Loading } from "../pool-thread.ts";
import { askHost, type LookupLine } from "./host.ts";
import { HelmModule } from "./module.ts";

/** `request`: JSON, as wasm/request.go takes it; of a chart that is packed by packChart. */
export type HelmCall = { request: string; line?: LookupLine } & Loading;

serve<HelmCall, HelmModule>({
  what: "the template",
  start: ({ module, memoryLimitBytes }, samples) => new HelmModule(module, memoryLimitBytes, samples),
  run: (module, { request, line }) => {
    try {
      return module.run(request, line && ((asked) => askHost(line, asked)));
    } finally {
      line?.port.close();
    }
  },
});
