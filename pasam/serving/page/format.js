// Names, numbers and colours as people read them.

const NAMES = {
  sam: "SAM", hq_sam: "HQ-SAM", pa_sam: "PA-SAM", pa_sam_plus: "PA-SAM+", champion: "Champion",
  packaged: "PA-SAM+ (packaged)", "packaged/pa_sam_plus": "PA-SAM+ (packaged)",
  "packaged/pa_sam": "PA-SAM (packaged)", "packaged/hq_sam": "HQ-SAM (packaged)",
  "packaged/sam": "SAM (packaged)", head_only: "Mask head alone",
  hq_sam_effective: "HQ-SAM (PA-SAM's prompts)",
};
const KNOWN = ["sam", "hq_sam", "pa_sam"];

// Colours of objects; after the last one they come again.
const OBJECTS = ["#56B4E9", "#E69F00", "#009E73", "#CC79A7", "#F0E442", "#D55E00", "#0072B2"];

export const objectColour = (place) => OBJECTS[place % OBJECTS.length];

export const share = (mask) => `${((100 * mask.area) / (mask.width * mask.height)).toFixed(1)} %`;

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

// A line about a model: what it is, and which bytes.
export function aboutOf(model) {
  const scores = `, ${model.trained_on}${model.scores?.mean ? "" : ", no benchmark scores"}`;
  if (model.kind === model.name) return `weights ${model.version}${scores}`;
  const what = model.kind.replace(/^(\w+) \((.*)\)$/, (_, kind, which) => `${NAMES[kind] ?? kind} ${which}`);
  return `${what}, ${model.version}${scores}`;
}

// A line for each benchmark, and for their mean.
export function benchmarksOf(model) {
  return Object.entries(model.scores ?? {}).map(([name, { miou, mbiou }]) => {
    const overlap = miou === undefined ? "" : `mIoU ${miou.toFixed(1)}, `;
    return `${name}: ${overlap}mBIoU ${mbiou.toFixed(1)}`;
  }).join("\n");
}

// Where the scores come from.
export function scoresNote(models) {
  const scored = models.find((model) => model.scores?.mean);
  if (!scored) return "";
  const others = scored.scored_on.includes("synthetic images") ? " On photographs the order may be another." : "";
  return `On the right: mean boundary IoU in per cent, on ${scored.scored_on}.${others}`;
}
