// Copies the text of a button, such as a command, to the clipboard.

const MS_SHOWN = 2000; // milliseconds for which a button says that its text was copied

async function copy(text) {
  // It needs a secure origin, which a site in an internal network may not have, and the permission.
  if (navigator.clipboard && window.isSecureContext) {
    try {
      return await navigator.clipboard.writeText(text);
    } catch {
      // The older way below often still works.
    }
  }
  const field = document.createElement("textarea");
  field.value = text;
  field.className = "sisy-unseen";
  document.querySelector(".sisy").append(field);
  field.select();
  const isCopied = document.execCommand("copy");
  field.remove();
  if (!isCopied) throw new Error("not copied");
}

document.addEventListener("click", async ({ target }) => {
  const button = target.closest?.("[data-sisy-copy]");
  if (!button || button.dataset.words) return;
  try {
    await copy(button.dataset.sisyCopy);
  } catch {
    // Select the text, so that the reader can copy it.
    getSelection().selectAllChildren(button.parentElement.querySelector("code"));
    return;
  }
  const words = (button.dataset.words = button.textContent);
  button.focus();
  button.textContent = button.dataset.copied;
  setTimeout(() => {
    button.textContent = words;
    delete button.dataset.words;
  }, MS_SHOWN);
});
