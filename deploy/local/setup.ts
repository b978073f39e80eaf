/** `npm run setup`: gets what `flotilla up` needs beside Node: nats-server and what runs as WebAssembly. The demo and the tests get the rest. */
import { buildPrograms } from "./programs.ts";
import { tool } from "./tools.ts";

const say = (line: string): void => console.log(line);

say(`nats-server: ${await tool("nats-server", say)}`);
for (const path of Object.values(await buildPrograms(say))) say(path);
