/** JSON as SOPS reads and writes it (getsops/sops stores/json): in order, integers of 64 bits exact, tabs as indent. */
import { Buffer } from "node:buffer";
import { checkDepth, FormatError, type Branch, type Document, type Value } from "../tree.ts";

/** @throws FormatError */
export function readJson(content: Uint8Array): Document {
  const reader = new Reader(Buffer.from(content.buffer, content.byteOffset, content.byteLength).toString());
  const value = reader.value(0);
  if (value.kind !== "branch") throw new FormatError("its top is not an object");
  return [value];
}

/** JSON text, indented; comments are left out. */
export function writeJson([branch]: Document): Buffer {
  return Buffer.from(`${write(branch ?? { kind: "branch", items: [] }, "\n")}\n`);
}

/** The value of the key `data`: what SOPS keeps a file of any other kind in. @throws FormatError */
export function writeBinary(document: Document): Buffer {
  const data = document[0]?.items.find((item) => item.kind === "item" && item.key === "data");
  if (document.length !== 1 || data?.kind !== "item" || data.value.kind !== "str")
    throw new FormatError("holds keys and values, but its name says nothing of a format: it should end in .yaml, .json, .env or .ini");
  return data.value.bytes;
}

class Reader {
  private readonly text: string;
  private at = 0;

  constructor(text: string) {
    this.text = text;
  }

  value(depth: number): Value {
    checkDepth(depth);
    this.space();
    const first = this.text[this.at];
    if (first === "{") return this.object(depth);
    if (first === "[") return this.array(depth);
    if (first === '"') return { kind: "str", bytes: Buffer.from(this.string()) };
    const [word = ""] = this.match(/[-+.\w]+/y) ?? [];
    if (word === "true" || word === "false") return { kind: "bool", value: word === "true" };
    if (word === "null") return { kind: "null" };
    if (!/^-?(0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?$/.test(word)) throw this.broken();
    if (/^-?\d+$/.test(word) && isInt64(word)) return { kind: "int", digits: BigInt(word).toString() };
    return { kind: "float", value: Number(word) };
  }

  private object(depth: number): Branch {
    const branch: Branch = { kind: "branch", items: [] };
    this.at++;
    for (let first = true; ; first = false) {
      this.space();
      if (this.take("}")) return branch;
      if (!first && !this.take(",")) throw this.broken();
      this.space();
      if (this.text[this.at] !== '"') throw this.broken();
      const key = this.string();
      this.space();
      if (!this.take(":")) throw this.broken();
      branch.items.push({ kind: "item", key, value: this.value(depth + 1) });
    }
  }

  private array(depth: number): Value {
    const items: Value[] = [];
    this.at++;
    for (let first = true; ; first = false) {
      this.space();
      if (this.take("]")) return { kind: "list", items };
      if (!first && !this.take(",")) throw this.broken();
      items.push(this.value(depth + 1));
    }
  }

  private string(): string {
    // oxlint-disable-next-line no-control-regex -- JSON allows none in a string
    const [literal] = this.match(/"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y) ?? [];
    if (literal === undefined) throw this.broken();
    return (JSON.parse(literal) as string).toWellFormed();
  }

  private space(): void {
    this.match(/[ \t\r\n]*/y);
  }

  private take(mark: string): boolean {
    if (this.text[this.at] !== mark) return false;
    this.at++;
    return true;
  }

  private match(pattern: RegExp): RegExpExecArray | null {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.text);
    if (found) this.at = pattern.lastIndex;
    return found;
  }

  private broken(): FormatError {
    const line = this.text.slice(0, this.at).split("\n").length;
    return new FormatError(this.at >= this.text.length ? "ends too early" : `is not JSON: line ${line}`);
  }
}

const isInt64 = (digits: string) => BigInt.asIntN(64, BigInt(digits)) === BigInt(digits);

function write(value: Value, line: string): string {
  const inner = `${line}\t`;
  switch (value.kind) {
    case "branch": {
      const items = value.items.flatMap((item) => (item.kind === "item" ? [`${quoted(item.key)}: ${write(item.value, inner)}`] : []));
      return items.length === 0 ? "{}" : `{${inner}${items.join(`,${inner}`)}${line}}`;
    }
    case "list": {
      const items = value.items.flatMap((item) => (item.kind === "comment" ? [] : [write(item, inner)]));
      return items.length === 0 ? "[]" : `[${inner}${items.join(`,${inner}`)}${line}]`;
    }
    case "str": return quoted(value.bytes.toString());
    case "int": return value.digits;
    case "float":
      if (!Number.isFinite(value.value)) throw new FormatError("holds a number that JSON has no word for");
      return JSON.stringify(value.value);
    case "bool": return String(value.value);
    case "time": return quoted(value.text);
    case "comment": case "null": return "null";
  }
}

/** As Go quotes: safe inside HTML. */
const quoted = (text: string): string =>
  JSON.stringify(text).replace(/[<>&\u2028\u2029\u007f]/g, (mark) => (mark === "\u007f" ? mark : `\\u${mark.charCodeAt(0).toString(16).padStart(4, "0")}`));
