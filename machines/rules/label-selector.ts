/** Kubernetes' label selectors, as kubectl takes them (apimachinery labels.Parse). */

export type LabelSelector = (labels: Readonly<Record<string, string>>) => boolean;

const key = String.raw`(?:[A-Za-z0-9](?:[-A-Za-z0-9.]*[A-Za-z0-9])?/)?[A-Za-z0-9](?:[-\w.]*[A-Za-z0-9])?`;
const value = String.raw`[A-Za-z0-9](?:[-\w.]*[A-Za-z0-9])?`;
const among = new RegExp(String.raw`^(${key})\s+(in|notin)\s*\(([^()]*)\)$`);
const compared = new RegExp(String.raw`^(${key})\s*(==|=|!=)\s*(${value})?$`);
const present = new RegExp(String.raw`^(!?)\s*(${key})$`);
const valid = new RegExp(`^(?:${value})?$`);
const longest = 4_096;

/** Empty: everything. @throws RangeError when it is no selector */
export function parseLabelSelector(text: string): LabelSelector {
  if (text.length > longest) throw new RangeError(`longer than ${longest} characters`);
  if (text.trim() === "") return () => true;
  // Commas within parentheses belong to a set of values.
  const parts = (text.match(/(?:[^,(]|\([^()]*\))+/g) ?? []).map((part) => requirement(part.trim()));
  return (labels) => parts.every((matches) => matches(labels));
}

function requirement(text: string): LabelSelector {
  const set = among.exec(text);
  if (set) {
    const [, name = "", operator, list = ""] = set;
    const values = new Set(list.split(",").map((each) => each.trim()));
    for (const each of values) if (!valid.test(each)) throw new RangeError(`not a label's value: ${each.slice(0, 63)}`);
    return operator === "in" ? (labels) => has(labels, name) && values.has(labels[name] ?? "") : (labels) => !has(labels, name) || !values.has(labels[name] ?? "");
  }
  const pair = compared.exec(text);
  if (pair) {
    const [, name = "", operator, wanted = ""] = pair;
    return operator === "!=" ? (labels) => labels[name] !== wanted || !has(labels, name) : (labels) => has(labels, name) && labels[name] === wanted;
  }
  const [, not, name = ""] = present.exec(text) ?? [];
  if (name === "") throw new RangeError(`not a label selector: ${text.slice(0, 63)}`);
  return (labels) => has(labels, name) === (not === "");
}

const has = (labels: Readonly<Record<string, string>>, name: string): boolean => Object.hasOwn(labels, name);

/** As objects of Kubernetes have them (apimachinery `LabelSelectorAsSelector`). */
export type WrittenSelector = {
  matchLabels?: Readonly<Record<string, string>> | undefined;
  matchExpressions?: readonly { key: string; operator: string; values?: readonly string[] | undefined }[] | undefined;
};

/** Empty: everything. @throws RangeError when it is no selector */
export function selectorOf({ matchLabels = {}, matchExpressions = [] }: WrittenSelector): LabelSelector {
  const parts = [
    ...Object.entries(matchLabels).map(([name, wanted]) => requirement(`${name}=${wanted}`)),
    ...matchExpressions.map(({ key: name, operator, values = [] }) => {
      const takes = operator === "In" || operator === "NotIn";
      if (takes !== values.length > 0) throw new RangeError(`${operator} of ${name.slice(0, 63)} ${takes ? "has no values" : "takes no values"}`);
      if (takes) return requirement(`${name} ${operator.toLowerCase()} (${values.join(",")})`);
      if (operator === "Exists") return requirement(name);
      if (operator === "DoesNotExist") return requirement(`!${name}`);
      throw new RangeError(`no operator of a label selector: ${operator.slice(0, 63)}`);
    }),
  ];
  return (labels) => parts.every((matches) => matches(labels));
}
