/** For the image's build (Containerfile): compiles what runs as WebAssembly and puts it into a folder. */
import { copyFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { buildPrograms } from "../local/programs.ts";

const [folder = "."] = process.argv.slice(2);
for (const path of Object.values(await buildPrograms((line) => console.log(line)))) await copyFile(path, join(folder, basename(path)));
