/** Status conditions: their names, and the pure rules by which a list of them changes. */
import { z } from "zod";
import { int64, timestamp } from "./schema.ts";

/** Each with its meaning; those marked "only while" are taken away when they cease to hold. */
export const conditionMeanings = {
  Ready: "The object is as its spec says; reason and message sum up the other conditions.",
  Reconciling: "Work is under way, or is to be tried again. Only while it holds.",
  Stalled: "No further try will help until the object changes. Only while it holds.",
  Healthy: "The applied objects are healthy.",
  ArtifactInStorage: "The artifact is stored and can be downloaded.",
  ArtifactOutdated: "Upstream has moved on from the artifact. Only while it holds.",
  FetchFailed: "Upstream could not be read. Only while it holds.",
  StorageOperationFailed: "The artifact could not be stored or read back. Only while it holds.",
  IncludeUnavailable: "An included source has no artifact. Only while it holds.",
  BuildFailed: "The chart could not be packaged. Only while it holds.",
  SourceVerified: "The demanded signatures are good.",
  Released: "The last install or upgrade succeeded.",
  TestSuccess: "The chart's tests succeeded. Only with tests enabled.",
  Remediated: "A failed release was rolled back or uninstalled. Only until the next install or upgrade.",
  Drifted: "Objects of the release are not as it says. Only with drift detection.",
} as const;

export type ConditionType = keyof typeof conditionMeanings;

export const condition = z
  .object({
    type: z
      .string()
      .regex(
        /^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$/,
      )
      .max(316)
      .describe("What the condition is about."),
    status: z.enum(["True", "False", "Unknown"]).describe("Whether it holds."),
    observedGeneration: int64().min(0).optional().describe("Generation of the object this was said about."),
    lastTransitionTime: timestamp().describe("When status, reason or message last changed."),
    reason: z
      .string()
      .regex(/^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$/)
      .min(1)
      .max(1024)
      .describe("One word for programs."),
    message: z.string().max(32_768).describe("A sentence for people."),
  })
  .describe("One thing known about the object.");

export type Condition = z.infer<typeof condition>;

/** What is to be said; the time and the cut are the rules' business. */
export type NewCondition = {
  type: ConditionType;
  status: Condition["status"];
  reason: string;
  message: string;
  /** `metadata.generation` of the object this is said about. */
  observedGeneration: number;
};

/**
 * The list with one condition said anew. The transition time moves only when status, reason or message change; a new
 * generation alone does not move it (fluxcd/pkg runtime/conditions/setter.go).
 *
 * @param nowIso RFC 3339; cut to the second
 */
export function setCondition(list: readonly Condition[], said: NewCondition, nowIso: string): Condition[] {
  const next = { ...said, message: cut(said.message) };
  const before = list.find(({ type }) => type === said.type);
  const unmoved =
    before && before.status === next.status && before.reason === next.reason && before.message === next.message;
  const lastTransitionTime = unmoved ? before.lastTransitionTime : toSecond(nowIso);
  return [...list.filter(({ type }) => type !== said.type), { ...next, lastTransitionTime }].sort(byImportance);
}

export const removeCondition = (list: readonly Condition[], type: ConditionType): Condition[] =>
  list.filter((condition) => condition.type !== type);

export const findCondition = (list: readonly Condition[], type: ConditionType): Condition | undefined =>
  list.find((condition) => condition.type === type);

/** Characters the API server admits in a message. */
const longestMessage = 32_768;

function cut(message: string): string {
  if (message.length <= longestMessage) return message;
  const head = message.slice(0, longestMessage - 3);
  return `${head.replace(/[\uD800-\uDBFF]$/, "")}...`; // never half of a surrogate pair
}

/** `2026-01-02T03:04:05.678Z` to `2026-01-02T03:04:05Z`. */
const toSecond = (iso: string) => iso.replace(/\.\d+(?=Z|[+-])/, "");

const first: string[] = ["Stalled", "Reconciling", "Ready"] satisfies ConditionType[];

// Then the newest generation, then by name.
function byImportance(a: Condition, b: Condition): number {
  const [placeA, placeB] = [place(a), place(b)];
  if (placeA !== placeB || placeA < first.length) return placeA - placeB;
  return (b.observedGeneration ?? 0) - (a.observedGeneration ?? 0) || (a.type < b.type ? -1 : 1);
}

function place({ type }: Condition): number {
  const index = first.indexOf(type);
  return index === -1 ? first.length : index;
}
