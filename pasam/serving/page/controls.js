// The controls beside the image: models, examples, results and messages.

import {
  aboutOf, benchmarksOf, milliseconds, scoresNote, share, titleOf, variableOf, whole,
} from "./format.js";

export const byId = (id) => document.getElementById(id);

export function element(tag, fields = {}, ...children) {
  const made = Object.assign(document.createElement(tag), fields);
  made.append(...children);
  return made;
}

export function showModels(models, chosen, onChoose) {
  const rows = models.map((model) => {
    const input = element("input", { type: "radio", name: "model", value: model.name });
    input.checked = model.name === chosen.name;
    input.addEventListener("change", () => onChoose(model));
    const dot = element("i");
    dot.style.setProperty("--c", `var(${variableOf(model)})`);
    const score = model.scores?.mean?.mbiou?.toFixed(1) ?? "";
    return element("label", { className: "model" }, input,
      element("b", {}, dot, titleOf(model)),
      element("span", { className: "score", textContent: score, title: benchmarksOf(model) }),
      element("small", { textContent: aboutOf(model) }));
  });
  byId("models").replaceChildren(...rows);
  byId("scores-note").textContent = scoresNote(models);
  byId("scores-note").hidden = !scoresNote(models);
}

export function showCompare(models, chosen, compared) {
  const options = models.filter((model) => model.name !== chosen.name)
    .map((model) => new Option(titleOf(model), model.name, false, model.name === compared?.name));
  byId("compare").replaceChildren(new Option("nothing", "", false, !compared), ...options);
  byId("compare-line").hidden = models.length < 2;
}

export function showTags(chosen, compared) {
  for (const [id, model] of [["tag-left", compared], ["tag-right", chosen]]) {
    const tag = byId(id);
    tag.hidden = !model;
    if (!model) continue;
    tag.textContent = titleOf(model);
    tag.style.setProperty("--c", `var(${variableOf(model)})`);
  }
  byId("split-row").hidden = !compared;
}

export function showExamples(examples, onChoose) {
  const items = examples.map((example) => {
    const image = element("img", { src: example.url, alt: "", loading: "lazy" });
    const button = element("button", { type: "button", title: example.title }, image);
    button.setAttribute("aria-label", `Example: ${example.title}`);
    button.setAttribute("aria-pressed", "false");
    button.addEventListener("click", () => onChoose(example));
    return element("li", {}, button);
  });
  byId("examples").replaceChildren(...items);
}

export function pressExample(title) {
  for (const each of document.querySelectorAll("#examples button")) {
    each.setAttribute("aria-pressed", String(each.title === title));
  }
}

// Rows of a name and one or two values.
export function showFacts(rows) {
  byId("facts").replaceChildren(...rows.map(([name, ...values]) =>
    element("div", {}, element("dt", { textContent: name }),
      ...values.map((value) => element("dd", { textContent: value })))));
}

// The measures of each model's answer, and how long each step took.
export function factsOf(answers, embedded) {
  const rows = answers.map(({ model, answer, mask, took }) => {
    const spent = milliseconds(answer.milliseconds.predict);
    return [titleOf(model), `${whole(mask.area)} px, ${share(mask)}`, `${spent}, shown after ${milliseconds(took)}`];
  });
  if (embedded) rows.push(["Image embedding", milliseconds(embedded)]);
  return rows;
}

// Turn a control off for a reason, which it then tells; or on, with what it does.
export function turn(id, reason, does = "") {
  const control = byId(id);
  control.disabled = Boolean(reason);
  (control.closest(".check") ?? control).title = reason || does;
}

export function say(text) {
  byId("status").textContent = text;
}

export function complain(text) {
  byId("fault").hidden = !text;
  byId("fault").textContent = text ?? "";
}

export function busy(isBusy) {
  byId("frame").setAttribute("aria-busy", String(isBusy));
}

// How far the search for everything is; null when there is none, and the button begins one.
export function showSearch(fraction) {
  const [button, bar] = [byId("everything"), byId("searched")];
  const searches = fraction !== null;
  button.textContent = searches ? "Stop" : "Segment everything";
  button.classList.toggle("stops", searches);
  bar.hidden = !searches;
  bar.value = fraction ?? 0;
  if (searches) hint(fraction < 1 ? `Segmenting everything: ${Math.round(100 * fraction)} %` : "Refining what was found");
}

export function hint(text) {
  byId("hint").hidden = !text;
  byId("hint").textContent = text ?? "";
}
