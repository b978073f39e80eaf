/** The answers of S3, of Azure and of token services: elements and text. A document type, and entities of one's own, are not read. */
import { SaxesParser } from "saxes";

export type Element = { name: string; attributes: Record<string, string>; text: string; children: Element[] };

const deepest = 32;

/** @throws RangeError for what is no such document */
export function readXml(bytes: Buffer): Element {
  const root: Element = { name: "", attributes: {}, text: "", children: [] };
  const open = [root];
  const parser = new SaxesParser();
  parser.on("error", () => { throw new RangeError("the answer is not XML"); }); // its message quotes
  parser.on("doctype", () => { throw new RangeError("the answer has a document type"); });
  parser.on("opentag", ({ name, attributes }) => {
    if (open.length > deepest) throw new RangeError("the answer is nested too deeply");
    const element: Element = { name, attributes: attributes as Record<string, string>, text: "", children: [] };
    open.at(-1)?.children.push(element);
    open.push(element);
  });
  parser.on("closetag", () => void open.pop());
  const addText = (text: string) => { (open.at(-1) ?? root).text += text; };
  parser.on("text", addText);
  parser.on("cdata", addText);
  parser.write(bytes.toString().replace(/^\uFEFF/, "")).close();
  const [only] = root.children;
  if (!only) throw new RangeError("the answer is empty");
  return only;
}

/** The first at this path below. */
export const find = (element: Element | undefined, ...path: string[]): Element | undefined =>
  path.reduce<Element | undefined>((at, name) => at?.children.find((child) => child.name === name), element);

export const textAt = (element: Element | undefined, ...path: string[]): string => find(element, ...path)?.text ?? "";

/** Of an answer that is no success: what the provider calls it. Empty when it does not say. */
export function codeIn(bytes: Buffer): string {
  try {
    const root = readXml(bytes);
    return textAt(root, "Code") || textAt(root, "Error", "Code");
  } catch {
    return "";
  }
}
