/**
 * YAML as SOPS writes it (getsops/sops stores/yaml on go.yaml.in/yaml/v3, four spaces): a Secret that is generated from a
 * decrypted file has these very bytes, and its name a hash of them.
 */
import { Buffer, isUtf8 } from "node:buffer";
import { shortFloat } from "../numbers.ts";
import type { Branch, Comment, Document, List, Scalar, Value } from "../tree.ts";
import { isText } from "./yaml-scalar.ts";

export function writeYaml(document: Document): Buffer {
  const writer = new Writer();
  for (const [index, branch] of document.entries()) writer.document(branch, index === 0);
  return Buffer.from(writer.finish());
}

const step = 4;
const nextIndent = (indent: number): number => step * Math.floor((indent + step) / step);

class Writer {
  private out = "";
  /** Comment lines for the next line that is written. */
  private head: string[] = [];
  /** Where comments ended a block: a line at the same indent is set off from them. */
  private footIndent = -1;

  document(branch: Branch, first: boolean): void {
    if (!first) this.out += "---\n";
    this.footIndent = -1;
    if (branch.items.some(({ kind }) => kind === "item")) this.branch(branch, 0, "");
    else {
      for (const item of branch.items) if (item.kind === "comment") this.line(0, `#${item.text}`);
      this.line(0, "{}");
    }
    this.footIndent = -1;
  }

  finish(): string {
    return this.out;
  }

  /** `lead`: what stands before the first key on its line, such as "- ". */
  private branch({ items }: Branch, indent: number, lead: string): void {
    let start = lead;
    const inline: string[] = [];
    for (const item of items) {
      if (item.kind === "comment") {
        (item.inline ? inline : this.head).push(item.text);
        continue;
      }
      this.entry(item.key, item.value, indent, start, inline.splice(0));
      start = "";
    }
    this.foot([...this.head.splice(0), ...inline], indent);
  }

  private list({ items }: List, indent: number, lead: string): void {
    let start = lead;
    const inline: string[] = [];
    for (const item of items) {
      if (item.kind === "comment") {
        (item.inline ? inline : this.head).push(item.text);
        continue;
      }
      this.takeInner(item);
      this.writeHead(indent, start);
      this.item(item, indent, start, inline.splice(0));
      start = "";
    }
    this.foot([...this.head.splice(0), ...inline], indent);
  }

  private entry(key: string, value: Value, indent: number, lead: string, comment: string[]): void {
    this.writeHead(indent, lead);
    const inner = nextIndent(indent);
    if (!isSimpleKey(key)) return this.complexEntry(key, value, indent, lead, comment);
    const name = lead + inlineText(key);
    if (value.kind === "branch" && isFilled(value)) {
      this.line(indent - lead.length, `${name}:`, comment);
      this.branch(value, inner, "");
    } else if (value.kind === "list" && isFilled(value)) {
      this.line(indent - lead.length, `${name}:`, comment);
      this.list(value, inner, "");
    } else {
      this.scalar(indent - lead.length, `${name}: `, value, inner, comment);
    }
  }

  /** A key of several lines, or too long for one: it stands on its own, and the value begins on the colon's line. */
  private complexEntry(key: string, value: Value, indent: number, lead: string, comment: string[]): void {
    const inner = nextIndent(indent);
    this.scalar(indent - lead.length, `${lead}? `, { kind: "str", bytes: Buffer.from(key) }, inner, []);
    const mark = ":".padEnd(inner - indent);
    if (value.kind === "branch" && isFilled(value)) this.branch(value, inner, mark);
    else if (value.kind === "list" && isFilled(value)) this.list(value, inner, mark);
    else this.scalar(indent, ": ", value, inner, comment);
  }

  private item(value: Value, indent: number, lead: string, comment: string[]): void {
    const mark = `${lead}- `;
    if (value.kind === "branch" && isFilled(value)) this.branch(value, indent + 2, mark);
    else if (value.kind === "list" && isFilled(value)) this.list(value, indent + 2, mark);
    else this.scalar(indent - lead.length, mark, value, indent + 2, comment);
  }

  /** Comments at the start of a nested block of a list stand above its dash. */
  private takeInner(value: Value): void {
    if (value.kind !== "branch" && value.kind !== "list") return;
    const first = value.items.findIndex((item) => item.kind !== "comment" || item.inline);
    const leading = (value.items as Comment[]).splice(0, Math.max(first, 0));
    if (leading.length > 0) this.head = leading.map(({ text }) => text);
  }

  private scalar(indent: number, before: string, value: Value, inner: number, comment: string[]): void {
    const { text, block } = scalarText(value, inner);
    this.line(indent, before + text, comment);
    if (block !== undefined) this.out += block;
  }

  private writeHead(indent: number, lead: string): void {
    if (lead !== "") return;
    for (const text of this.head.splice(0)) this.line(indent, `#${text}`);
  }

  private foot(lines: string[], indent: number): void {
    for (const text of lines) this.line(indent, `#${text}`);
    if (lines.length > 0) this.footIndent = indent;
  }

  private line(indent: number, text: string, comment: string[] = []): void {
    if (this.footIndent === indent) this.out += "\n";
    this.footIndent = -1;
    const [first, ...more] = comment;
    this.out += `${" ".repeat(indent)}${text}${first === undefined ? "" : ` #${first}`}\n`;
    for (const next of more) this.out += `${" ".repeat(indent)}#${next}\n`;
  }
}

const isFilled = ({ items }: Branch | List): boolean => items.some(({ kind }) => kind !== "comment");

const longestSimpleKey = 128; // bytes
const isSimpleKey = (key: string): boolean => Buffer.byteLength(key) <= longestSimpleKey && !/[\n\r\u0085\u2028\u2029]/.test(key);

type Text = { text: string; block?: string };

function scalarText(value: Value, indent: number): Text {
  switch (value.kind) {
    case "branch": return { text: "{}" };
    case "list": return { text: "[]" };
    case "str": return stringText(value, indent);
    case "int": return { text: value.digits };
    case "float": return { text: floatText(value.value) };
    case "bool": return { text: String(value.value) };
    case "time": return { text: value.text };
    case "comment": case "null": return { text: "null" };
  }
}

const floatText = (value: number): string =>
  Number.isNaN(value) ? ".nan" : Number.isFinite(value) ? shortFloat(value) : value > 0 ? ".inf" : "-.inf";

function stringText({ bytes }: Scalar & { kind: "str" }, indent: number): Text {
  if (!isUtf8(bytes)) return { text: `!!binary ${bytes.toString("base64")}` };
  const text = bytes.toString();
  if (!text.includes("\n") || !mayBeBlock(text)) return { text: inlineText(text) };
  const hint = /^[ \n\r\u0085\u2028\u2029]/.test(text) ? String(step) : "";
  const chomp = !endsInBreak(text) ? "-" : text.length === 1 || endsInBreak(text.slice(0, -1)) ? "+" : "";
  const lines = text.split("\n").map((line) => (line === "" ? "" : " ".repeat(indent) + line)).join("\n");
  return { text: `|${hint}${chomp}`, block: endsInBreak(text) ? lines : `${lines}\n` };
}

const endsInBreak = (text: string): boolean => /[\n\r\u0085\u2028\u2029]$/.test(text);

/** Trailing blanks and what cannot be printed are not safe there. */
const mayBeBlock = (text: string): boolean => !text.endsWith(" ") && !/ [\n\r\u0085\u2028\u2029]/.test(text) && !notPrintable.test(text.replaceAll("\t", ""));

function inlineText(text: string): string {
  if (text.includes("\n") || text === "") return doubleQuoted(text);
  if (text === "<<") return "!!merge <<";
  if (!isText(text) || base60.test(text) || oldBool.test(text)) return doubleQuoted(text);
  if (mayBePlain(text)) return text;
  return notPrintable.test(text) || /[\u2028\u2029]./.test(text) || / [\u2028\u2029]/.test(text) ? doubleQuoted(text) : `'${text.replaceAll("'", "''")}'`;
}

const base60 = /^[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?$/;
const oldBool = /^(?:y|Y|yes|Yes|YES|on|On|ON|n|N|no|No|NO|off|Off|OFF)$/;

function mayBePlain(text: string): boolean {
  if (notPrintable.test(text) || /[\u0085\u2028\u2029]/.test(text)) return false;
  if (text.startsWith(" ") || text.endsWith(" ")) return false;
  if (/^(---|\.\.\.)/.test(text) || /^[#,[\]{}&*!|>'"%@`]/.test(text)) return false;
  if (/^[?:-](?:[ \t]|$)/.test(text)) return false;
  return !/:(?:[ \t]|$)/.test(text) && !/[ \t]#/.test(text);
}

/** What Go's writer escapes, the characters beyond U+FFFF among it. */
// oxlint-disable-next-line no-control-regex -- they are what it looks for
const notPrintable = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\ufeff\ufffe\uffff\u{10000}-\u{10ffff}]/u;

const escapes: Record<string, string> = {
  "\0": "0", "\x07": "a", "\b": "b", "\t": "t", "\n": "n", "\v": "v", "\f": "f", "\r": "r", "\x1b": "e", '"': '"', "\\": "\\",
  "\u0085": "N", "\u00a0": "_", "\u2028": "L", "\u2029": "P",
};

function doubleQuoted(text: string): string {
  const all = text.startsWith("\ufeff"); // Go's writer looks for a byte order mark at the start, whichever character it writes
  const escaped = Array.from(text, (mark) => {
    if (!all && !notPrintable.test(mark) && !/["\\\n\u0085\u2028\u2029]/.test(mark)) return mark;
    const code = mark.codePointAt(0) ?? 0;
    const digits = code.toString(16).toUpperCase();
    if (escapes[mark] !== undefined) return `\\${escapes[mark]}`;
    if (code <= 0xff) return `\\x${digits.padStart(2, "0")}`;
    return code <= 0xffff ? `\\u${digits.padStart(4, "0")}` : `\\U${digits.padStart(8, "0")}`;
  });
  return `"${escaped.join("")}"`;
}
