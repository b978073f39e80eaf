/** The rules of `spec.ignore`, read once per apply: which fields of which objects others may change. */
import { RE2JS } from "re2js";
import { Fault } from "#protocol/errors/fault.ts";
import { parsePointer } from "#machines/rules/ignore.ts";
import { groupOf, versionOf, type KubeObject } from "#machines/rules/inventory.ts";
import { parseLabelSelector } from "#machines/rules/label-selector.ts";

export type IgnoreRule = {
  paths: string[];
  target?: Partial<Record<"group" | "version" | "kind" | "name" | "namespace" | "labelSelector" | "annotationSelector", string | undefined>> | undefined;
};

/** The fields to leave to others, of an object as it is about to be sent. */
export type Ignored = (object: KubeObject) => string[][];

/** Tenants write these expressions: RE2 takes linear time for whatever they think of. */
const longestPattern = 1_024;

/** @param whole whether the pointer `""` may stand for the whole object @throws Fault IgnoreRuleInvalid */
export function ignoredBy(rules: readonly IgnoreRule[], subject: string, { whole = false } = {}): Ignored {
  const read = rules.map(({ paths, target = {} }, index) => {
    try {
      return { pointers: paths.map((path) => (whole && path === "" ? [] : parsePointer(path))), selects: selectorOf(target) };
    } catch (thrown) {
      throw new Fault("IgnoreRuleInvalid", subject, { detail: `spec.ignore[${index}]: ${thrown instanceof Error ? thrown.message : "not readable"}` });
    }
  });
  return (object) => read.flatMap(({ pointers, selects }) => (selects(object) ? pointers : []));
}

function selectorOf({ labelSelector = "", annotationSelector = "", ...patterns }: NonNullable<IgnoreRule["target"]>): (object: KubeObject) => boolean {
  const [labels, annotations] = [parseLabelSelector(labelSelector), parseLabelSelector(annotationSelector)];
  const { group, version, kind, name, namespace } = patterns;
  const whole = { group: wholly(group), version: wholly(version), kind: wholly(kind), name: wholly(name), namespace: wholly(namespace) };
  return ({ apiVersion, kind: is, metadata }) =>
    whole.group(groupOf(apiVersion)) && whole.version(versionOf(apiVersion)) && whole.kind(is) && whole.name(metadata.name) &&
    whole.namespace(metadata.namespace ?? "") && labels(metadata.labels ?? {}) && annotations(metadata.annotations ?? {});
}

function wholly(pattern: string | undefined): (text: string) => boolean {
  if (!pattern) return () => true;
  if (pattern.length > longestPattern) throw new RangeError(`a pattern of more than ${longestPattern} characters`);
  const compiled = RE2JS.compile(`^(?:${pattern})$`);
  return (text) => compiled.matches(text);
}
