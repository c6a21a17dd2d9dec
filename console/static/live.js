// The live view: rows that the server sends are put on top of their tables. While nobody looks at the page it is not
// connected, and a browser that connects again is told what it has missed.
"use strict";

const LONGEST = 200;

for (const view of document.querySelectorAll("[data-live]")) {
  const state = view.querySelector("[data-live-state]");
  const pause = view.querySelector("[data-live-pause]");
  let source = null;
  let paused = false;
  let count = 0;

  const say = (text) => {
    if (state.textContent !== text) state.textContent = text;
  };

  const put = (kind, html) => {
    const template = document.createElement("template");
    template.innerHTML = html;
    const row = template.content.firstElementChild;
    if (row === null || document.getElementById(row.id) !== null) return;
    const body = document.getElementById(`live-${kind}`).tBodies[0];
    for (const none of body.querySelectorAll("[data-none]")) none.remove();
    body.prepend(row);
    while (body.rows.length > LONGEST) body.lastElementChild.remove();
    count += 1;
    say(`Live. ${count} new since you opened the page.`);
  };

  const close = () => {
    if (source !== null) source.close();
    source = null;
  };

  const open = () => {
    close();
    if (paused || document.hidden) return;
    source = new EventSource(view.dataset.live);
    source.addEventListener("open", () => say(count === 0 ? "Live. Nothing new yet." : `Live. ${count} new since you opened the page.`));
    source.addEventListener("request", (event) => put("request", event.data));
    source.addEventListener("effect", (event) => put("effect", event.data));
    source.addEventListener("error", () => {
      // Closed for good: signed out, or too many views. Else the browser connects again by itself.
      if (source !== null && source.readyState === EventSource.CLOSED) say("Not live any more. Reload the page.");
    });
  };

  pause.addEventListener("click", () => {
    paused = !paused;
    pause.textContent = paused ? "Go on" : "Pause";
    if (paused) {
      close();
      say("Paused.");
    } else {
      open();
    }
  });
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  pause.hidden = false;
  open();
}
