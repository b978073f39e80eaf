/** What all parts of one drawing share. */
import type { Axis } from "./axis.ts";
import type { Glyphs, Paint } from "./glyphs.ts";

export type Look = {
  glyphs: Glyphs;
  paint: Paint;
  width: number;
  nameWidth: number;
  barWidth: number;
  axis: Axis;
};

/** Columns of a duration, the space before it included. */
export const durationWidth = 8;
