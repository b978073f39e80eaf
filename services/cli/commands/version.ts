import type { Action } from "../command.ts";
import { exitCodes } from "../failure.ts";
import { ownVersion } from "../version.ts";

/** Says which Flotilla this is, and which Node runs it. */
export const version: Action = ({ options, shell }) => {
  const versions = { flotilla: ownVersion(), node: process.versions.node };
  shell.print(
    options.json ? `${JSON.stringify(versions)}\n` : `flotilla: v${versions.flotilla}\nnode: v${versions.node}\n`,
  );
  return Promise.resolve(exitCodes.ok);
};
