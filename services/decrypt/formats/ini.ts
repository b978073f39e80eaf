/**
 * INI as SOPS reads and writes it (getsops/sops stores/ini on gopkg.in/ini.v1): sections of keys, comments above what they
 * belong to, the equals signs of a section below each other.
 */
import { Buffer } from "node:buffer";
import { FormatError, type Branch, type Document, type Item } from "../tree.ts";
import { scalarText } from "./scalar-text.ts";

const defaultSection = "DEFAULT";

/** @throws FormatError */
export function readIni(content: Uint8Array): Document {
  const lines = new Lines(Buffer.from(content.buffer, content.byteOffset, content.byteLength).toString().replace(/^\ufeff/, ""));
  let section: Branch = { kind: "branch", items: [] };
  const root: Branch = { kind: "branch", items: [{ kind: "item", key: defaultSection, value: section }] };
  let comment = "";
  for (let line = lines.next(); line !== undefined; line = lines.next()) {
    const text = line.trimStart();
    if (text === "") continue;
    if (text.startsWith("#") || text.startsWith(";")) {
      comment += text;
    } else if (text.startsWith("[")) {
      const end = text.lastIndexOf("]");
      if (end < 2) throw new FormatError(`is not INI: line ${lines.number}`);
      section = { kind: "branch", items: commentOf(comment + inlineComment(text.slice(end + 1))) };
      root.items.push({ kind: "item", key: text.slice(1, end), value: section });
      comment = "";
    } else {
      const { key, rest } = keyOf(text, lines.number);
      const { value, trailing } = valueOf(rest, lines);
      put(section, key, value, commentOf(comment + trailing));
      comment = "";
    }
  }
  return [root];
}

/** A key that is there twice keeps its place and takes the later value. */
function put(section: Branch, key: string, text: string, comment: Branch["items"]): void {
  const value = { kind: "str" as const, bytes: Buffer.from(text) };
  const known = section.items.findIndex((item) => item.kind === "item" && item.key === key);
  const item: Item = { kind: "item", key, value };
  if (known < 0) return void section.items.push(item, ...comment);
  const hasComment = section.items[known + 1]?.kind === "comment";
  section.items.splice(known, hasComment ? 2 : 1, item, ...comment);
}

function commentOf(text: string): Branch["items"] {
  const trimmed = text.trim();
  const stripped = trimmed.startsWith(";") ? trimmed.replace(/^[; ]+/, "") : trimmed.replace(/^[# ]+/, "");
  return trimmed === "" ? [] : [{ kind: "comment", text: stripped, inline: false }];
}

const inlineComment = (text: string): string => /[#;].*$/s.exec(text)?.[0] ?? "";

function keyOf(line: string, number: number): { key: string; rest: string } {
  const quote = /^("""(?=....)|"|`)/.exec(line)?.[0] ?? "";
  const end = quote ? line.indexOf(quote, quote.length) : 0;
  const cut = end < 0 ? -1 : line.slice(end).search(/[=:]/);
  if (end < 0 || cut < 0 || (cut === 0 && !quote)) throw new FormatError(`is not INI: line ${number} has no key`);
  const name = quote ? line.slice(quote.length, end) : line.slice(0, cut);
  return { key: name.trim(), rest: line.slice(end + cut + 1) };
}

/** Quoted by """ or ` it may hold anything, also lines; otherwise it ends at a comment, and goes on after a backslash. */
function valueOf(rest: string, lines: Lines): { value: string; trailing: string } {
  const text = rest.trimStart();
  const quote = text.length > 3 && text.startsWith('"""') ? '"""' : text.startsWith("`") ? "`" : "";
  if (quote) {
    const end = text.indexOf(quote, quote.length) < 0 ? -1 : text.lastIndexOf(quote);
    if (end >= 0) return { value: text.slice(quote.length, end), trailing: "" };
    let value = `${text.slice(quote.length)}\n`;
    for (let line = lines.next(); line !== undefined; line = lines.next()) {
      const close = line.lastIndexOf(quote);
      if (close >= 0) return { value: value + line.slice(0, close), trailing: inlineComment(line.slice(close)) };
      value += `${line}\n`;
    }
    throw new FormatError("is not INI: a quoted value does not end");
  }
  const line = text.trim();
  if (line.endsWith("\\")) return { value: continued(line.slice(0, -1), lines), trailing: "" };
  const trailing = inlineComment(line);
  const value = line.slice(0, line.length - trailing.length).trim();
  return { value: /^(["'])((?!\1).)*\1$/s.test(value) ? value.slice(1, -1) : value, trailing };
}

function continued(start: string, lines: Lines): string {
  let value = start;
  for (let line = lines.next()?.trim(); line; line = lines.next()?.trim()) {
    value += line;
    if (!value.endsWith("\\")) break;
    value = value.slice(0, -1);
  }
  return value;
}

class Lines {
  number = 0;
  private readonly lines: string[];

  constructor(text: string) {
    this.lines = text.split("\n");
  }

  next(): string | undefined {
    return this.lines[this.number++];
  }
}

/** @throws FormatError */
export function writeIni(document: Document): Buffer {
  const sections = document.flatMap(({ items }) => items.flatMap((item) => (item.kind === "item" ? [item] : [])));
  const texts = sections.map(({ key, value }, index) => {
    if (value.kind !== "branch") throw new FormatError("holds a value outside of a section, which INI cannot");
    const isDefault = index === 0 && key.toUpperCase() === defaultSection;
    if (isDefault && value.items.length === 0) return "";
    return sectionText(isDefault ? "" : `[${key}]\n`, value) + (index < sections.length - 1 ? "\n" : "");
  });
  return Buffer.from(texts.join(""));
}

function sectionText(header: string, { items }: Branch): string {
  const [first, ...others] = items;
  const head = first?.kind === "comment" ? commentText(first.text) : "";
  const entries: { key: string; text: string; comment: string }[] = [];
  for (const item of first?.kind === "comment" ? others : items) {
    const last = entries.at(-1);
    if (item.kind === "comment") {
      if (last) last.comment = commentText(item.text);
    } else {
      if (item.value.kind === "branch" || item.value.kind === "list") throw new FormatError("holds nested values, which INI cannot");
      entries.push({ key: item.key, text: Buffer.from(scalarText(item.value), "latin1").toString(), comment: "" });
    }
  }
  const width = Math.max(0, ...entries.map(({ key }) => Buffer.byteLength(quotedKey(key))));
  return head + header + entries.map(({ key, text, comment }) => `${comment}${quotedKey(key)}${" ".repeat(width - Buffer.byteLength(quotedKey(key)))} = ${quotedValue(text)}\n`).join("");
}

const commentText = (text: string): string =>
  text === "" ? "" : `${text.split("\n").map((line) => (/^[#;]/.test(line) ? `${line.slice(0, 1)} ${line.slice(1).trim()}` : `; ${line.trim()}`)).join("\n")}\n`;

const quotedKey = (key: string): string => (/["=:]/.test(key) ? `\`${key}\`` : key.includes("`") ? `"""${key}"""` : key);

function quotedValue(text: string): string {
  if (/[\n`]/.test(text)) return `"""${text}"""`;
  if (/[#;]/.test(text)) return `\`${text}\``;
  return text.trim() === text ? text : `"${text}"`;
}
