/** What an unquoted word of YAML means to Go (go.yaml.in/yaml/v3 resolve.go): older spellings of numbers included. */
import { Buffer } from "node:buffer";
import type { Scalar } from "../tree.ts";

export function resolvePlain(text: string): Scalar {
  return words.get(text) ?? timeOf(text) ?? integerOf(text) ?? floatOf(text) ?? { kind: "str", bytes: Buffer.from(text) };
}

/** Whether the word would be read as something else than text. */
export const isText = (text: string): boolean => resolvePlain(text).kind === "str";

const words = new Map<string, Scalar>([
  ...["", "~", "null", "Null", "NULL"].map((word) => [word, { kind: "null" }] as [string, Scalar]),
  ...["true", "True", "TRUE"].map((word) => [word, { kind: "bool", value: true }] as [string, Scalar]),
  ...["false", "False", "FALSE"].map((word) => [word, { kind: "bool", value: false }] as [string, Scalar]),
  ...[".nan", ".NaN", ".NAN"].map((word) => [word, { kind: "float", value: NaN }] as [string, Scalar]),
  ...[".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"].map((word) => [word, { kind: "float", value: Infinity }] as [string, Scalar]),
  ...["-.inf", "-.Inf", "-.INF"].map((word) => [word, { kind: "float", value: -Infinity }] as [string, Scalar]),
]);

/** With digits grouped by "_", in base 2, 8 (also as 017), 10 or 16. */
function integerOf(text: string): Scalar | undefined {
  if (!/^[-+\d]/.test(text)) return undefined;
  const [, sign = "", digits = ""] = /^([-+]?)(.*)$/.exec(text.replaceAll("_", "")) ?? [];
  const literal =
    /^(0|[1-9]\d*)$/.test(digits) || /^0([xX][\da-fA-F]+|[bB][01]+|[oO][0-7]+)$/.test(digits) ? digits
    : /^0[0-7]+$/.test(digits) ? `0o${digits}`
    : "";
  if (literal === "") return undefined;
  const value = sign === "-" ? -BigInt(literal) : BigInt(literal);
  return value < -(2n ** 63n) || value >= 2n ** 64n || (sign === "+" && value >= 2n ** 63n) ? undefined : { kind: "int", digits: value.toString() };
}

function floatOf(text: string): Scalar | undefined {
  const digits = text.replaceAll("_", "");
  if (!/^[-+\d]/.test(text) && !/^\.\d/.test(text)) return undefined;
  return /^[-+]?(\.\d+|\d+(\.\d*)?)([eE][-+]?\d+)?$/.test(digits) && Number.isFinite(Number(digits)) ? { kind: "float", value: Number(digits) } : undefined;
}

/** A day, or a moment with or without a zone, as RFC 3339. */
function timeOf(text: string): Scalar | undefined {
  const [, year, month = "", day = "", time] = /^(\d{4})-(\d{1,2})-(\d{1,2})(?:([Tt]| )(.*))?$/.exec(text) ? (/^(\d{4})-(\d{1,2})-(\d{1,2})(?:[Tt ](.*))?$/.exec(text) ?? []) : [];
  if (!year || !isDay(Number(year), Number(month), Number(day))) return undefined;
  const date = `${year}-${month.padStart(2, "0")}-${day.padStart(2, "0")}`;
  if (time === undefined) return { kind: "time", text: `${date}T00:00:00Z` };
  const [, hour = "", minute = "", second = "", fraction = "", zone = ""] = /^(\d{1,2}):(\d{1,2}):(\d{1,2})(\.\d+)?(Z|[-+]\d\d:\d\d)?$/.exec(time) ?? [];
  const hasZone = zone !== "";
  if (hour === "" || hasZone === text.includes(" ") || Number(hour) > 23 || Number(minute) > 59 || Number(second) > 59) return undefined;
  const exact = fraction.slice(0, 10).replace(/\.?0+$/, "");
  const at = [hour, minute, second].map((part) => part.padStart(2, "0")).join(":");
  return { kind: "time", text: `${date}T${at}${exact}${zone === "+00:00" || !hasZone ? "Z" : zone}` };
}

function isDay(year: number, month: number, day: number): boolean {
  const date = new Date(Date.UTC(year, month - 1, day));
  date.setUTCFullYear(year);
  return month >= 1 && month <= 12 && day >= 1 && date.getUTCMonth() === month - 1 && date.getUTCDate() === day;
}
