/** Fields that this release accepts and does not yet act on, so that a unit can say so instead of passing over them. */
import { Fault } from "#protocol/errors/fault.ts";

type Entry = {
  /** Path from the root of the object. */
  field: string;
  /** The issue that brings it. */
  issue: number;
  /** Which values ask for what is missing, and in words; any that is not empty, when absent. */
  only?: { words: string; asks: (value: unknown) => boolean };
  /**
   * `refuse`: going on without it would do what nobody asked for (another cluster, more rights, unverified or
   * incomplete content), so the unit must stall. `ignore`: going on is harmless, a warning is enough.
   */
  without: "refuse" | "ignore";
};

const isNot = (acted: string) => ({ words: `other than \`${acted}\``, asks: (value: unknown) => value !== acted });
const startsWith = (head: string) => ({
  words: `\`${head}…\``,
  asks: (value: unknown) => typeof value === "string" && value.startsWith(head),
});

export const notYet: Readonly<Record<string, readonly Entry[]>> = {
  GitRepository: [
    { field: "spec.url", issue: 6, without: "refuse", only: startsWith("ssh://") },
    { field: "spec.ref.tag", issue: 6, without: "refuse" },
    { field: "spec.ref.semver", issue: 6, without: "refuse" },
    { field: "spec.ref.name", issue: 6, without: "refuse" },
    { field: "spec.provider", issue: 6, without: "refuse", only: isNot("generic") },
    { field: "spec.serviceAccountName", issue: 6, without: "refuse" },
    { field: "spec.verify", issue: 6, without: "refuse" },
    { field: "spec.proxySecretRef", issue: 6, without: "refuse" },
    { field: "spec.recurseSubmodules", issue: 6, without: "refuse" },
    { field: "spec.include", issue: 6, without: "refuse" },
    { field: "spec.sparseCheckout", issue: 6, without: "refuse" },
  ],
  Kustomization: [
    { field: "spec.sourceRef.kind", issue: 6, without: "refuse", only: isNot("GitRepository") },
    { field: "spec.dependsOn", issue: 5, without: "ignore" },
    { field: "spec.healthCheckExprs", issue: 5, without: "ignore" },
    { field: "spec.postBuild", issue: 5, without: "refuse" },
    { field: "spec.decryption", issue: 5, without: "refuse" },
    { field: "spec.ignore", issue: 5, without: "refuse" },
    { field: "spec.serviceAccountName", issue: 5, without: "refuse" },
    { field: "spec.kubeConfig", issue: 5, without: "refuse" },
  ],
};

/** Every field of the object that is not yet acted on: for a Warning event. */
export const notYetActedOn = (kind: string, object: unknown): string[] =>
  askedOf(kind, object).map(({ field }) => field);

/** Why nothing may be done for the object at all; none when a warning is enough. Subject: `Kind/namespace/name`. */
export function notYetFault(subject: string, kind: string, object: unknown): Fault | undefined {
  const fields = askedOf(kind, object).flatMap(({ field, without }) => (without === "refuse" ? [field] : []));
  if (fields.length === 0) return undefined;
  return new Fault("InvalidObject", subject, {
    detail: `${fields.join(", ")}: not supported by this release, and not safe to go on without`,
  });
}

const askedOf = (kind: string, object: unknown): Entry[] =>
  (notYet[kind] ?? []).filter(({ field, only }) => {
    const value = field.split(".").reduce(member, object);
    return !isEmpty(value) && (only?.asks(value) ?? true);
  });

const member = (value: unknown, name: string): unknown =>
  typeof value === "object" && value !== null && Object.hasOwn(value, name)
    ? (value as Record<string, unknown>)[name]
    : undefined;

const isEmpty = (value: unknown): boolean =>
  value === undefined ||
  value === null ||
  value === false ||
  value === "" ||
  (typeof value === "object" && Object.values(value).every(isEmpty));
