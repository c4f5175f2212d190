"use strict";
(() => {
  // What a mark stands for, beside the pointer; the same words are in its <title>.
  const tip = document.createElement("div");
  tip.id = "tip";
  tip.hidden = true;
  document.body.append(tip);
  for (const mark of document.querySelectorAll("[data-tip]")) {
    mark.querySelector("title")?.remove();
    mark.setAttribute("aria-label", mark.dataset.tip);
    mark.addEventListener("pointermove", (event) => {
      tip.textContent = mark.dataset.tip;
      tip.hidden = false;
      const right = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8);
      const below = event.clientY + 18;
      const fits = below + tip.offsetHeight < innerHeight;
      tip.style.left = `${Math.max(right, 8)}px`;
      tip.style.top = `${fits ? below : event.clientY - tip.offsetHeight - 12}px`;
    });
    mark.addEventListener("pointerleave", () => { tip.hidden = true; });
  }

  // A button a chip shows or hides its lines in both views.
  for (const group of document.querySelectorAll(".switches")) {
    group.hidden = false;
  }
  for (const button of document.querySelectorAll("[data-switch]")) {
    button.addEventListener("click", () => {
      const shown = button.getAttribute("aria-pressed") !== "true";
      button.setAttribute("aria-pressed", String(shown));
      for (const line of document.querySelectorAll("[data-chip]")) {
        if (line.dataset.chip === button.dataset.switch) {
          line.style.display = shown ? "" : "none";
        }
      }
    });
  }

  // Paper has no way to open what is folded.
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open])")];
    for (const each of opened) { each.open = true; }
  });
  addEventListener("afterprint", () => {
    for (const each of opened) { each.open = false; }
  });
})();
