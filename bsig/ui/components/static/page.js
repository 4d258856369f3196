/* The page's own script. It runs in the browser beside Gradio, mends from outside what no component option can, and
   asks no host for anything. Nine parts: names for what Gradio leaves nameless, errors beside their input, explanations
   on hover and focus, cells of the maps, heatmaps that are dragged, dropdowns that close, long jobs,
   the browser's history, and `bsig`, whose functions the page's events call. */
(() => {
  // --- names ---------------------------------------------------------------------------------------------------------

  const named = () => {
    // An empty plot is a plain box with a name, which only a box with a role may have.
    for (const box of document.querySelectorAll("div.empty[aria-label]:not([role])")) {
      box.setAttribute("role", "img");
      box.setAttribute("aria-label", "Nothing to show yet");
    }
    // A plot has no name of its own: the heading above it is one.
    for (const plot of document.querySelectorAll(".bsig-plot:not([role])")) {
      const parts = [plot.closest(".column"), plot.closest(".bsig-figure")];
      const heading = parts.map((part) => part?.querySelector(".bsig-head, .bsig-section")).find(Boolean);
      plot.setAttribute("role", "figure");
      plot.setAttribute("aria-label", heading ? heading.innerText.replace(/\s+/g, " ").trim() : "Plot");
    }
    // What scrolls sideways must be reached with the keys.
    for (const box of document.querySelectorAll(".bsig-scroll:not([tabindex])")) {
      if (!box.clientWidth || box.scrollWidth <= box.clientWidth) continue;
      box.setAttribute("tabindex", "0");
      box.setAttribute("role", "region");
      box.setAttribute("aria-label", "Table that scrolls sideways");
    }
    // Gradio's wipe follows a pointer alone; its label names both pictures and the slider that moves it without one.
    for (const wipe of document.querySelectorAll("#wipe:not([role])")) {
      wipe.setAttribute("role", "group");
      wipe.setAttribute("aria-label", "Left: softmax branch. Right: sigmoid branch. Drag the line, or move it with " +
        "the slider below.");
    }
    // A picture to choose is called what stands below it, not "Thumbnail 3 of 13".
    for (const picture of document.querySelectorAll("button.thumbnail-item")) {
      const words = picture.innerText.replace(/\s+/g, " ").trim();
      if (words && picture.getAttribute("aria-label") !== words) picture.setAttribute("aria-label", words);
    }
    // Download buttons that the page presses by itself are nothing to stop at.
    for (const unseen of document.querySelectorAll(".bsig-offscreen:not([aria-hidden])")) {
      unseen.setAttribute("aria-hidden", "true");
      for (const part of [unseen, ...unseen.querySelectorAll("a, button")]) part.setAttribute("tabindex", "-1");
    }
    // The arrow keys read a map cell by cell.
    for (const id of Object.keys(MAPS)) {
      const frame = document.querySelector(`#${id} img`)?.parentElement;
      if (!frame || frame.classList.contains("bsig-cells")) continue;
      frame.classList.add("bsig-cells");
      frame.setAttribute("tabindex", "0");
      frame.setAttribute("role", "group");
      frame.setAttribute("aria-label", "Map: the arrow keys read its cells");
    }
    drawDrags();
    // A list that scrolls is a stop for Tab by itself, and is gone by the time that the focus gets there.
    for (const list of document.querySelectorAll("ul[role=listbox]:not([tabindex])")) {
      list.setAttribute("tabindex", "-1");
      list.parentElement.setAttribute("tabindex", "-1");
    }
    // Where the skip link leads.
    const tabs = document.querySelector("#tabs:not([tabindex])");
    if (tabs) tabs.setAttribute("tabindex", "-1");
  };

  let isDue = false;
  new MutationObserver(() => {
    if (isDue) return;
    isDue = true;
    // Not at every frame: a long job changes the page all the time, and reading names lays the page out anew.
    setTimeout(() => { isDue = false; errors(); requestAnimationFrame(named); }, 100);
  }).observe(document.documentElement, { childList: true, subtree: true, characterData: true });
  addEventListener("resize", named);

  // --- errors --------------------------------------------------------------------------------------------------------

  // Gradio says an error in a corner of the window and puts a pill over every output. Here its sentence stands once,
  // below the input that was used last; the style sheet hides the pills and the answers that are out of date.
  let lastUsed = null;
  const problemsOf = (part) => part.closest(".tabitem").querySelectorAll(".bsig-problem[data-of]");
  const noteUse = (event) => {
    if (event.type === "click" && !event.isTrusted) return;  // the page pressed it
    const part = event.target.closest && event.target.closest(".tabitem .block, .tabitem button");
    if (!part) return;
    lastUsed = part.closest(".block") || part;
    for (const problem of problemsOf(part)) problem.remove();
  };
  for (const kind of ["input", "change", "click", "drop"]) document.addEventListener(kind, noteUse, true);
  const errors = () => {
    for (const toast of document.querySelectorAll(".toast-body.error")) {
      const texts = toast.querySelectorAll(".toast-message-text");
      // Whoever has gone to another screen still has to see it: there it stays in the corner.
      if (!texts.length || !lastUsed || !lastUsed.isConnected || !lastUsed.offsetParent) continue;
      let place = lastUsed;
      while (!place.parentElement.matches(".column, .tabitem")) place = place.parentElement;
      for (const old of problemsOf(lastUsed)) old.remove();
      const problem = document.createElement("p");
      problem.className = "bsig-problem";
      problem.dataset.of = lastUsed.id;
      problem.setAttribute("role", "alert");
      const words = texts[texts.length - 1].innerText;
      problem.textContent = words.charAt(0).toUpperCase() + words.slice(1);
      place.after(problem);
      problem.scrollIntoView({ block: "nearest" });
      toast.querySelector(".toast-close").click();
    }
  };

  // --- explanations --------------------------------------------------------------------------------------------------

  // One box for all explanations, over everything: inside a table that scrolls it would be cut off.
  const explanation = () => {
    let box = document.querySelector("#bsig-tip");
    if (!box) {
      box = document.createElement("div");
      box.id = "bsig-tip";
      box.setAttribute("role", "tooltip");
      box.hidden = true;
      document.body.append(box);
      box.addEventListener("mouseleave", () => { box.hidden = true; });
    }
    return box;
  };
  let word = null;
  const place = () => {
    const box = explanation(), at = word.getBoundingClientRect(), size = box.getBoundingClientRect();
    box.style.left = Math.max(8, Math.min(at.left, innerWidth - size.width - 8)) + "px";
    const below = at.bottom + 4;
    box.style.top = (below + size.height > innerHeight ? Math.max(8, at.top - size.height - 4) : below) + "px";
  };
  const explain = (term) => {
    const meaning = document.getElementById(term.getAttribute("aria-describedby"));
    if (!meaning) return;
    const box = explanation();
    box.textContent = meaning.textContent;
    box.hidden = false;
    word = term;
    place();
  };
  const termOf = (event) => event.target.closest && event.target.closest(".bsig-term");
  for (const kind of ["mouseover", "focusin", "click"])
    document.addEventListener(kind, (event) => {
      const term = termOf(event);
      if (term) explain(term);
    });
  for (const kind of ["mouseout", "focusout"])
    document.addEventListener(kind, (event) => {
      // The pointer may go from the word to its explanation.
      const next = event.relatedTarget;
      if (termOf(event) && !(next && next.id === "bsig-tip")) explanation().hidden = true;
    });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") explanation().hidden = true; });
  // A word that gets the focus is scrolled to: its explanation goes with it until the word has left the window.
  addEventListener("scroll", () => {
    if (explanation().hidden) return;
    const at = word.getBoundingClientRect();
    if (at.bottom < 0 || at.top > innerHeight) explanation().hidden = true;
    else place();
  }, true);

  // --- cells of the maps ---------------------------------------------------------------------------------------------

  // A pointer, a tap or the arrow keys choose a cell; it is outlined in both maps of its row, and a box says what each
  // branch makes of it. All numbers came with the maps (#cells), so nothing is asked of the server.
  const MAPS = {};
  ["map", "contrast", "more-1", "more-2"].forEach((row, place) => {
    for (const branch of ["softmax", "sigmoid"]) MAPS[`${row}-${branch}`] = place;
  });
  let cellsText = "", cells = null, cell = null;
  const cellData = () => {
    const source = document.querySelector("#cells script");
    const text = source ? source.textContent : "";
    if (text !== cellsText) [cellsText, cells] = [text, text ? JSON.parse(text) : null];
    return cells;
  };
  const mapOf = (target) => {
    const block = target.closest && target.closest(".bsig-map");
    const image = block && block.id in MAPS && block.querySelector("img");
    return image && cellData() && cells.rows[MAPS[block.id]] ? { block, image, row: MAPS[block.id] } : null;
  };
  const cellBox = () => {
    let box = document.querySelector("#bsig-cell-words");
    if (!box) {
      box = document.createElement("div");
      box.id = "bsig-cell-words";
      box.setAttribute("role", "status");
      box.hidden = true;
      document.body.append(box);
    }
    return box;
  };
  const signed = (value) => (value < 0 ? "−" : "+") + Math.abs(value).toFixed(2);
  const line = (box, words, strong) => {
    const part = document.createElement(strong ? "b" : "div");
    part.textContent = words;
    box.append(part);
  };
  const hideCell = () => {
    for (const mark of document.querySelectorAll(".bsig-cell")) mark.remove();
    cellBox().hidden = true;
    cell = null;
  };
  const showCell = (row, y, x, at) => {
    const of = cells.rows[row], height = of.softmax.length, width = of.softmax[0].length;
    for (const mark of document.querySelectorAll(".bsig-cell")) mark.remove();
    for (const [id, ofRow] of Object.entries(MAPS)) {
      const image = ofRow === row && document.querySelector(`#${id} img`);
      if (!image) continue;
      const frame = image.parentElement, mark = document.createElement("i");
      frame.style.position = "relative";
      mark.className = "bsig-cell";
      mark.style.left = image.offsetLeft + x * image.clientWidth / width + "px";
      mark.style.top = image.offsetTop + y * image.clientHeight / height + "px";
      mark.style.width = image.clientWidth / width + "px";
      mark.style.height = image.clientHeight / height + "px";
      frame.append(mark);
    }
    const box = cellBox();
    box.replaceChildren();
    line(box, `${of.name}, row ${y + 1}, column ${x + 1}`, true);
    const both = (values) => `softmax ${signed(values.softmax[y][x])}, sigmoid ${signed(values.sigmoid[y][x])}`;
    if (of.logits) line(box, `Logits of this cell: ${both(of.logits)}`);
    line(box, `On the maps: ${both(of)}${of.reading && ` (${of.reading})`}`);
    if (of.alone) line(box, `If all of the picture looked like this cell, softmax would give it ${
      (100 * of.alone[y][x]).toFixed(1)} %.`);
    if (cells.names) {
      line(box, "Loudest here, softmax: " + cells.softmax[y][x].map((index) => cells.names[index]).join("; "));
      line(box, "Loudest here, sigmoid: " + cells.sigmoid[y][x].map((index) => cells.names[index]).join("; "));
    }
    box.hidden = false;
    cell = { row, y, x };
    const mark = at.querySelector(".bsig-cell").getBoundingClientRect(), size = box.getBoundingClientRect();
    box.style.left = Math.max(8, Math.min(mark.left, innerWidth - size.width - 8)) + "px";
    const below = mark.bottom + 8;
    box.style.top = (below + size.height > innerHeight ? Math.max(8, mark.top - size.height - 8) : below) + "px";
  };
  const pointAt = (event) => {
    const map = mapOf(event.target);
    if (!map) { if (cell && event.type === "pointermove") hideCell(); return; }
    const at = map.image.getBoundingClientRect(), of = cells.rows[map.row];
    const x = Math.floor((event.clientX - at.left) / at.width * of.softmax[0].length);
    const y = Math.floor((event.clientY - at.top) / at.height * of.softmax.length);
    if (y < 0 || x < 0 || y >= of.softmax.length || x >= of.softmax[0].length) return hideCell();
    if (cell && cell.row === map.row && cell.y === y && cell.x === x && event.type === "pointermove") return;
    showCell(map.row, y, x, map.block);
  };
  document.addEventListener("pointermove", pointAt);
  document.addEventListener("click", pointAt);
  addEventListener("scroll", () => { if (cell) hideCell(); }, true);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && cell) return hideCell();
    const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    const map = step && event.target.classList.contains("bsig-cells") && mapOf(event.target);
    if (!map) return;
    event.preventDefault();
    const of = cells.rows[map.row], last = [of.softmax.length - 1, of.softmax[0].length - 1];
    const from = cell && cell.row === map.row ? [cell.y, cell.x] : [(last[0] >> 1) - step[0], (last[1] >> 1) - step[1]];
    const [y, x] = from.map((value, axis) => Math.max(0, Math.min(last[axis], value + step[axis])));
    showCell(map.row, y, x, map.block);
  });
  document.addEventListener("focusout", (event) => {
    if (event.target.classList.contains("bsig-cells")) hideCell();
  });

  // --- heatmaps that are dragged -------------------------------------------------------------------------------------

  // A block holds the map of a class and what moves it (`ui/components/drag.py`). The formulas are those of
  // `explain/diagnostics/map_drag.py`, the pixels those of `explain/drawing/heatmaps.py`; the server is asked nothing
  // until the heatmap has come to rest.
  const AT_REST_MS = 200;
  const drags = new WeakMap();  // block -> its numbers, the photo's pixels, the map that is drawn, where it was dragged
  const sum = (values) => values.reduce((total, value) => total + value, 0);
  const paintedMap = ({ grid: [rows, columns], own, basis, width }, [row, column]) => {
    const low = Math.min(...own), range = Math.max(...own) - low || 1;
    const change = own.map((value, cell) => {
      const down = Math.floor(cell / columns) - row, right = cell % columns - column;
      return low + range * Math.exp(-(down * down + right * right) / (2 * width * width)) - value;
    });
    if (!basis) return own.map((value, cell) => value + change[cell]);
    const rank = basis.length / own.length, along = new Array(rank).fill(0);
    change.forEach((value, cell) => {
      for (let direction = 0; direction < rank; direction++) along[direction] += value * basis[cell * rank + direction];
    });
    return own.map((value, cell) =>
      along.reduce((total, size, direction) => total + size * basis[cell * rank + direction], value));
  };
  const probabilitiesOf = ({ branch, own, logits, others, offset, temperature }, map) => {
    const shift = (sum(map) - sum(own)) / own.length, moved = logits.map((logit) => logit + shift);
    if (branch === "sigmoid") return moved.map((logit) => 1 / (1 + Math.exp((offset - logit) / temperature)));
    const all = others === null ? moved : [...moved, others + shift], largest = Math.max(...all);
    const total = sum(all.map((logit) => Math.exp(logit - largest)));
    return moved.map((logit) => Math.exp(logit - largest) / total);
  };
  // Between the centres of cells, as Pillow's bilinear: the two cells and the share of the second.
  const between = (pixels, cells) => Array.from({ length: pixels }, (_, pixel) => {
    const at = Math.max(0, Math.min(cells - 1, (pixel + 0.5) * cells / pixels - 0.5)), first = Math.floor(at);
    return [first, Math.min(cells - 1, first + 1), at - first];
  });
  const drawMap = (canvas, { grid: [rows, columns], limit, paint, keep }, photo, map) => {
    const drawn = new ImageData(canvas.width, canvas.height), shares = map.map((value) => value / (limit || 1));
    const across = between(canvas.width, columns);
    let at = 0;
    for (const [top, bottom, down] of between(canvas.height, rows)) {
      const line = Array.from({ length: columns }, (_, column) =>
        shares[top * columns + column] * (1 - down) + shares[bottom * columns + column] * down);
      for (const [left, right, share] of across) {
        const value = line[left] * (1 - share) + line[right] * share;
        const index = Math.round(255 * Math.max(0, Math.min(1, value)));
        for (let colour = 0; colour < 3; colour++, at++)
          drawn.data[at] = photo[at] * keep[index] + paint[3 * index + colour] >> 8;
        drawn.data[at++] = 255;
      }
    }
    canvas.getContext("2d").putImageData(drawn, 0, 0);
  };
  const percent = (share) => (100 * share).toFixed(2) + " %";
  const showDrag = (block, drag) => {
    const { data, photo, map } = drag;
    if (!photo) return;
    drawMap(block.querySelector(".bsig-drag-map canvas"), data, photo, map);
    const before = probabilitiesOf(data, data.own), now = probabilitiesOf(data, map);
    block.querySelectorAll(".bsig-now").forEach((cell, row) => {
      const words = percent(now[row]), text = cell.querySelector("span");
      if (text.textContent !== words) text.textContent = words;
      cell.querySelector("i").style.width = 100 * now[row] + "%";
    });
    const largest = Math.max(...now.map((share, row) => Math.abs(share - before[row])));
    block.classList.toggle("bsig-moves", largest >= 5e-5);
    const isOwn = map.every((value, cell) => value === data.own[cell]);
    drag.words = isOwn ? "Drag the heatmap and watch these numbers."
      : largest < 5e-5 ? "No probability moves: the largest change of these is 0.00 %."
      : `The probabilities move, by up to ${(100 * largest).toFixed(largest < 0.005 ? 2 : 1)} points: this shift ${
          largest < 0.05 ? "hardly shows" : "shows"}.`;
    const change = block.querySelector(".bsig-drag-change");
    if (change.textContent !== drag.words) change.textContent = drag.words;
  };
  const paintedText = (block) => {
    const painted = [...document.querySelectorAll(".bsig-drag-painted")].find((part) => part.dataset.for === block.dataset.for);
    return painted?.querySelector("script")?.textContent ?? "";
  };
  const newDrag = (block) => {
    const data = JSON.parse(block.querySelector("script").textContent), text = paintedText(block);
    if (data.basis) data.basis = new Float32Array(Uint8Array.from(atob(data.basis), (byte) => byte.charCodeAt()).buffer);
    const map = text ? JSON.parse(text) : data.own;
    const drag = { data, map: map.length === data.own.length ? map : data.own, text, place: null, photo: null };
    drags.set(block, drag);
    const image = new Image();
    image.onload = () => {
      const canvas = document.createElement("canvas");
      [canvas.width, canvas.height] = [image.width, image.height];
      const context = canvas.getContext("2d", { willReadFrequently: true });
      context.drawImage(image, 0, 0);
      drag.photo = context.getImageData(0, 0, image.width, image.height).data;
      const still = block.querySelector(".bsig-drag-still");
      if (still) drawMap(still, data, drag.photo, data.still);
      showDrag(block, drag);
      block.dataset.drawn = "yes";
    };
    image.src = data.photo;
  };
  function drawDrags() {
    for (const block of document.querySelectorAll(".bsig-drag")) {
      const drag = drags.get(block), text = paintedText(block);
      if (!drag) { newDrag(block); continue; }
      if (!text || text === drag.text || drag.isHeld || drag.rest) continue;
      const map = JSON.parse(text);
      drag.text = text;
      if (map.length !== drag.map.length) continue;
      // The server's answer to a drag is the map that is drawn already; another one is no drag's.
      if (map.some((value, cell) => Math.abs(value - drag.map[cell]) > 1e-2 * (drag.data.limit || 1))) drag.place = null;
      drag.map = map;
      showDrag(block, drag);
    }
  }
  const dragTo = (block, drag, place) => {
    drag.place = place.map((value, axis) => Math.max(0, Math.min(drag.data.grid[axis] - 1, value)));
    drag.map = paintedMap(drag.data, drag.place);
    block.classList.add("bsig-dragged");
    showDrag(block, drag);
    clearTimeout(drag.rest);
    drag.rest = setTimeout(() => {
      drag.rest = null;
      block.querySelector("[role=status]").textContent =
        `Heatmap at row ${(drag.place[0] + 1).toFixed(1)}, column ${(drag.place[1] + 1).toFixed(1)}. ${drag.words}`;
      if (block.dataset.press) document.getElementById(block.dataset.press)?.click();
    }, AT_REST_MS);
  };
  const dragOf = (event) => {
    const handle = event.target.closest && event.target.closest(".bsig-drag-map");
    const block = handle && handle.closest(".bsig-drag"), drag = block && drags.get(block);
    return drag ? { handle, block, drag } : null;
  };
  const dragWith = (event) => {
    const dragged = dragOf(event);
    if (!dragged || (event.type === "pointermove" ? !dragged.drag.isHeld : event.button !== 0)) return;
    const { handle, block, drag } = dragged, box = handle.querySelector("canvas").getBoundingClientRect();
    if (event.type === "pointerdown") {
      drag.isHeld = true;
      handle.focus({ preventScroll: true });
      handle.setPointerCapture(event.pointerId);
      event.preventDefault();
    }
    const [rows, columns] = drag.data.grid;
    dragTo(block, drag, [
      (event.clientY - box.top) / box.height * rows - 0.5, (event.clientX - box.left) / box.width * columns - 0.5,
    ]);
  };
  for (const kind of ["pointerdown", "pointermove"]) document.addEventListener(kind, dragWith);
  for (const kind of ["pointerup", "pointercancel"])
    document.addEventListener(kind, (event) => { const dragged = dragOf(event); if (dragged) dragged.drag.isHeld = false; });
  document.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    const dragged = step && dragOf(event);
    if (!dragged) return;
    event.preventDefault();
    const { block, drag } = dragged, columns = drag.data.grid[1], peak = drag.map.indexOf(Math.max(...drag.map));
    const from = drag.place ? drag.place.map(Math.round) : [Math.floor(peak / columns), peak % columns];
    dragTo(block, drag, from.map((value, axis) => value + step[axis]));
  });
  const dragIn = (id) => drags.get(document.querySelector(`#${id} .bsig-drag`));
  // Row and column from 0, or nothing while the heatmap is where the server put it.
  const draggedTo = (id) => (dragIn(id)?.place ?? []).map((value) => value.toFixed(2)).join(",");

  // --- dropdowns -----------------------------------------------------------------------------------------------------

  // Gradio takes any key in a dropdown's field for a wish to see its list, Tab too, which then stays open behind the
  // focus. So Tab is an Escape first, which closes the list, and Gradio does not see the Tab.
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Tab" || event.target.getAttribute("role") !== "combobox") return;
    event.target.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape", bubbles: true }));
    event.stopPropagation();
  }, true);

  // --- long jobs -----------------------------------------------------------------------------------------------------

  // At each step of an event Gradio copies what every component holds, some 40 ms in which nothing moves. So what shows
  // a long job comes without one: once a second it is asked for, and only what differs in it is written. The rest of a
  // run is drawn by an event when it starts and when it ends.
  const LOOK_EVERY_MS = 1000, PRESS_EVERY_MS = 2000;
  let pressedAt = -Infinity;
  const renew = (old, fresh) => {
    if (old.nodeName !== fresh.nodeName || old.childNodes.length !== fresh.childNodes.length) return old.replaceWith(fresh);
    if (old.nodeType === Node.TEXT_NODE && old.data !== fresh.data) old.data = fresh.data;
    for (const { name, value } of fresh.attributes ?? [])
      if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    const parts = [...fresh.childNodes];
    [...old.childNodes].forEach((part, place) => renew(part, parts[place]));
  };
  const served = (path) => window.gradio_config.root + window.gradio_config.api_prefix + path;
  const progressOf = async (job) => {
    const asked = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ data: [job] }) };
    const answer = await fetch(served("/run/progress"), asked);
    return answer.ok ? (await answer.json()).data[0] : null;
  };
  const followedPart = (html, drawn) => {
    const template = document.createElement("template");
    template.innerHTML = html;
    const part = template.content.firstElementChild;
    if (drawn) part.dataset.drawn = drawn;
    for (const image of part.querySelectorAll("img[data-file]")) image.src = served("/file=" + image.dataset.file);
    return part;
  };
  const follow = async (part) => {
    const job = part.dataset.follows;
    const { html, standing, has_ended: hasEnded } = (await progressOf(job)) ?? {};
    // Gradio keeps the element when another run is chosen: an answer on the run before comes too late.
    if (html === undefined || !part.isConnected || part.dataset.follows !== job) return;
    const { press, drawn } = part.dataset;
    if (!hasEnded) renew(part, followedPart(html, drawn));
    const now = performance.now();
    if (!press || standing === drawn || now - pressedAt < PRESS_EVERY_MS) return;
    pressedAt = now;
    document.getElementById(press).click();
  };
  const look = async () => {
    const parts = [...document.querySelectorAll("[data-follows]")];
    await Promise.all(parts.map((part) => follow(part).catch(() => {})));  // a request that fails is asked again
    setTimeout(look, LOOK_EVERY_MS);
  };
  setTimeout(look, LOOK_EVERY_MS);

  // --- what the page's events call -----------------------------------------------------------------------------------

  const isShown = (id) => Boolean(document.getElementById(id)?.offsetParent);
  const firstShown = (prefix, keys, otherwise) => keys.find((key) => isShown(prefix + key)) ?? otherwise;
  // Questions that only the browser can answer, by the value that stands for them among an event's inputs.
  const answers = {
    "is shown": (id) => isShown(id) ? "yes" : "no",
    "open tab": (keys) => firstShown("bsig-tab-", keys.split(","), "compare"),
    "dragged to": draggedTo,
    "history entry": () => JSON.stringify({ ...history.state?.bsig, press: awaited }),
    "open step": (keys) => firstShown("tour-control-", keys.split(","), "0"),
  };
  const answer = (value) => {
    const parts = typeof value === "string" && value.startsWith("page: ") ? value.slice(6).split("? ") : [];
    return parts[0] in answers ? answers[parts[0]](parts[1]) : value;
  };

  // The address bar then holds the link too, with what the other screens show. The link is made from the page's own
  // address, so it works behind a path prefix.
  const copyLink = async (query) => {
    if (query === null) return [""];
    const theme = new URLSearchParams(location.search).get("__theme");
    const address = new URL(location.pathname + (query ? "?" + query : ""), location.origin);
    const kept = new URL(address);
    if (theme) kept.searchParams.set("__theme", theme);
    try { history.replaceState(history.state, "", kept); } catch (error) { /* a frame may forbid it */ }
    let words = "The link is in the field: copy it with Ctrl+C.";
    try {
      await navigator.clipboard.writeText(address.href);
      words = "Link copied.";
    } catch (error) { /* no clipboard without https, or none allowed: the field is selected */ }
    const select = (attempts) => {
      const field = document.querySelector("#link-field textarea, #link-field input");
      const status = document.querySelector("#link-said [role=status]");
      if (!field || field.value !== address.href) {  // the page draws it a moment later
        if (attempts) setTimeout(select, 50, attempts - 1);
        return;
      }
      field.setAttribute("aria-label", "Link to this view");
      field.focus();
      field.select();
      if (status) status.textContent = words;
    };
    setTimeout(select, 50, 100);
    return [address.href];
  };

  // --- the browser's history -----------------------------------------------------------------------------------------

  // Each view of Compare and each tab that is opened is an entry, with the view's key and the tab; its address is the
  // view's link, so that a reload keeps the view. The first entry keeps the address that the page was opened with. Where
  // a frame forbids entries the page works without.
  let shownKey = null;  // of the view that was answered last
  let presses = 0, awaited = null;  // how often Back or Forward was pressed, and which of these is not answered yet
  const openTab = () => [...document.querySelectorAll(".tabitem[id^=bsig-tab-]")].find((tab) => tab.offsetParent)
    ?.id.slice("bsig-tab-".length);
  const addressOf = (query, tab) => {
    const address = new URL(location.pathname, location.origin), parts = new URLSearchParams(query);
    const theme = new URLSearchParams(location.search).get("__theme");
    if (tab && tab !== "compare") parts.set("tab", tab);
    if (theme) parts.set("__theme", theme);
    address.search = parts;
    return address;
  };
  const enter = (entry, { pushes, address = addressOf(entry.query, entry.tab) }) => {
    const state = { ...history.state, bsig: entry };
    try {
      pushes ? history.pushState(state, "", address) : history.replaceState(state, "", address);
    } catch (error) { /* a frame may forbid it */ }
  };
  const viewed = (text) => {
    const view = JSON.parse(text || "null"), at = history.state?.bsig, isFirst = shownKey === null;
    if (!view) return;
    const entry = { key: view.key, stem: view.stem, query: view.query, tab: openTab(), before: at?.before };
    shownKey = view.key;
    if (isFirst || !at) return enter(entry, { pushes: false, address: location.href });
    if (awaited !== null) {
      // The answer to Back or Forward; what was under way before it, or was asked by pressing them before, is no entry.
      if (view.press !== awaited) return;
      awaited = null;
      enter({ ...entry, tab: at.tab }, { pushes: false });
    } else if (view.key === at.key) return;  // drawn once more
    else if (view.stem === at.stem) enter(entry, { pushes: false });  // a slider has moved
    else if (view.key === at.before) history.back();  // Undo has led there
    else enter({ ...entry, before: at.key }, { pushes: true });
  };
  const tabOpened = () => requestAnimationFrame(() => requestAnimationFrame(() => {
    const tab = openTab(), at = history.state?.bsig;
    if (shownKey !== null && at && tab && tab !== at.tab) enter({ ...at, tab, before: undefined }, { pushes: true });
  }));
  addEventListener("popstate", (event) => {
    const to = event.state?.bsig;
    if (!to) return;
    const isOpen = to.tab === openTab(), buttons = [...document.querySelectorAll("[data-tab-id]")];
    const button = buttons.find((each) => each.dataset.tabId === to.tab && !each.closest("[aria-hidden=true]"));
    if (!isOpen) button?.click();  // on a narrow page it may lie in a menu, and the server opens the tab
    if (to.key === shownKey && awaited === null && (isOpen || button)) return;
    awaited = String(++presses);
    document.getElementById("go-view").click();
  });

  // The verdict at the window's top, with the maps below it; where both are in view already, nothing moves.
  const showMaps = () => {
    requestAnimationFrame(() => requestAnimationFrame(() => {
      const verdict = document.querySelector("#finding"), maps = document.querySelector("#maps");
      if (!verdict?.offsetParent) return;
      const from = verdict.getBoundingClientRect().top, to = maps.getBoundingClientRect().bottom;
      if (from < 0 || to > innerHeight) scrollTo({ top: scrollY + from - 8, behavior: "auto" });
    }));
  };

  // A jump from another screen ends at the maps, not where that screen had been scrolled to.
  const openCompare = () => {
    document.querySelector("#tabs button[role=tab]").click();
    const show = (attempts) => {
      const answer = document.getElementById("answer");
      if (answer && answer.offsetParent) answer.scrollIntoView({ block: "start" });
      else if (attempts) setTimeout(show, 50, attempts - 1);
    };
    setTimeout(show, 50, 40);
  };

  window.bsig = {
    answered: (inputs) => inputs.map(answer),
    copyLink,
    draggedMap: (id) => dragIn(id)?.map,
    openCompare,
    press: (id) => document.getElementById(id).click(),
    showMaps,
    stopWaiting: () => { awaited = null; },
    tabOpened,
    viewed,
  };
})();
