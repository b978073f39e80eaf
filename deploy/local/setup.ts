/** `npm run setup`: gets what `flotilla up` needs beside Node: nats-server and the renderer. The demo and the tests get the rest. */
import { buildWasm } from "../../services/render/wasm-file.ts";
import { tool } from "./tools.ts";

const say = (line: string): void => console.log(line);

say(`nats-server: ${await tool("nats-server", say)}`);
say(`renderer: ${(await buildWasm(say)).path}`);
