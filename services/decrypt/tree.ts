/**
 * A document as SOPS sees it: ordered, with its comments, and every scalar with its type, because the order and the type
 * decide the MAC (getsops/sops, sops.go). A string is bytes: it may be a key that no text encoding holds, and bytes can be
 * cleared.
 */
import type { Buffer } from "node:buffer";

export type Scalar =
  | { kind: "str"; bytes: Buffer }
  | { kind: "int"; digits: string }
  | { kind: "float"; value: number }
  | { kind: "bool"; value: boolean }
  | { kind: "time"; text: string }
  | { kind: "null" };

/** `inline`: at the end of the line of the value that follows it here. */
export type Comment = { kind: "comment"; text: string; inline: boolean };
export type Item = { kind: "item"; key: string; value: Value };
export type Branch = { kind: "branch"; items: (Item | Comment)[] };
export type List = { kind: "list"; items: Value[] };
export type Value = Scalar | Comment | Branch | List;

/** A file: as many branches as it has documents. */
export type Document = Branch[];

/** What is wrong with a text, in words that quote none of it. */
export class FormatError extends Error {}

/** Deeper documents would end the stack; nobody writes them by hand. */
const deepest = 200;

/** @throws FormatError when a document is nested too deeply */
export function checkDepth(depth: number): void {
  if (depth > deepest) throw new FormatError(`nested more than ${deepest} levels deep`);
}

export const textOf = (value: Value | undefined): string => (value?.kind === "str" ? value.bytes.toString() : "");
