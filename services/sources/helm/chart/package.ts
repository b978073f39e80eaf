/** A chart's package to its files and back. The package may come from anywhere: nothing in it is believed. */
import { Readable, Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGunzip } from "node:zlib";
import { extract as startExtract, type Header } from "tar-stream";
import { writeArchive } from "#services/sources/archive.ts";
import type { Limits } from "../limits.ts";
import { withoutMark, type ChartFiles } from "./metadata.ts";

export type PackageLimits = Pick<Limits, "fileBytes" | "unpackedBytes" | "entries" | "pathBytes">;

/**
 * The files of a chart, without the directory that holds them all (helm pkg/chart/loader/archive).
 *
 * @throws RangeError for what is no tar.gz, is too large, or leads out of the chart
 */
export async function readPackage(bytes: Uint8Array, limits: PackageLimits): Promise<ChartFiles> {
  const files: ChartFiles = new Map();
  await eachFile(bytes, limits, (name, contents) => {
    const delimiter = name.includes("\\") ? "\\" : "/";
    const [top = "", ...rest] = name.split(delimiter);
    const path = rest.join("/");
    if (top === "Chart.yaml") throw new RangeError("Chart.yaml is not in a directory of the package");
    if (path.startsWith("/")) throw refused(name, "has an absolute path");
    const parts = path.split("/").filter((part) => part !== "" && part !== ".");
    if (parts.length === 0) throw refused(name, "lies outside of the chart's directory");
    if (parts.includes("..") || top === "..") throw refused(name, "leads out of the chart");
    if (/^[A-Za-z]:/.test(parts[0] ?? "") || path.includes("\0")) throw refused(name, "has a name that is not allowed");
    files.set(parts.join("/"), withoutMark(contents));
  });
  if (files.size === 0) throw new RangeError("the package is empty");
  return files;
}

/** The files of an artifact of ours, below `under` only where that is given. @throws RangeError */
export async function readTree(bytes: Uint8Array, limits: PackageLimits, wanted: (path: string) => boolean = () => true): Promise<ChartFiles> {
  const files: ChartFiles = new Map();
  await eachFile(bytes, limits, (name, contents) => {
    const parts = name.split("/").filter((part) => part !== "" && part !== ".");
    if (parts.includes("..") || name.startsWith("/")) throw refused(name, "leads out of the archive");
    if (wanted(parts.join("/"))) files.set(parts.join("/"), contents);
  });
  return files;
}

/** Always the same bytes for the same files: below a directory of the chart's name, as Helm wants it. */
export function writePackage(name: string, files: ChartFiles): Promise<Uint8Array<ArrayBuffer>> {
  return writeArchive([...files].map(([path, contents]) => ({ path: `${name}/${path}`, kind: "file", read: () => contents })));
}

async function eachFile(bytes: Uint8Array, limits: PackageLimits, take: (name: string, contents: Buffer) => void): Promise<void> {
  const extract = startExtract();
  const flowing = pipeline(Readable.from([bytes]), createGunzip(), upTo(limits.unpackedBytes), extract);
  flowing.catch(() => undefined); // the same error ends the loop below, where it is reported
  try {
    let count = 0;
    for await (const entry of extract) {
      if (++count > limits.entries) throw new RangeError(`it has more than ${limits.entries} entries`);
      const { name, type, size = 0 } = entry.header as Header;
      if (Buffer.byteLength(name) > limits.pathBytes) throw new RangeError(`a path in it is longer than ${limits.pathBytes} bytes`);
      const isFile = type === "file" || type === "contiguous-file";
      if (isFile && size > limits.fileBytes) throw refused(name, `is larger than ${limits.fileBytes} bytes`);
      const chunks: Buffer[] = [];
      for await (const chunk of entry) if (isFile) chunks.push(chunk as Buffer);
      if (isFile) take(name, Buffer.concat(chunks));
    }
    await flowing;
  } catch (error) {
    if (error instanceof RangeError) throw error;
    throw new RangeError(`it is no tar.gz archive: ${error instanceof Error ? error.message : "unreadable"}`, { cause: error });
  }
}

function upTo(mostBytes: number): Transform {
  let seen = 0;
  return new Transform({
    transform(chunk: Uint8Array, _encoding, done) {
      seen += chunk.length;
      if (seen > mostBytes) done(new RangeError(`it holds more than ${mostBytes} bytes when unpacked`));
      else done(null, chunk);
    },
  });
}

const refused = (name: string, why: string): RangeError => new RangeError(`entry ${JSON.stringify(name.slice(0, 200))} ${why}`);
