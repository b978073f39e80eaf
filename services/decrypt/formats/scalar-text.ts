/** A value in a format that knows only text, one character a byte (getsops/sops stores, ValToString). */
import { Buffer } from "node:buffer";
import { shortFloat } from "../numbers.ts";
import type { Value } from "../tree.ts";

export function scalarText(value: Value): string {
  switch (value.kind) {
    case "str": return value.bytes.toString("latin1");
    case "int": return value.digits;
    case "float": return withPoint(shortFloat(value.value, "E"));
    case "bool": return String(value.value);
    case "time": return value.text;
    case "comment": return Buffer.from(value.text).toString("latin1");
    default: return "<nil>";
  }
}

/** Not to be taken for an integer. */
const withPoint = (text: string): string => (/[.E]/.test(text) ? text : `${text}.0`);
