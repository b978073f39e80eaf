/** What SOPS notes beside the data: for whom it is encrypted, which values are, and the MAC (getsops/sops stores). */
import { RE2JS } from "re2js";
import type { Format } from "./formats/format.ts";
import { FormatError, type Branch, type Document, type Value } from "./tree.ts";

/** An entry of `sops.age`, `sops.kms` and so on: the data key, or a share of it, encrypted for one holder. */
export type KeyEntry = { field: string; values: Fields };

/** Text, or a table of text (the context of a KMS key). */
type Fields = ReadonlyMap<string, string | ReadonlyMap<string, string>>;

export type Metadata = {
  /** Each group holds the whole data key, or where there are more, a share of it. */
  groups: KeyEntry[][];
  threshold: number;
  /** As the MAC is bound to it. */
  lastModified: string;
  mac: string;
  macOnlyEncrypted: boolean;
  version: string;
  isEncrypted: Rule;
};

/** Whether a value is encrypted: by the keys that lead to it, and the comments above it, the outermost first. */
export type Rule = (keys: readonly string[], comments: readonly (readonly string[])[], isComment: boolean) => boolean;

/** In the order in which SOPS tries them. */
const fields = ["age", "pgp", "kms", "gcp_kms", "hckms", "azure_kv", "hc_vault"];

/**
 * Takes the metadata out of a document, which is left as the data alone.
 *
 * @throws FormatError
 */
export function takeMetadata(document: Document, format: Format): Metadata {
  const metadata = format === "dotenv" ? takePrefixed(document) : takeSection(document, format === "ini");
  if (!metadata) throw new FormatError("has no metadata of sops");
  return parse(metadata);
}

/** Every document of a file carries it; that of the first counts. */
function takeSection(document: Document, flat: boolean): Plain | undefined {
  const [section] = document.map((branch) => {
    const found = branch.items.filter((item) => item.kind === "item" && item.key === "sops");
    branch.items = branch.items.filter((item) => !found.includes(item));
    if (found.length > 1) throw new FormatError("has metadata of sops twice");
    return found[0];
  });
  if (section?.kind !== "item") return undefined;
  if (section.value.kind !== "branch") throw new FormatError("has a key sops that is not metadata");
  return flat ? unflatten(entriesOf(section.value).map(([key, text]) => [key, text.replaceAll("\\n", "\n")])) : plainOf(section.value);
}

function takePrefixed([branch]: Document): Plain | undefined {
  if (!branch) return undefined;
  const isMeta = (item: Branch["items"][number]) => item.kind === "item" && item.key.startsWith("sops_");
  const section: Branch = { kind: "branch", items: branch.items.filter(isMeta) };
  branch.items = branch.items.filter((item) => !isMeta(item));
  return section.items.length === 0 ? undefined : unflatten(entriesOf(section).map(([key, text]) => [key.slice("sops_".length), text]));
}

type Plain = string | Plain[] | Map<string, Plain>;

const entriesOf = (branch: Branch): [string, string][] =>
  branch.items.flatMap((item) => (item.kind === "item" ? [[item.key, String(plainOf(item.value))] as [string, string]] : []));

function plainOf(value: Value): Plain {
  switch (value.kind) {
    case "branch": return new Map(value.items.flatMap((item) => (item.kind === "item" ? [[item.key, plainOf(item.value)] as const] : [])));
    case "list": return value.items.filter(({ kind }) => kind !== "comment").map(plainOf);
    case "str": return value.bytes.toString();
    case "int": return value.digits;
    case "float": case "bool": return String(value.value);
    case "time": case "comment": return value.text;
    case "null": return "";
  }
}

/** `age__list_0__map_enc` is `age[0].enc`: formats without nesting write the path into the key. */
function unflatten(entries: [string, string][]): Plain {
  const root = new Map<string, Plain>();
  for (const [path, text] of entries) {
    const steps = path.split(/(?=__map_|__list_)/).map((step) => step.replace(/^__(map|list)_/, ""));
    let place = root;
    for (const step of steps.slice(0, -1)) {
      const next = place.get(step) ?? new Map<string, Plain>();
      if (!(next instanceof Map)) throw new FormatError("has metadata of sops that contradicts itself");
      place.set(step, next);
      place = next;
    }
    place.set(steps.at(-1) ?? "", text);
  }
  return root;
}

/** A list; lists of flat formats are maps from the position. */
const listOf = (value: Plain | undefined): Plain[] => (Array.isArray(value) ? value : value instanceof Map ? [...value.values()] : []);

function parse(metadata: Plain): Metadata {
  if (!(metadata instanceof Map)) throw new FormatError("has metadata of sops that cannot be read");
  const text = (name: string): string => {
    const value = metadata.get(name) ?? "";
    if (typeof value !== "string") throw new FormatError(`has metadata of sops that cannot be read: ${name}`);
    return value;
  };
  const isSet = (name: string) => /^(true|1|t)$/i.test(text(name));
  const single = entriesIn(metadata);
  const groups = single.length > 0 ? [single] : listOf(metadata.get("key_groups")).map((group) => (group instanceof Map ? entriesIn(group) : []));
  if (groups.length === 0) throw new FormatError("names no key in the metadata of sops");
  if (groups.length > 255) throw new FormatError("names more key groups than there can be");
  const threshold = Number(text("shamir_threshold") || "0");
  return {
    groups, threshold: Number.isInteger(threshold) ? threshold : 0,
    lastModified: rfc3339(text("lastmodified")), mac: text("mac"), macOnlyEncrypted: isSet("mac_only_encrypted"), version: text("version"),
    isEncrypted: ruleOf(Object.fromEntries(rules.map((name) => [name, text(name)])) as Record<RuleName, string>),
  };
}

const entriesIn = (group: Map<string, Plain>): KeyEntry[] =>
  fields.flatMap((field) =>
    listOf(group.get(field)).flatMap((entry) => (entry instanceof Map ? [{ field, values: fieldsOf(entry) }] : [])));

const fieldsOf = (entry: Map<string, Plain>): Fields =>
  new Map([...entry].map(([name, value]) => [name, value instanceof Map ? new Map([...value].map(([key, text]) => [key, String(text)])) : String(value)]));

/** The seconds, and the zone as Go writes it. */
function rfc3339(text: string): string {
  const [, at, zone] = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?(Z|[+-]\d\d:\d\d)$/.exec(text) ?? [];
  if (!at || !zone) throw new FormatError("has metadata of sops that cannot be read: lastmodified");
  return at + (zone === "+00:00" || zone === "-00:00" ? "Z" : zone);
}

const rules = ["unencrypted_suffix", "encrypted_suffix", "unencrypted_regex", "encrypted_regex", "unencrypted_comment_regex", "encrypted_comment_regex"] as const;
type RuleName = (typeof rules)[number];

function ruleOf(settings: Record<RuleName, string>): Rule {
  const given = rules.filter((name) => settings[name] !== "");
  if (given.length > 1) throw new FormatError(`has more than one rule of what is encrypted: ${given.join(", ")}`);
  const [name = "unencrypted_suffix"] = given;
  const setting = settings[name] || "_unencrypted";
  switch (name) {
    case "unencrypted_suffix": return (keys) => !keys.some((key) => key.endsWith(setting));
    case "encrypted_suffix": return (keys) => keys.some((key) => key.endsWith(setting));
    case "unencrypted_regex": {
      const matches = expression(setting);
      return (keys) => !keys.some(matches);
    }
    case "encrypted_regex": {
      const matches = expression(setting);
      return (keys) => keys.some(matches);
    }
    case "unencrypted_comment_regex": {
      const matches = expression(setting);
      return (_keys, comments) => !comments.some((lines) => lines.some(matches));
    }
    case "encrypted_comment_regex": {
      const matches = expression(setting);
      // The comment that says so is not itself encrypted: the last line of the innermost.
      return (_keys, comments, isComment) =>
        comments.some((lines, level) => lines.some((line, at) =>
          !(isComment && level === comments.length - 1 && at === lines.length - 1) && matches(line)));
    }
  }
}

/** Go's syntax, in linear time whatever the pattern. SOPS passes over one that does not compile: it matches nothing. */
function expression(pattern: string): (text: string) => boolean {
  try {
    const compiled = RE2JS.compile(pattern);
    return (text) => compiled.matcher(text).find();
  } catch {
    return () => false;
  }
}
