// The service's addresses; every failure is an Error that says what the service said.

const KEY = "pasam-token";
const TRIES = 4;

export class Refused extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

const pause = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000));

async function call(path, { form, signal, read = (response) => response.json() } = {}, tries = TRIES) {
  const token = sessionStorage.getItem(KEY);
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  let response;
  try {
    response = await fetch(path, { method: form ? "POST" : "GET", body: form, headers, signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused("The service does not answer. Is it still running?", 0);
  }
  if (response.ok) return read(response);
  if (response.status === 401) {
    await askForToken(token);
    return call(path, { form, signal, read }, tries);
  }
  if (response.status === 429 && tries > 1) {
    await pause(Number(response.headers.get("Retry-After")) || 1);
    return call(path, { form, signal, read }, tries - 1);
  }
  const said = await response.json().catch(() => ({}));
  throw new Refused(said.error || `The service answered ${response.status}.`, response.status);
}

// An answer that comes in lines of JSON: progress, and last the answer itself or an error.
async function lastLine(response, onProgress) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let [text, last] = ["", null];
  for (;;) {
    const { value, done } = await reader.read();
    if (done) break;
    const lines = (text + value).split("\n");
    text = lines.pop();
    for (const said of lines.map((line) => JSON.parse(line))) {
      if ("progress" in said) onProgress(said.progress);
      else last = said;
    }
  }
  if (!last || last.error) throw new Refused(last?.error ?? "The service broke the search off.", 0);
  return last;
}

let client = null;

// Ask for a token; say so where one was given that does not fit.
function askForToken(wrong) {
  const door = document.getElementById("door");
  const field = document.getElementById("token");
  document.getElementById("wrong").hidden = !wrong;
  field.value = "";
  client ??= new Promise((done) => {
    door.addEventListener("close", () => {
      sessionStorage.setItem(KEY, field.value.trim());
      client = null;
      done();
    }, { once: true });
    door.showModal();
  });
  return client;
}

function formOf(fields) {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) {
    if (value !== undefined && value !== null) form.append(name, value);
  }
  return form;
}

export const models = () => call("/models");
export const examples = () => call("/examples");
export const embed = (blob, model, signal) =>
  call("/embed", { form: formOf({ image: blob, model }), signal });
export const predict = (fields, prompt, signal) =>
  call("/predict", { form: formOf({ ...fields, prompts: JSON.stringify([prompt]) }), signal });
export const annotations = (images, format) =>
  call("/annotations", { form: formOf({ images: JSON.stringify(images), format }) });
export const feedback = (fields) => call("/feedback", { form: formOf(fields) });
export const everything = (fields, { signal, onProgress }) => call("/everything", {
  form: formOf({ ...fields, progress: true }), signal, read: (response) => lastLine(response, onProgress),
});
