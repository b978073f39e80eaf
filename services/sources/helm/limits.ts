/** How much of a stranger's repository or chart is looked at before it is refused. */
export type Limits = {
  /** An index as it is sent. Flux's --helm-index-max-size. */
  indexBytes: number;
  /** A package as it is sent. Flux's --helm-chart-max-size. */
  chartBytes: number;
  /** One file of a chart. Flux's --helm-chart-file-max-size. */
  fileBytes: number;
  /** All files of a chart. Helm's own bound. */
  unpackedBytes: number;
  entries: number;
  pathBytes: number;
  /** What a chart may want fetched beside it. */
  dependencies: number;
};

const mebi = 2 ** 20;

export const defaultLimits: Limits = {
  indexBytes: 50 * mebi,
  chartBytes: 10 * mebi,
  fileBytes: 5 * mebi,
  unpackedBytes: 100 * mebi,
  entries: 20_000,
  pathBytes: 1024,
  dependencies: 100,
};
