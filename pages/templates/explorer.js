"use strict";
// The explorer of tracks. Names come from outside: they reach the page as text nodes only.
(async () => {
  const MAX_HITS = 50;
  const MAX_ROWS = 200;
  const MAX_UNUSUAL = 10;
  const MAX_CLASSES = 40;
  const NO_PERCENTILE = 255;
  const element = (name) => document.getElementById(`explorer-${name}`);

  const tracks = await unpack(element("tracks"));
  const count = tracks.names.length;
  const names = [...tracks.names, ...(tracks.neighbours?.others ?? [])];
  const labels = tracks.label;
  const lastGroup = tracks.groups.length - 1;
  const groupOf = (i) => (labels[i] < 0 ? lastGroup : tracks.groupOf[labels[i]]);
  const labelOf = (i) => (labels[i] < 0 ? "(no label)" : tracks.labels[labels[i]]);
  const indexOf = new Map();
  tracks.names.forEach((name, i) => indexOf.has(name) || indexOf.set(name, i));
  const { predictions, neighbours, segments } = tracks;

  // Return the JSON text with its arrays (see pages/explorer.py).
  async function unpack(script) {
    const packed = Uint8Array.from(atob(script.textContent), (c) => c.charCodeAt(0));
    script.remove();
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
    const buffer = await new Response(stream).arrayBuffer();
    const end = 4 + new DataView(buffer).getUint32(0, true);
    const types = {
      int32: Int32Array, uint16: Uint16Array, uint8: Uint8Array, float32: Float32Array,
    };
    const text = new TextDecoder().decode(new Uint8Array(buffer, 4, end - 4));
    return JSON.parse(text, (_, value) => {
      const type = types[value?.type];
      if (!type) return value;
      const start = end + value.start;
      return new type(buffer.slice(start, start + type.BYTES_PER_ELEMENT * value.length));
    });
  }

  // Return an element with attributes and children, which are elements or texts.
  function make(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children.flat().filter((child) => child !== null));
    return made;
  }
  const nameOf = (i) => make("bdi", {}, names[i]);
  const mark = (group) =>
    make("span", { class: `mark mark-${tracks.groups[group].colour.slice(1)}`, "aria-hidden": "true" });
  const counted = (n, things) => `${n.toLocaleString("en")} ${n === 1 ? things.slice(0, -1) : things}`;
  const percent = (byte) => `${Math.round((byte / 255) * 100)} %`;
  const rounded = (value) => value.toLocaleString("en", { maximumSignificantDigits: 4 });
  function say(text) {
    element("status").textContent = text;
  }

  const addressOf = (i) => `#track=${encodeURIComponent(names[i])}`;
  const link = (i) => (i < count ? make("a", { href: addressOf(i) }, nameOf(i)) : nameOf(i));
  const player = (i, words = names[i], start = 0) =>
    (tracks.addresses[i]?.length ? songmillPlayer(words, tracks.addresses[i], start) : null);
  const predicted = (i) => (predictions ? predictions.likeliest[i * predictions.count] : -1);
  const predictedName = (i) => (predicted(i) < 0 ? "–" : predictions.classes[predicted(i)]);
  const confidence = (i) => predictions.probabilities[i * predictions.count];

  function bar(share) {
    const made = make("span", { class: "bar", "aria-hidden": "true" });
    made.style.width = `${share * 100}%`;
    return make("span", { class: "scale" }, made);
  }

  function table(caption, columns, rows) {
    const head = make("tr", {}, ...columns.map((one) => make("th", { scope: "col" }, one)));
    const body = rows.map((cells) => make("tr", {}, ...cells.map((cell, column) =>
      make(column ? "td" : "th", column ? {} : { scope: "row" }, cell))));
    return make("div", { class: "table", role: "region", "aria-label": caption, tabindex: "0" },
      make("table", {}, make("caption", {}, caption), make("thead", {}, head), make("tbody", {}, ...body)));
  }

  function trackTable(caption, found) {
    const rows = found.slice(0, MAX_ROWS).map((i) => {
      const row = [[link(i), player(i)], [mark(groupOf(i)), labelOf(i)]];
      if (predictions) {
        row.push(predictedName(i), predicted(i) < 0 ? "–" : percent(confidence(i)));
      }
      return row;
    });
    const columns = ["track", "label", ...(predictions ? ["prediction", "probability"] : [])];
    const part = found.length > MAX_ROWS ? `the first ${MAX_ROWS} of ` : "";
    return table(`${caption}: ${part}${counted(found.length, "tracks")}`, columns, rows);
  }

  // The panel of a track.
  function open(i) {
    const panel = element("panel");
    panel.replaceChildren(
      make("h3", { id: "explorer-title" }, nameOf(i)),
      make("p", {}, "Label: ", mark(groupOf(i)), `${labelOf(i)} `, player(i)),
      ...probabilities(i), ...nearest(i), ...overTime(i), ...percentiles(i),
    );
    panel.scrollTop = 0;
    map.pin(i);
    say(`Open: ${names[i]}, ${describe(i)}`);
  }

  function describe(i) {
    const label = labelOf(i);
    if (predicted(i) < 0) return label;
    return `${label}, predicted: ${predictedName(i)} (${percent(confidence(i))})`;
  }

  function probabilities(i) {
    if (predicted(i) < 0) return [];
    const rows = [];
    for (let rank = 0; rank < predictions.count; rank++) {
      const at = i * predictions.count + rank;
      const probability = predictions.probabilities[at];
      const name = predictions.classes[predictions.likeliest[at]];
      rows.push([name, [bar(probability / 255), percent(probability)]]);
    }
    const parts = [table("Prediction", ["label", "probability"], rows)];
    if (predictions.learnt[i]) {
      const words = "The model has learnt this track: its prediction is better than that of a new one.";
      parts.push(make("p", { class: "note" }, words));
    }
    return parts;
  }

  function nearest(i) {
    if (!neighbours) return [];
    const rows = [];
    for (let at = i * neighbours.count; at < (i + 1) * neighbours.count; at++) {
      const other = neighbours.indices[at];
      if (other < 0) continue;
      const label = make("span", { class: "subtext" }, mark(groupOf(other)), labelOf(other));
      rows.push([[link(other), player(other), label], neighbours.scores[at].toFixed(3)]);
    }
    return rows.length ? [table("Nearest tracks", ["track", `similarity (${neighbours.metric})`], rows)] : [];
  }

  function overTime(i) {
    if (!segments) return [];
    const begin = i ? segments.ends[i - 1] : 0, end = segments.ends[i];
    if (end - begin < 2) return [];
    const width = segments.columns.length;
    const curves = segments.columns.map(([name, meaning, unit], column) => {
      const values = [];
      for (let row = begin; row < end; row++) values.push(segments.values[row * width + column]);
      const real = (value) => `${rounded(segments.low[column] + (value / 254) * segments.span[column])} ${unit}`.trim();
      const low = Math.min(...values), high = Math.max(...values);
      const when = segments.starts[begin + values.indexOf(high)];
      const words = low === high
        ? `${real(low)} throughout`
        : `${real(low)} to ${real(high)}, highest from ${rounded(when)} s`;
      const peak = low === high ? null : player(i, `${names[i]} where ${name} is highest`, when);
      return make("li", {},
        make("span", {}, name, make("span", { class: "subtext" }, `${words} `, peak)),
        curve(values, `${meaning}: ${words}`));
    });
    return [
      make("h4", {}, `Over ${counted(end - begin, "segments")}`),
      make("ul", { class: "curves" }, ...curves),
    ];
  }

  function curve(values, words) {
    const space = "http://www.w3.org/2000/svg";
    const picture = document.createElementNS(space, "svg");
    const line = document.createElementNS(space, "polyline");
    const low = Math.min(...values), span = Math.max(...values) - low || 1;
    const points = values.map((value, at) =>
      `${(100 * at) / (values.length - 1)},${28 - (26 * (value - low)) / span}`);
    line.setAttribute("points", points.join(" "));
    picture.setAttribute("viewBox", "0 0 100 30");
    picture.setAttribute("preserveAspectRatio", "none");
    picture.setAttribute("role", "img");
    picture.setAttribute("aria-label", words);
    picture.append(line);
    return picture;
  }

  function percentiles(i) {
    return tracks.features.flatMap((set) => {
      const width = set.columns.length, start = i * width;
      if (set.percentiles[start] === NO_PERCENTILE) return [];
      const share = (column) => set.percentiles[start + column];
      const distance = (column) => Math.abs(share(column) - 50);
      const row = (column) => {
        const [name, meaning, unit] = set.columns[column];
        const value = rounded(set.quantiles[share(column) * width + column]);
        return [
          [name, make("span", { class: "subtext" }, meaning)],
          `${value} ${unit}`.trim(),
          [bar(share(column) / 100), String(share(column))],
        ];
      };
      const heads = ["feature", "value, about", "percentile of all tracks"];
      const columns = [...set.columns.keys()];
      const unusual = [...columns].sort((a, b) => distance(b) - distance(a)).slice(0, MAX_UNUSUAL);
      const caption = `All ${width} ${set.name} features`;
      const all = make("details", {}, make("summary", {}, caption));
      all.addEventListener("toggle", () => {
        all.append(table(caption, heads, columns.map(row)));
      }, { once: true });
      return [table(`Most unusual ${set.name} features`, heads, unusual.map(row)), all];
    });
  }

  // The search.
  const input = element("search"), hits = element("hits");
  // As `songmill similar` does it: without case and accents.
  const fold = (text) => text.normalize("NFKD").replace(/\p{Mn}/gu, "").toLowerCase();
  let folded = null, active = -1;
  function search() {
    folded ??= tracks.names.map(fold);
    const wanted = fold(input.value.trim());
    const found = [];
    if (wanted) folded.forEach((name, i) => name.includes(wanted) && found.push(i));
    active = -1;
    hits.replaceChildren(...found.slice(0, MAX_HITS).map((i, at) => {
      const hit = make("li", { role: "option", id: `explorer-hit-${at}`, "aria-selected": "false" },
        nameOf(i), make("span", { class: "subtext" }, mark(groupOf(i)), labelOf(i)));
      // A press of the mouse must not take the focus, which would close the list.
      hit.addEventListener("mousedown", (event) => event.preventDefault());
      hit.addEventListener("click", () => choose(i));
      hit.dataset.track = i;
      return hit;
    }));
    expand(found.length > 0);
    const more = found.length > MAX_HITS ? `, the first ${MAX_HITS} are listed` : "";
    say(wanted ? `${counted(found.length, "tracks")} found${more}` : "");
  }
  function expand(isExpanded) {
    hits.hidden = !isExpanded;
    input.setAttribute("aria-expanded", String(isExpanded));
    input.removeAttribute("aria-activedescendant");
  }
  function choose(i) {
    expand(false);
    go(i);
  }
  function activate(at) {
    const options = hits.children;
    if (hits.hidden || !options.length) return;
    options[active]?.setAttribute("aria-selected", "false");
    active = (at + options.length) % options.length;
    options[active].setAttribute("aria-selected", "true");
    options[active].scrollIntoView({ block: "nearest" });
    input.setAttribute("aria-activedescendant", options[active].id);
  }
  input.addEventListener("input", search);
  input.addEventListener("blur", () => expand(false));
  input.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" && hits.hidden) search();
    if (event.key === "ArrowDown") activate(active + 1);
    else if (event.key === "ArrowUp") activate(active < 0 ? -1 : active - 1);
    else if (event.key === "Enter" && hits.children.length && !hits.hidden) {
      choose(Number(hits.children[Math.max(active, 0)].dataset.track));
    } else if (event.key === "Escape") expand(false);
    else return;
    event.preventDefault();
  });

  // The map.
  const frame = element("frame"), tip = frame.querySelector(".tip");
  const map = songmillMap(frame, tracks.groups, groupOf, {
    onHover(i, left, top) {
      tip.hidden = i < 0;
      if (i < 0) return;
      tip.replaceChildren(nameOf(i), make("span", { class: "subtext" }, mark(groupOf(i)), describe(i)));
      tip.style.left = `${Math.max(0, Math.min(left + 12, frame.clientWidth - tip.offsetWidth))}px`;
      tip.style.top = `${top + 14 + tip.offsetHeight > frame.clientHeight ? top - 14 - tip.offsetHeight : top + 14}px`;
      if (document.activeElement === frame.querySelector("canvas")) say(`${names[i]}, ${describe(i)}`);
    },
    onPick: go,
    onView: listShown,
  });
  const axes = element("axes");
  tracks.maps.forEach(({ title }, i) => axes.append(make("option", { value: i }, title)));
  function chooseMap() {
    const chosen = tracks.maps[axes.value];
    element("directions").textContent = `To the right: ${chosen.axes[0]}. Upwards: ${chosen.axes[1]}.`;
    map.setPoints(chosen.x, chosen.y);
  }
  axes.addEventListener("change", chooseMap);
  element("in").addEventListener("click", () => map.zoom(1.5));
  element("out").addEventListener("click", () => map.zoom(1 / 1.5));
  element("all").addEventListener("click", map.showAll);

  const sizes = tracks.groups.map(() => 0);
  for (let i = 0; i < count; i++) sizes[groupOf(i)]++;
  tracks.groups.forEach(({ name }, group) => {
    if (!sizes[group]) return;
    const box = make("input", { type: "checkbox", checked: "" });
    box.addEventListener("change", () => map.setVisible(group, box.checked));
    element("legend").append(make("label", {}, box, mark(group), `${name} (${sizes[group].toLocaleString("en")})`));
  });

  const shown = element("shown");
  function listShown() {
    if (shown.open) shown.lastElementChild.replaceChildren(trackTable("On the map", map.pointsInView()));
  }
  shown.addEventListener("toggle", listShown);

  // The address names the open track, so that it can be linked and the back button works.
  function go(i) {
    if (location.hash === addressOf(i)) follow();
    else location.hash = addressOf(i);
  }
  function follow() {
    const name = new URLSearchParams(location.hash.slice(1)).get("track");
    if (name === null) return;
    const i = indexOf.get(name);
    if (i === undefined) return say("The track of this address is not on this page.");
    open(i);
    const panel = element("panel"), isOnMap = document.activeElement.tagName === "CANVAS";
    // On the map the focus stays, so that the arrows go on.
    if (!isOnMap) panel.focus({ preventScroll: true });
    // On a narrow screen the panel is below the map, and higher than the screen.
    if (isNarrow.matches) panel.scrollIntoView();
    else if (!isOnMap) panel.scrollIntoView({ block: "nearest" });
  }

  // Names in the tables of the page become links.
  function linkNames() {
    for (const name of document.querySelectorAll("[data-track]")) {
      const i = indexOf.get(name.dataset.track);
      if (i !== undefined) name.replaceWith(make("a", { href: addressOf(i) }, [...name.childNodes]));
    }
  }

  // The confusion matrix, and the tracks of a cell.
  function showMatrix() {
    if (!predictions || predictions.classes.length > MAX_CLASSES) return;
    const classOf = new Map(predictions.labelOf.map((label, i) => [label, i]));
    const cells = predictions.classes.map(() => predictions.classes.map(() => []));
    for (let i = 0; i < count; i++) {
      const row = classOf.get(labels[i]);
      if (labels[i] < 0 || row === undefined || predicted(i) < 0 || predictions.learnt[i]) continue;
      cells[row][predicted(i)].push(i);
    }
    const total = cells.flat(2).length;
    if (!total) return;
    const list = make("div");
    const rows = cells.map((row, i) => {
      const size = row.flat().length;
      return [predictions.classes[i], ...row.map((found, j) => {
        if (!found.length) return "";
        const words = `${predictions.classes[i]}, predicted as ${predictions.classes[j]}`;
        const button = make("button", { type: "button", "aria-label": `${words}: ${counted(found.length, "tracks")}` },
          found.length.toLocaleString("en"));
        button.style.setProperty("--share", found.length / size);
        button.addEventListener("click", () => {
          found.sort((a, b) => confidence(b) - confidence(a) || a - b);
          list.replaceChildren(trackTable(words, found));
          list.firstElementChild.focus();
        });
        return button;
      })];
    });
    const words = `Of ${counted(total, "tracks")} that the model had not learnt when it predicted them. Rows are labels, columns are predictions. A number lists its tracks, the most confident first.`;
    element("matrix").append(
      table("Labels and predictions", ["label", ...predictions.classes], rows),
      list,
      make("p", { class: "note" }, words),
    );
  }

  const isNarrow = matchMedia("(max-width: 1199px)");
  showMatrix();
  linkNames();
  element("panel").closest(".explorer").hidden = false;
  if (tracks.maps.length) chooseMap();
  else frame.closest(".map").hidden = true;
  addEventListener("hashchange", follow);
  follow();
})();
