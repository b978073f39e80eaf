/** YAML as SOPS reads it (getsops/sops stores/yaml on go.yaml.in/yaml/v3): what Go makes of every scalar, and the comments. */
import { Buffer } from "node:buffer";
import {
  isAlias, isMap, isScalar, isSeq, Lexer, parseAllDocuments, type Document as Source, type Node, type Pair, type Scalar as SourceScalar, type YAMLMap, type YAMLSeq,
} from "yaml";
import { checkDepth, FormatError, type Branch, type Comment, type Document, type Value } from "../tree.ts";
import { resolvePlain } from "./yaml-scalar.ts";

/** An alias is its anchor's whole value again: a few lines of them would be more than the memory holds. */
const mostValues = 500_000;

/** @throws FormatError */
export function readYaml(content: Uint8Array): Document {
  const text = withColumns(Buffer.from(content.buffer, content.byteOffset, content.byteLength).toString());
  const sources = parseAllDocuments(text, {
    schema: "failsafe", uniqueKeys: true, logLevel: "silent", prettyErrors: false, keepSourceTokens: true,
  });
  return Array.isArray(sources) ? sources.map((source) => new Reader(source, text).document()) : [];
}

/**
 * The parser gives a comment to what stands before it, wherever it is indented; to SOPS the indent says to which block it
 * belongs. So each comment carries its column: `# x` becomes `#4: x`.
 */
function withColumns(text: string): string {
  let column = 0;
  const marked = Array.from(new Lexer().lex(text), (lexeme) => {
    if (lexerMarks.has(lexeme)) return "";
    const at = column;
    const line = lexeme.lastIndexOf("\n");
    column = line < 0 ? column + lexeme.length : lexeme.length - line - 1;
    return lexeme.startsWith("#") ? `#${at}:${lexeme.slice(1)}` : lexeme;
  });
  return marked.join("");
}

/** The lexer's own, which stand for nothing in the text. */
const lexerMarks = new Set(["\x02", "\x18", "\x1f", "\ufeff"]);

/** A comment and its column. */
type Placed = Comment & { column: number };

class Reader {
  private readonly source: Source.Parsed;
  private readonly text: string;
  private values = 0;

  constructor(source: Source.Parsed, text: string) {
    this.source = source;
    this.text = text;
  }

  document(): Branch {
    const [error] = this.source.errors;
    // Its own message quotes the text.
    if (error) throw new FormatError(`is not YAML: ${error.code.toLowerCase().replaceAll("_", " ")} in line ${this.text.slice(0, error.pos[0]).split("\n").length}`);
    const branch: Branch = { kind: "branch", items: placed(this.source.commentBefore).map(bare) };
    const { contents } = this.source;
    const left: Placed[] = [];
    if (isMap(contents)) branch.items.push(...this.map(contents, 0, false, left).items);
    else if (contents !== null && !(isScalar(contents) && this.scalar(contents).kind === "null")) throw new FormatError("has a document that is not a mapping");
    branch.items.push(...[...left, ...placed(this.source.comment)].map(bare));
    return branch;
  }

  /**
   * @param headTaken the comment above it stands with what holds it
   * @param left where the comments go that turn out to stand below it
   */
  private value(node: Node | null, depth: number, headTaken: boolean, left: Placed[]): Value {
    checkDepth(depth);
    if (++this.values > mostValues) throw new FormatError(`holds more than ${mostValues} values`);
    if (isAlias(node)) {
      const target = node.resolve(this.source);
      if (!target) throw new FormatError("has an alias without its anchor");
      return this.value(target, depth + 1, false, []);
    }
    if (isMap(node)) return this.map(node, depth, headTaken, left);
    if (isSeq(node)) return this.list(node, depth, headTaken, left);
    return isScalar(node) ? this.scalar(node) : { kind: "null" };
  }

  private map(node: YAMLMap, depth: number, headTaken: boolean, left: Placed[]): Branch {
    const items: Branch["items"] = headTaken ? [] : placed(node.commentBefore).map(bare);
    const keep = (comments: Placed[]) => items.push(...kept(comments, node, left));
    for (const { key, value } of node.items as Pair<Node | null, Node | null>[]) {
      const name = this.value(key, depth + 1, false, []);
      if (name.kind !== "str") throw new FormatError("has a key that is not text; sops does not take it");
      items.push(...placed(key?.commentBefore).map(bare), ...(isScalar(key) ? placed(key.comment).map(bare) : []));
      if (isScalar(value) || isAlias(value)) items.push(...placed(value.commentBefore).map(bare), ...beside(value));
      const inner: Placed[] = [];
      items.push({ kind: "item", key: name.bytes.toString(), value: this.value(value, depth + 1, false, inner) });
      keep([...inner, ...below(value)]);
    }
    keep(placed(node.comment));
    return { kind: "branch", items };
  }

  private list(node: YAMLSeq, depth: number, headTaken: boolean, left: Placed[]): Value {
    const items: Value[] = headTaken ? [] : placed(node.commentBefore).map(bare);
    const keep = (comments: Placed[]) => items.push(...kept(comments, node, left));
    for (const item of node.items as (Node | null)[]) {
      items.push(...placed(item?.commentBefore).map(bare));
      if (isScalar(item) || isAlias(item)) items.push(...beside(item));
      const inner: Placed[] = [];
      items.push(this.value(item, depth + 1, true, inner));
      keep([...inner, ...below(item)]);
    }
    keep(placed(node.comment));
    return { kind: "list", items };
  }

  private scalar(scalar: SourceScalar): Value {
    const text = typeof scalar.value === "string" ? scalar.value : "";
    const tag = scalar.tag?.replace("tag:yaml.org,2002:", "!!");
    if (tag === "!!binary") return { kind: "str", bytes: Buffer.from(text, "base64") };
    if (tag === "!!str" || (tag && !tag.startsWith("!!")) || (!tag && scalar.type !== "PLAIN")) return { kind: "str", bytes: Buffer.from(text) };
    return resolvePlain(text);
  }
}

/** Those at the block's own indent or deeper; the others go to `left`. */
function kept(comments: Placed[], block: YAMLMap | YAMLSeq, left: Placed[]): Comment[] {
  const indent = block.srcToken && "indent" in block.srcToken && block.srcToken.type !== "flow-collection" ? block.srcToken.indent : 0;
  left.push(...comments.filter(({ column }) => column < indent));
  return comments.filter(({ column }) => column >= indent).map(bare);
}

/** The first line of a scalar's comment stands beside it, further ones below it. */
const beside = ({ comment }: Node): Comment[] => placed(comment).slice(0, 1).map((found) => ({ ...bare(found), inline: true }));
const below = (node: Node | null): Placed[] => (isScalar(node) || isAlias(node) ? placed(node.comment).slice(1) : []);

const placed = (text: string | null | undefined): Placed[] =>
  (text ?? "").split("\n").filter((line) => line !== "").map((line) => {
    const [, column = "0", comment = line] = /^(\d+):(.*)$/s.exec(line) ?? [];
    return { kind: "comment", text: comment, inline: false, column: Number(column) };
  });

const bare = ({ kind, text, inline }: Placed): Comment => ({ kind, text, inline });
