/** What a waterfall is drawn with: box drawing where the terminal has it, ASCII otherwise; colours only when asked. */
import { styleText } from "node:util";

export type Glyphs = {
  leaf: string;
  /** Right ends of a leaf, from an eighth of a column to a whole one. */
  ends: string[];
  busy: string;
  idle: string;
  cut: string;
  tee: string;
  corner: string;
  pipe: string;
  space: string;
  failed: string;
  open: string;
  done: string;
  edge: string;
};

export const unicode: Glyphs = {
  leaf: "█",
  ends: ["▏", "▏", "▎", "▍", "▌", "▋", "▊", "▉", "█"],
  busy: "━",
  idle: "┄",
  cut: "╱",
  tee: "├─ ",
  corner: "└─ ",
  pipe: "│  ",
  space: "   ",
  failed: "✗",
  open: "◌",
  done: "✓",
  edge: "│",
};

export const ascii: Glyphs = {
  leaf: "#",
  ends: ["#"],
  busy: "=",
  idle: "-",
  cut: "/",
  tee: "|- ",
  corner: "`- ",
  pipe: "|  ",
  space: "   ",
  failed: "x",
  open: "~",
  done: "*",
  edge: "|",
};

export type Tone = "strong" | "dim" | "bad" | "good" | "plain" | "fetch" | "build" | "apply" | "health" | "wait";

const styles = {
  strong: "bold",
  dim: "dim",
  bad: "redBright",
  good: "green",
  fetch: "cyan",
  build: "blueBright",
  apply: "green",
  health: "yellow",
  wait: "gray",
} as const satisfies Partial<Record<Tone, Parameters<typeof styleText>[0]>>;

export type Paint = (tone: Tone, text: string) => string;

export const painter =
  (colour: boolean): Paint =>
  (tone, text) =>
    colour && tone !== "plain" && text !== "" ? styleText(styles[tone], text, { validateStream: false }) : text;

/** One colour per sort of step, so that the eye finds them again in every trace. */
export function toneOf(step: string): Tone {
  if (/^(resolve|fetch|find source|verify|archive|clone|download|receive)/.test(step)) return "fetch";
  if (/^(build|render|decrypt|plan|diff|substitute)/.test(step)) return "build";
  if (/^(apply|prune|stage|dry-run|created?|patch|configured|replaced|deleted?)/.test(step)) return "apply";
  if (/^(health|wait-health|notify)/.test(step)) return "health";
  return /^(wait|queue|until)/.test(step) ? "wait" : "plain";
}
