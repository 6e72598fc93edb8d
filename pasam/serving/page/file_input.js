// The ways in for a file: chosen, dropped anywhere, or pasted.

export function listenForFiles(input, onFile) {
  const take = (files) => { if (files[0]) onFile(files[0]); };
  const { classList } = document.body;
  input.addEventListener("change", () => take(input.files));
  document.addEventListener("paste", (event) => take(event.clipboardData.files));
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
    take(event.dataTransfer.files);
  });
}
