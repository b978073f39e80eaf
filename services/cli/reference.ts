/** docs/reference/cli.md, printed from the registry so that it cannot be out of date. */
import { exitCodes } from "./failure.ts";
import { commands } from "./registry.ts";

export function cliReference(): string {
  return [
    "# The flotilla command",
    "",
    "Printed from services/cli/registry.ts by `npm run generate`. Rules: [spec/cli.md](../spec/cli.md).",
    "",
    "Results go to stdout, progress and errors to stderr. Exit codes:",
    `${exitCodes.ok} done, ${exitCodes.failed} failed, ${exitCodes.misuse} the command line makes no sense.`,
    ...commands.flatMap(({ name, words, summary, details, options, examples }) => [
      "",
      `## ${["flotilla", name, words].filter(Boolean).join(" ")}`,
      "",
      `${sentence(summary)}${details ? ` ${details.replaceAll("\n", " ")}` : ""}`,
      "",
      "| option | meaning |",
      "|---|---|",
      ...options.map(
        ({ flags, help, default: value }) =>
          `| \`${flags}\` | ${help}${value === undefined ? "" : ` (default: ${value})`} |`,
      ),
      "",
      "```sh",
      ...examples,
      "```",
    ]),
    "",
  ].join("\n");
}

const sentence = (text: string) => `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
