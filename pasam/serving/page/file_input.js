// The ways in for a file: chosen, dropped anywhere, or pasted; one at a time, and the rest is said.

export function listenForFiles(input, onFile, onMore) {
  const take = async (files) => {
    const [first, ...rest] = files;
    if (first) await onFile(first);
    const left = `${rest.length} more ${rest.length > 1 ? "were" : "was"} left out`;
    if (rest.length) onMore(`One image at a time: ${first.name} is open, ${left}.`);
  };
  const { classList } = document.body;
  input.addEventListener("change", () => {
    take([...input.files]);
    input.value = ""; // so that the same file can be chosen again
  });
  document.addEventListener("paste", (event) => take([...event.clipboardData.files]));
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    classList.add("dropping");
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) classList.remove("dropping");
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    classList.remove("dropping");
    take([...event.dataTransfer.files]);
  });
}
