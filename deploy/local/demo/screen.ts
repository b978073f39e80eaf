/** What the demo prints: short lines, a heading per step, and on the left the seconds since the step began. */
import { styleText } from "node:util";

export type Screen = {
  /** What a block's lines may be wide. */
  columns: number;
  title(name: string, text: string): void;
  /** Begins a step: its number, what happens, and why it matters. Sets the clock to zero. */
  step(name: string, why: string): void;
  /** Sets the clock to zero within a step: right before what is worth measuring. */
  restartClock(): void;
  /** Something has happened. */
  done(text: string): void;
  /** Something was measured by itself; its time is not the clock's. */
  measured(ms: number, text: string): void;
  /** A command line, as the reader would type it. */
  command(line: string): void;
  /** A sentence on what is seen. */
  note(text: string): void;
  /** The output of a program. */
  block(text: string): void;
  /** Names with what they mean, in two columns. */
  pairs(rows: readonly (readonly [string, string])[]): void;
  /** The step under way could not be finished. */
  failure(failure: Failure): void;
};

export type Failure = {
  /** What was expected and what came instead. */
  reason: string;
  /** The end of a log that may say why, and where the rest of it was. */
  log?: { name: string; lines: string[] };
};

export type ScreenOptions = {
  write(text: string): void;
  nowMs(): number;
  steps: number;
  /** Columns of the terminal. */
  width: number;
  colour: boolean;
};

export function createScreen({ write, nowMs, steps, width, colour }: ScreenOptions): Screen {
  const paint = (style: Style, text: string) => (colour ? styleText(style, text, { validateStream: false }) : text);
  let afterGap = true;
  const line = (text: string) => {
    write(`${text}\n`);
    afterGap = false;
  };
  const gap = () => {
    if (!afterGap) line("");
    afterGap = true;
  };
  let number = 0;
  let current = "";
  let zeroMs = nowMs();

  const screen: Screen = {
    columns: Math.min(width - marginWidth, widestBlock),
    title(name, text) {
      line(paint("bold", name));
      for (const each of text.split("\n")) line(each);
    },
    step(name, why) {
      number++;
      current = name;
      zeroMs = nowMs();
      gap();
      line(`${paint("cyan", `[${number}/${steps}]`)} ${paint("bold", name)}`);
      line(`${margin}${paint("dim", why)}`);
    },
    restartClock: () => void (zeroMs = nowMs()),
    done: (text) => screen.measured(nowMs() - zeroMs, text),
    measured: (ms, text) => line(`${paint("green", seconds(ms))}  ${text}`),
    command: (text) => line(`${margin}${paint("dim", "$")} ${paint("bold", text.replaceAll("\n", `\n${margin}`))}`),
    note: (text) => line(`${margin}${text}`),
    block(text) {
      gap();
      line(indent(text));
      gap();
    },
    pairs: (rows) => line(indent(columns(rows))),
    failure({ reason, log }) {
      gap();
      line(paint("red", `The demo stopped in step ${number} of ${steps}: ${current}.`));
      line(indent(reason));
      if (!log || log.lines.length === 0) return;
      gap();
      line(`The end of ${log.name}:`);
      line(indent(log.lines.join("\n")));
    },
  };
  return screen;
}

type Style = Parameters<typeof styleText>[0];

const marginWidth = 10;
const widestBlock = 110; // the eye follows a row no further
const margin = " ".repeat(marginWidth);

/** Right-aligned in the margin: `    0.4s`, `   12.3s`, `   2m05s`. */
export function seconds(ms: number): string {
  const text = ms < 59_950 ? `${(Math.max(ms, 0) / 1000).toFixed(1)}s` : minutes(Math.round(ms / 1000));
  return text.padStart(marginWidth - 2);
}

const minutes = (whole: number) => `${Math.floor(whole / 60)}m${String(whole % 60).padStart(2, "0")}s`;

/** Moves text to the right of the clock; empty lines stay empty. */
export const indent = (text: string): string =>
  text.trimEnd().split("\n").map((each) => (each === "" ? "" : `${margin}${each.trimEnd()}`)).join("\n");

/** The first column as wide as its widest entry. */
export function columns(rows: readonly (readonly [string, string])[]): string {
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, text]) => `${name.padEnd(width)}  ${text}`).join("\n");
}

const longestLine = 220;

/**
 * A JSON log line of Flotilla as people read it: `error  shop-dev: build failed: …`. What is not JSON stays as it is.
 */
export function readableLogLine(text: string): string {
  const entry = parseObject(text);
  const part = (name: string) => (typeof entry?.[name] === "string" ? (entry[name].split("\n")[0] ?? "") : "");
  const subject = [part("controllerKind"), part("namespace"), part("name")].filter(Boolean).join("/");
  const said = [subject, part("msg"), part("error")].filter(Boolean).join(": ");
  const readable = entry ? `${part("level").padEnd(5)}  ${said}` : text;
  return readable.length > longestLine ? `${readable.slice(0, longestLine - 1)}…` : readable;
}

function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined; // a line of another program
  }
}
