/** Flux's feature gates that this release knows, by Flux's names and with its defaults (flux.md 6.2). */
export const featureGates = {
  /** A variable that has neither a value nor a default fails the build; off: it is empty text. */
  StrictPostBuildSubstitutions: true,
  /** A wait for health goes on when an object has failed for good: others may still come up, and it too. */
  DisableFailFastBehavior: false,
  /** A `readyExpr` of `spec.dependsOn` is asked beside the usual rule, not instead of it. */
  AdditiveCELDependencyCheck: false,
  /** A HelmRelease that names no strategy for an install or upgrade that fails is tried again, and not remediated. */
  DefaultToRetryOnFailure: false,
};

export type FeatureGates = typeof featureGates;

/** `Name=true,Other=false`, as Flux's controllers take it. @throws RangeError */
export function readFeatureGates(text: string): FeatureGates {
  const gates = { ...featureGates };
  for (const part of text.split(",").map((each) => each.trim()).filter(Boolean)) {
    const [name = "", value = ""] = part.split("=");
    if (!Object.hasOwn(featureGates, name)) throw new RangeError(`no such gate: ${name}; there is ${Object.keys(featureGates).join(", ")}`);
    if (value !== "true" && value !== "false") throw new RangeError(`${name}: true or false`);
    gates[name as keyof FeatureGates] = value === "true";
  }
  return gates;
}
