/** Which namespace a command looks in: Flux's rule. */
import type { OptionValues } from "./command.ts";
import { Misuse } from "./failure.ts";
import type { Shell } from "./shell.ts";

/** `--namespace`, else FLUX_SYSTEM_NAMESPACE, else `flux-system` (fluxcd/flux2 cmd/flux/main.go). */
export function namespaceOf({ namespace }: OptionValues, { env }: Pick<Shell, "env">): string {
  const chosen = namespace ?? (env["FLUX_SYSTEM_NAMESPACE"] || "flux-system");
  if (!/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(chosen)) throw new Misuse(`"${chosen}" is no namespace`);
  return chosen;
}
