/** The formats that SOPS knows: which one a file has, how it is recognised as encrypted, how it is read and written. */
import { Buffer } from "node:buffer";
import { FormatError, type Document } from "../tree.ts";
import { readDotenv, writeDotenv } from "./dotenv.ts";
import { readIni, writeIni } from "./ini.ts";
import { readJson, writeBinary, writeJson } from "./json.ts";
import { readYaml } from "./yaml.ts";
import { writeYaml } from "./yaml-writer.ts";

export type Format = "yaml" | "json" | "dotenv" | "ini" | "binary";

/** By the name's end, as SOPS and Flux do (kustomize-controller internal/decryptor, formatForPath). */
export function formatOf(path: string): Format {
  if (path.endsWith(".dockerconfigjson") || path.endsWith(".json")) return "json";
  if (path.endsWith(".yaml") || path.endsWith(".yml")) return "yaml";
  if (path.endsWith(".env")) return "dotenv";
  return path.endsWith(".ini") ? "ini" : "binary";
}

/** What every encrypted text of a format holds (the same, sopsFormatToMarkerBytes). A binary file is kept in JSON. */
const marks: Record<Format, string> = {
  json: '"mac": "ENC[', binary: '"mac": "ENC[', dotenv: "sops_mac=ENC[", yaml: "mac: ENC[", ini: "[sops]",
};

export const isEncrypted = (content: Uint8Array, format: Format): boolean => bufferOf(content).includes(marks[format]);

/** In this order: what marks INI is short enough to stand in another format's text. */
const recognised: Format[] = ["json", "dotenv", "yaml", "ini"];

/** The format of a text that has no name. */
export const recognise = (content: Uint8Array): Format | undefined => recognised.find((format) => isEncrypted(content, format));

/** @throws FormatError */
export function readDocument(content: Uint8Array, format: Format): Document {
  switch (format) {
    case "yaml": return readYaml(content);
    case "json": case "binary": return readJson(content);
    case "dotenv": return readDotenv(content);
    case "ini": return readIni(content);
  }
}

/** @throws FormatError for a document that the format cannot hold */
export function writeDocument(document: Document, format: Format): Buffer {
  if (document.length === 0) throw new FormatError("is empty");
  switch (format) {
    case "yaml": return writeYaml(document);
    case "json": return writeJson(document);
    case "binary": return writeBinary(document);
    case "dotenv": return writeDotenv(document);
    case "ini": return writeIni(document);
  }
}

const bufferOf = (bytes: Uint8Array) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
