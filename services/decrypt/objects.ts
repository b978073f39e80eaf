/** Built objects that came encrypted: whole ones, and Secrets whose values are encrypted files. */
import { Buffer } from "node:buffer";
import { MacError, openDocument, type OpenOptions } from "./open.ts";
import { formatOf, readDocument, recognise, writeDocument } from "./formats/format.ts";
import { writeJson } from "./formats/json.ts";
import { textOf, type Document, type Item } from "./tree.ts";

/** A file that the build read. */
export type Source = { path: string; content: Uint8Array };

export type OpenedObject = { text: Buffer; dataKeys: Buffer[]; plain: Buffer[] };

/**
 * A whole object: kustomize has changed its labels, its namespace or the order of its keys, so the MAC is verified on the
 * file that it came from; and no value is taken that was not in that file.
 *
 * @param text the object as JSON
 */
export async function openObject(text: Buffer, sources: readonly Source[], options: OpenOptions): Promise<OpenedObject> {
  const known = options.ignoreMac ? undefined : await verifiedValues(text, sources, options);
  const { document, dataKey, plain } = await openDocument(text, "json", { ...options, ignoreMac: true, ...(known && { known }) });
  return { text: writeJson(document), dataKeys: [dataKey], plain };
}

/** Every encrypted value of the file that has the object's MAC, once that has been verified. @throws MacError */
async function verifiedValues(text: Buffer, sources: readonly Source[], options: OpenOptions): Promise<ReadonlySet<string>> {
  const mac = macOf(text);
  const source = sources.find(({ content }) => bufferOf(content).includes(mac));
  if (!source || mac === "") throw new MacError("has a MAC that none of the files it was built from has");
  const format = formatOf(source.path) === "json" ? "json" : "yaml";
  const { dataKey, plain } = await openDocument(source.content, format, options);
  for (const bytes of [dataKey, ...plain]) bytes.fill(0);
  return new Set(sealedValues(readDocument(source.content, format)));
}

function macOf(text: Buffer): string {
  const [branch] = readDocument(text, "json");
  const sops = itemOf(branch, "sops");
  return textOf(itemOf(sops?.value.kind === "branch" ? sops.value : undefined, "mac")?.value);
}

function sealedValues(document: Document): string[] {
  const texts: string[] = [];
  const visit = (value: Document[number] | Item["value"]): void => {
    if (value.kind === "str") texts.push(value.bytes.toString());
    else if (value.kind === "branch") for (const item of value.items) if (item.kind === "item") visit(item.value);
    if (value.kind === "list") for (const item of value.items) visit(item);
  };
  for (const branch of document) visit(branch);
  return texts;
}

/** The values of a Secret that are encrypted files themselves, such as a generator's: key by key. */
export async function openValues(data: Readonly<Record<string, string>>, options: OpenOptions): Promise<{ data: Record<string, string> } & Omit<OpenedObject, "text">> {
  const opened: Record<string, string> = { ...data };
  const dataKeys: Buffer[] = [];
  const plain: Buffer[] = [];
  for (const [key, value] of Object.entries(data)) {
    const content = Buffer.from(value, "base64");
    const format = recognise(content);
    if (!format) continue;
    await named(`data.${key}`, async () => {
      const { document, dataKey, plain: found } = await openDocument(content, format, options);
      dataKeys.push(dataKey);
      plain.push(...found);
      const clear = writeDocument(document, formatOf(key));
      opened[key] = clear.toString("base64");
      clear.fill(0);
    });
  }
  return { data: opened, dataKeys, plain };
}

/** What goes wrong is told of this value. */
async function named(place: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (thrown) {
    if (thrown instanceof Error) thrown.message = `${place} ${thrown.message}`;
    throw thrown;
  }
}

const itemOf = (branch: Document[number] | undefined, key: string): Item | undefined =>
  branch?.items.find((item): item is Item => item.kind === "item" && item.key === key);

const bufferOf = (bytes: Uint8Array) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
