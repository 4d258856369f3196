"""The page's own small script: names for what Gradio leaves nameless, explanations on hover and focus, the link.

It runs in the browser beside Gradio, mends from outside what no component option can, and asks no host for anything.
"""

from __future__ import annotations

WIPE_LABEL = "Left: softmax branch. Right: sigmoid branch. Drag the line, or move it with the slider below."
NAMES_JS = """
const bsigNamed = () => {
  // An empty plot is a plain box with a name, which only a box with a role may have.
  for (const box of document.querySelectorAll("div.empty[aria-label]:not([role])")) {
    box.setAttribute("role", "img");
    box.setAttribute("aria-label", "Nothing to show yet");
  }
  // A plot has no name of its own: the heading above it is one.
  for (const plot of document.querySelectorAll(".bsig-plot:not([role])")) {
    const column = plot.closest(".column");
    const heading = column && column.querySelector(".bsig-head, .bsig-section");
    plot.setAttribute("role", "figure");
    plot.setAttribute("aria-label", heading ? heading.innerText.replace(/\\s+/g, " ").trim() : "Plot");
  }
  // What scrolls sideways must be reached with the keys.
  for (const box of document.querySelectorAll(".bsig-scroll:not([tabindex])")) {
    if (!box.clientWidth || box.scrollWidth <= box.clientWidth) continue;
    box.setAttribute("tabindex", "0");
    box.setAttribute("role", "region");
    box.setAttribute("aria-label", "Table that scrolls sideways");
  }
  // Download buttons that the page presses by itself are nothing to stop at.
  for (const button of document.querySelectorAll(".bsig-offscreen:not([aria-hidden])")) {
    button.setAttribute("tabindex", "-1");
    button.setAttribute("aria-hidden", "true");
  }
  // Gradio's wipe follows a pointer alone; its label names both pictures and the slider that moves it without one.
  for (const wipe of document.querySelectorAll("#wipe:not([role])")) {
    wipe.setAttribute("role", "group");
    wipe.setAttribute("aria-label", "WIPE_LABEL");
  }
  // A picture to choose is called what stands below it, not "Thumbnail 3 of 13".
  for (const picture of document.querySelectorAll("button.thumbnail-item")) {
    const words = picture.innerText.replace(/\\s+/g, " ").trim();
    if (words && picture.getAttribute("aria-label") !== words) picture.setAttribute("aria-label", words);
  }
  // Pressed by the script alone.
  for (const unseen of document.querySelectorAll(".bsig-offscreen:not([aria-hidden])")) {
    unseen.setAttribute("aria-hidden", "true");
    for (const one of [unseen, ...unseen.querySelectorAll("a, button")]) one.setAttribute("tabindex", "-1");
  }
  // Where the skip link leads.
  const tabs = document.querySelector("#tabs:not([tabindex])");
  if (tabs) tabs.setAttribute("tabindex", "-1");
};
""".replace("WIPE_LABEL", WIPE_LABEL)

# One box for all explanations, over everything: inside a table that scrolls it would be cut off.
TERMS_JS = """
const bsigTip = () => {
  let tip = document.querySelector("#bsig-tip");
  if (!tip) {
    tip = document.createElement("div");
    tip.id = "bsig-tip";
    tip.setAttribute("role", "tooltip");
    tip.hidden = true;
    document.body.append(tip);
    tip.addEventListener("mouseleave", () => { tip.hidden = true; });
  }
  return tip;
};
let bsigWord = null;
const bsigPlace = () => {
  const tip = bsigTip(), at = bsigWord.getBoundingClientRect(), box = tip.getBoundingClientRect();
  tip.style.left = Math.max(8, Math.min(at.left, innerWidth - box.width - 8)) + "px";
  const below = at.bottom + 4;
  tip.style.top = (below + box.height > innerHeight ? Math.max(8, at.top - box.height - 4) : below) + "px";
};
const bsigExplain = (word) => {
  const told = document.getElementById(word.getAttribute("aria-describedby"));
  if (!told) return;
  const tip = bsigTip();
  tip.textContent = told.textContent;
  tip.hidden = false;
  bsigWord = word;
  bsigPlace();
};
const bsigHide = (event) => {
  if (event.relatedTarget && event.relatedTarget.id === "bsig-tip") return;  // one may point at the explanation
  bsigTip().hidden = true;
};
for (const [kind, act] of [["mouseover", bsigExplain], ["focusin", bsigExplain], ["click", bsigExplain]])
  document.addEventListener(kind, (event) => {
    const word = event.target.closest && event.target.closest(".bsig-term");
    if (word) act(word);
  });
for (const kind of ["mouseout", "focusout"])
  document.addEventListener(kind, (event) => {
    if (event.target.closest && event.target.closest(".bsig-term")) bsigHide(event);
  });
document.addEventListener("keydown", (event) => { if (event.key === "Escape") bsigTip().hidden = true; });
// A word that gets the focus is scrolled to: its explanation goes with it until the word has left the window.
addEventListener("scroll", () => {
  if (bsigTip().hidden) return;
  const at = bsigWord.getBoundingClientRect();
  if (at.bottom < 0 || at.top > innerHeight) bsigTip().hidden = true;
  else bsigPlace();
}, true);
"""

WATCH_JS = """
let bsigDue = false;
new MutationObserver(() => {
  if (bsigDue) return;
  bsigDue = true;
  requestAnimationFrame(() => { bsigDue = false; bsigNamed(); });
}).observe(document.documentElement, { childList: true, subtree: true, characterData: true });
addEventListener("resize", bsigNamed);
"""

HEAD = f"<script>(() => {{{NAMES_JS}{TERMS_JS}{WATCH_JS}}})();</script>"

A11Y_CSS = """
.bsig-sr { position: absolute !important; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%);
  white-space: nowrap; }
/* Above the bars, on the page's own ground; elsewhere numbers stand in the bars. */
#plot-shared .bartext { fill: var(--body-text-color) !important; }
#shift-cell, #shift-cell > .form { flex-direction: column !important; }
.bsig-skip { position: absolute; left: -9999px; }
.bsig-skip:focus { position: static; }
.bsig-term { all: unset; cursor: help; text-decoration: underline dotted; text-underline-offset: .18em;
  text-decoration-thickness: 1px; }
.bsig-term:focus-visible { outline: 3px solid var(--primary-500) !important; outline-offset: 2px; }
#bsig-tip { position: fixed; z-index: 10000; max-width: min(26rem, calc(100vw - 16px)); padding: .5rem .7rem;
  border-radius: 6px; font-size: .9rem; line-height: 1.4; background: #1b1f24; color: #f2f4f7;
  border: 1px solid #57606a; white-space: normal; font-weight: 400; }
#bsig-tip[hidden] { display: none; }
#link-bar { align-items: center; gap: .6rem; min-height: 0; }
#link-bar .html-container, #link-notes .html-container { padding: 0 !important; }
#link-notes:not(:has(.bsig-finding)) { display: none; }
#glossary summary { cursor: pointer; font-weight: 650; color: var(--body-text-color); }
#glossary dl { columns: 2 22rem; column-gap: 2rem; margin: .5rem 0; font-size: .92rem; line-height: 1.45; }
#glossary dl > div { break-inside: avoid; margin-bottom: .5rem; }
#glossary dt { font-weight: 650; color: var(--body-text-color); }
#glossary dd { margin: 0; color: var(--body-text-color-subdued); }
@media (prefers-reduced-motion: reduce) { *, *::before, *::after { animation: none !important;
  transition: none !important; scroll-behavior: auto !important; } }
"""
