/** Dotenv as SOPS reads and writes it (getsops/sops stores/dotenv): a line a value, `\n` for a line break, `#` for a comment. */
import { Buffer } from "node:buffer";
import { FormatError, type Branch, type Document } from "../tree.ts";
import { scalarText } from "./scalar-text.ts";

/** @throws FormatError */
export function readDotenv(content: Uint8Array): Document {
  const branch: Branch = { kind: "branch", items: [] };
  const lines = Buffer.from(content.buffer, content.byteOffset, content.byteLength).toString("latin1").split("\n");
  for (const [index, line] of lines.entries()) {
    if (line === "") continue;
    if (line.startsWith("#")) {
      branch.items.push({ kind: "comment", text: Buffer.from(line.slice(1), "latin1").toString(), inline: false });
      continue;
    }
    const cut = line.indexOf("=");
    if (cut < 0) throw new FormatError(`is not dotenv: line ${index + 1} has no "="`);
    const key = Buffer.from(line.slice(0, cut), "latin1").toString();
    branch.items.push({ kind: "item", key, value: { kind: "str", bytes: Buffer.from(line.slice(cut + 1).replaceAll("\\n", "\n"), "latin1") } });
  }
  return [branch];
}

/** @throws FormatError */
export function writeDotenv([branch]: Document): Buffer {
  const lines = (branch?.items ?? []).map((item) => {
    if (item.kind === "comment") return Buffer.from(`#${item.text}\n`);
    if (item.value.kind === "branch" || item.value.kind === "list") throw new FormatError("holds nested values, which dotenv cannot");
    const text = scalarText(item.value);
    const line = item.value.kind === "str" ? text.replaceAll("\n", "\\n") : text;
    return Buffer.concat([Buffer.from(`${item.key}=`), Buffer.from(line, "latin1"), Buffer.from("\n")]);
  });
  return Buffer.concat(lines);
}
