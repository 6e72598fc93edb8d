// Names, numbers and colours as people read them.

const NAMES = { sam: "SAM", hq_sam: "HQ-SAM", pa_sam: "PA-SAM", champion: "Champion" };
const KNOWN = ["sam", "hq_sam", "pa_sam"];

export const titleOf = (model) => NAMES[model.name] ?? model.name.split("/").pop();

export const milliseconds = (value) =>
  value < 1000 ? `${Math.round(value)} ms` : `${(value / 1000).toFixed(1)} s`;

export const whole = (value) => value.toLocaleString("en").replaceAll(",", "\u202f");

// The property of style.css that holds a model's colour.
export function variableOf(model) {
  const kind = KNOWN.find((name) => model.kind === name || model.kind.startsWith(`${name} `));
  return `--model-${(kind ?? "other").replace("_", "-")}`;
}

export const colourOf = (model) =>
  getComputedStyle(document.documentElement).getPropertyValue(variableOf(model)).trim();

export const promptColours = () => {
  const style = getComputedStyle(document.documentElement);
  const [of, to, box] = ["--in", "--out", "--box"].map((name) => style.getPropertyValue(name).trim());
  return { in: of, out: to, box };
};

// A line about a model: its version, and the mean of its benchmarks.
export function aboutOf(model) {
  const what = model.kind === model.name ? "" : `${model.kind}, `;
  const scores = model.scores?.mean;
  const mean = scores
    ? `mIoU ${scores.miou.toFixed(1)}, mBIoU ${scores.mbiou.toFixed(1)}`
    : "no benchmark scores";
  return `${what}version ${model.version}; ${mean}`;
}

// Where the scores come from.
export function scoresNote(models) {
  const scored = models.find((model) => model.scores?.mean);
  if (!scored) return "";
  const count = Object.keys(scored.scores).length - 1;
  const which = scored.small ? "generated benchmarks" : "benchmarks";
  return `Scores: mean of ${count} ${which} in the last report; on the right mBIoU.`;
}
