/** The command line: parses, runs one command, and makes its result the exit code. */
import { Command as Parser, CommanderError } from "commander";
import type { Command, OptionValues } from "./command.ts";
import { exitCodes, Failure, sentenceOf } from "./failure.ts";
import { commands } from "./registry.ts";
import { terminalShell, type Shell } from "./shell.ts";
import { ownVersion } from "./version.ts";

const epilogue = `
Exit codes: 0 done, 1 failed, 2 the command line makes no sense.
Each command explains itself: flotilla help <command>`;

/** @param argv without node and script */
export async function main(argv: string[], shell: Shell = terminalShell()): Promise<number> {
  let exitCode: number = exitCodes.ok;
  const parser = new Parser("flotilla")
    .description("Git to Kubernetes, with one trace from commit to running pod.")
    .version(ownVersion(), "-V, --version", "print the version")
    .helpCommand("help [command]", "explain a command")
    .addHelpText("after", epilogue);
  for (const command of commands)
    add(parser, command, async (words, options) => {
      exitCode = await (await command.load())({ words, options, shell });
    });
  for (const each of [parser, ...parser.commands])
    each
      .exitOverride()
      .showSuggestionAfterError()
      .configureOutput({
        writeOut: (text) => shell.print(text),
        writeErr: () => {},
        getOutHelpWidth: () => shell.columns,
      });
  try {
    if (argv.length === 0) {
      shell.say(parser.helpInformation().trimEnd());
      return exitCodes.misuse;
    }
    await parser.parseAsync(argv, { from: "user" });
    return exitCode;
  } catch (thrown) {
    return report(thrown, argv, shell);
  }
}

function add(parser: Parser, command: Command, run: (words: string[], options: OptionValues) => Promise<void>): void {
  const child = parser
    .command(command.name)
    .summary(command.summary)
    .description([command.summary, command.details].filter(Boolean).join("\n\n"));
  for (const word of command.words.split(/ (?=[<[])/).filter(Boolean)) child.argument(word);
  for (const { flags, help, default: value } of command.options) child.option(flags, help, value);
  child.addHelpText("after", `\nExamples:\n${command.examples.map((line) => `  ${line}\n`).join("")}`);
  child.action(async () => run(child.args, child.opts<OptionValues>()));
}

function report(thrown: unknown, argv: string[], shell: Shell): number {
  if (thrown instanceof CommanderError) {
    if (thrown.exitCode === 0) return exitCodes.ok; // help or version: printed already
    shell.say(`✗ ${thrown.message.replace(/^error: /, "")}; see "flotilla ${commandIn(argv)}--help"`);
    return exitCodes.misuse;
  }
  shell.say(`✗ ${sentenceOf(thrown)}`);
  if (argv.includes("--verbose") && thrown instanceof Error) shell.say(stackOf(thrown));
  return thrown instanceof Failure ? thrown.exitCode : exitCodes.failed;
}

const stackOf = (error: Error): string => {
  const below = error.cause instanceof Error ? `\ncaused by ${stackOf(error.cause)}` : "";
  return `${error.stack ?? error.message}${below}`;
};

const commandIn = (argv: string[]): string => {
  const name = argv.find((word) => commands.some((command) => command.name === word));
  return name ? `${name} ` : "";
};
