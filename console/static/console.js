// What makes pages handier where script runs: copy buttons, boxes that filter tables, confirmations that check what is
// typed before it is sent. Nothing needs it: each page works without.
"use strict";

// A button with data-copy="ID" copies the value of that field, and says so to everyone.
for (const button of document.querySelectorAll("button[data-copy]")) {
  const field = document.getElementById(button.dataset.copy);
  const words = [...button.childNodes];
  const said = document.createElement("span");
  said.className = "unseen";
  said.setAttribute("role", "status");
  button.after(said);
  let again;
  const tell = (text) => {
    button.replaceChildren(text);
    said.textContent = text;
    clearTimeout(again);
    again = setTimeout(() => {
      button.replaceChildren(...words);
      said.textContent = "";
    }, 2500);
  };
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(field.value);
      tell("Copied");
    } catch {
      // Without https, or without leave, there is no clipboard: what is selected can be copied by hand.
      field.focus();
      field.select();
      tell("Selected: copy it now");
    }
  });
  field.addEventListener("focus", () => field.select());
  button.hidden = false;
}

// A box with data-filter hides the rows of the next table that lack what is typed.
for (const box of document.querySelectorAll("[data-filter]")) {
  const rows = [...box.nextElementSibling.querySelectorAll("tbody tr")];
  const found = box.querySelector("[role=status]");
  box.querySelector("input").addEventListener("input", (event) => {
    const wanted = event.target.value.trim().toLowerCase();
    let shown = 0;
    for (const row of rows) {
      row.hidden = !row.textContent.toLowerCase().includes(wanted);
      shown += row.hidden ? 0 : 1;
    }
    found.textContent = wanted ? `${shown} of ${rows.length} rows of this page` : "";
  });
  box.hidden = rows.length < 2;
}

// A form with data-confirm is not sent before the name is typed; the server asks the same.
for (const form of document.querySelectorAll("form[data-confirm]")) {
  const field = form.querySelector("[name=confirmation]");
  const check = () => field.setCustomValidity(
    field.value === "" || field.value.trim() === form.dataset.confirm ? "" : `Type ${form.dataset.confirm} to confirm.`,
  );
  field.addEventListener("input", check);
  check();
}

// A page that shows a secret once takes the address of the page behind it, so that loading it again shows that one.
const once = document.querySelector("[data-address]");
if (once) {
  history.replaceState(null, "", once.dataset.address);
}
