// The ways in for files: chosen, dropped anywhere, or pasted.

export function listenForFiles(input, onFiles) {
  const take = (files) => { if (files.length) onFiles(files); };
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
