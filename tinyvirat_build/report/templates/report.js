// The gallery of a report. It reads scripts of data beside the page, and nothing of a network; all
// text goes into the page as text.
"use strict";
(() => {
  const { root, data, scores: scored } = document.body.dataset;
  const $ = (id) => document.getElementById(id);
  const waiting = new Map();
  window.tvb = (name, value) => waiting.get(name)?.(value);

  function load(name, file = `${root}${data}/${name}.js`) {
    return new Promise((resolve, reject) => {
      waiting.set(name, resolve);
      const onerror = () => reject(new Error(`${file} is missing; run tinyvirat-build stats`));
      const script = el("script", { src: file, async: true, onerror, onload: () => script.remove() });
      document.head.append(script);
    });
  }

  function el(tag, attributes = {}, ...inside) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name in made && name !== "list") made[name] = value;
      else made.setAttribute(name, value);
    }
    made.append(...inside.filter((x) => x !== null && x !== ""));
    return made;
  }

  function svg(tag, attributes = {}, title = "", text = "") {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...(title ? [svg("title", {}, "", title)] : []), text);
    return made;
  }

  const address = (path) => root + path.split("/").map(encodeURIComponent).join("/");
  const count = (n) => n.toLocaleString("en");
  const BOX = 128; // pixels of a picture in the grid
  let head, C = {}, order = [], place = new Map(), scores = null;

  const video = (i) => head.videos[C.video[i]];
  const labels = (i) => C.labels[i].map((c) => head.classes[c]);
  const split = (i) => head.splits[C.split[i]];
  const side = (i) => Math.max(C.width[i], C.height[i]);
  const name = (i) => (C.number[i] ? `${split(i)} ${C.number[i]}` : `${split(i)}, no file`);
  const rate = (i) => (C.fps[i] || "30").split("/").map(Number).reduce((a, b) => a / b);
  // The film of a clip is 1, its own file; the name of a preview, which has every so many frames; or 0.
  const kind = (i) => (C.film[i] ? String(C.film[i]).split(".")[1] : undefined); // webm; webp: a strip
  const step = (i) => Math.max(1, Math.ceil(C.frames[i] / (head.frames[kind(i)] ?? Infinity)));
  const film = (i) => (C.film[i] === 1 ? address(C.path[i]) : C.film[i] && `${root}report/previews/${C.film[i].slice(0, 2)}/${C.film[i]}`);

  // A whole factor: so many pixels of the screen to one of the clip, or the reverse.
  function scale(i, room) {
    const fits = Math.floor(room / side(i));
    return fits >= 1 ? fits : 1 / Math.ceil(side(i) / room);
  }
  const factor = (f) => (f >= 1 ? `×${f}` : `÷${Math.round(1 / f)}`);

  function wrong(i, chosen) {
    const own = scores?.get(C.id[i]);
    if (!own) return null;
    const all = head.classes.map((label, c) => ({ label, truth: own.truth[c], score: own.scores[c], error: Math.abs(own.truth[c] - own.scores[c]) }));
    return chosen !== null ? all[chosen] : all.reduce((a, b) => (b.error > a.error ? b : a));
  }

  const measures = () => head.quality.filter((q) => q !== "infrared");
  const infrared = (i) => (C.infrared?.[i] == null ? "unknown" : C.infrared[i] ? "yes" : "no");
  const checked = () => [...document.querySelectorAll("#class-list input:checked")].map((x) => +x.value);
  const numbers = (id) => [[`${id}-min`, -Infinity], [`${id}-max`, Infinity]].map(([x, none]) => ($(x).value === "" ? none : +$(x).value));

  const found = (i, text) =>
    !text || C.id[i].startsWith(text) || [name(i), C.released[i], C.path[i], video(i).id].some((t) => t.toLowerCase().includes(text));

  function state(i, wanted) {
    const known = { file: C.number[i] !== "", held: C.held[i] > 0, damaged: C.damaged[i] > 0 };
    return known[wanted] ?? C.reason[i] === wanted.slice(7);
  }

  function matches() {
    const text = $("search").value.trim().toLowerCase();
    const classes = checked();
    const all = document.querySelector("#filters [name=match]:checked").value === "all";
    const want = Object.fromEntries(["split", "source", "camera", "place", "state", "finding", "infrared"].map((id) => [id, $(id).value]));
    const [sides, lengths] = [numbers("side"), numbers("length")];
    const bounds = measures().map((q) => [C[q], ...numbers(`q-${q}`)]).filter(([, a, b]) => a > -Infinity || b < Infinity);
    const inside = (v, [a, b]) => a <= v && v <= b;
    return (i) =>
      (!want.split || split(i) === want.split) &&
      (!want.source || video(i).source === want.source) &&
      (!want.camera || video(i).camera === want.camera) &&
      (!want.place || (video(i).place || "unknown") === want.place) &&
      (!want.state || state(i, want.state)) && (!want.infrared || infrared(i) === want.infrared) &&
      (!want.finding || C.found[i].some(([kind]) => kind === want.finding)) &&
      (!classes.length || (all ? classes.every((c) => C.labels[i].includes(c)) : classes.some((c) => C.labels[i].includes(c)))) &&
      inside(side(i), sides) && inside(C.frames[i], lengths) &&
      bounds.every(([values, ...b]) => values[i] !== null && inside(values[i], b)) &&
      (!scores || scores.has(C.id[i])) && found(i, text);
  }

  function sorts() {
    const pair = (i) => {
      const twin = C.found[i].find(([, , other]) => other);
      return twin ? `0${[C.id[i], twin[2]].sort().join()}` : C.found[i].length ? `1${C.found[i][0][0]}` : "2";
    };
    const listed = {
      wrong: ["most wrong first", (i) => -(wrong(i, checked().length === 1 ? checked()[0] : null)?.error ?? 0)],
      none: ["video and time", null],
      number: ["split and number", (i) => C.split[i] + (C.number[i] ? +C.number[i] / 1e7 : 0.9)],
      small: ["smallest first", side],
      large: ["largest first", (i) => -side(i)],
      short: ["shortest first", (i) => C.frames[i]],
      long: ["longest first", (i) => -C.frames[i]],
      labels: ["most labels first", (i) => -C.labels[i].length],
      held: ["most held frames first", (i) => -C.held[i]],
      finding: ["findings, twins together", pair],
    };
    for (const q of measures()) {
      listed[`low-${q}`] = [`${q}, lowest first`, (i) => C[q][i] ?? Infinity];
      listed[`high-${q}`] = [`${q}, highest first`, (i) => -(C[q][i] ?? -Infinity)];
    }
    if (!scores) delete listed.wrong;
    return listed;
  }

  function apply() {
    const matching = matches();
    order = Array.from(C.id.keys()).filter(matching);
    const by = sorts()[$("sort").value][1];
    if (by) {
      const keys = new Map(order.map((i) => [i, by(i)]));
      order.sort((a, b) => (keys.get(a) < keys.get(b) ? -1 : keys.get(a) > keys.get(b) ? 1 : a - b));
    }
    $("told").textContent = `${count(order.length)} of ${count(C.id.length)} clips`;
    const classes = checked();
    $("classes-told").textContent = classes.length ? classes.map((c) => head.classes[c]).join(", ") : "all";
    const set = [...$("more").querySelectorAll("select, input")].filter((x) => x.value !== "");
    $("more-told").textContent = set.length ? `(${set.length} set)` : "";
    at = 0;
    $("grid").scrollTop = 0;
    [...shown.keys()].forEach(drop);
    draw();
  }

  const options = (id, values) => $(id).append(...values.map(([value, told]) => el("option", { value }, told)));

  function counted(of, known = []) {
    const counts = new Map(known.map((k) => [k, 0]));
    for (let i = 0; i < C.id.length; i++) for (const k of of(i)) counts.set(k, (counts.get(k) ?? 0) + 1);
    return [...counts].filter(([k, n]) => k !== "" && n).map(([k, n]) => [k, `${k} (${count(n)})`]);
  }

  function fill() {
    const sorted = (pairs) => pairs.sort(([a], [b]) => (a < b ? -1 : 1));
    options("split", counted((i) => [split(i)], head.splits));
    options("source", sorted(counted((i) => [video(i).source])));
    options("camera", sorted(counted((i) => [video(i).camera])));
    options("place", sorted(counted((i) => [video(i).place || "unknown"])));
    options("finding", counted((i) => new Set(C.found[i].map(([kind]) => kind)), Object.keys(head.kinds)).map(([k, told]) => [k, `${told}: ${head.kinds[k]}`]));
    const has = (what) => C.id.reduce((n, _, i) => n + state(i, what), 0);
    options("state", [["file", "there"], ["held", "has held frames"], ["damaged", "has damaged frames"],
      ...Object.keys(head.reasons).map((r) => [`reason-${r}`, `none: ${r}, ${head.reasons[r]}`])].map(([v, t]) => [v, `${t} (${count(has(v))})`]));
    options("sort", Object.entries(sorts()).map(([value, [told]]) => [value, told]));
    $("class-list").append(...counted(labels, head.classes).map(([label, told]) => el("label", {}, el("input", { type: "checkbox", value: head.classes.indexOf(label) }), ` ${told}`)));
    options("infrared", sorted(counted((i) => [infrared(i)])));
    for (const q of measures()) {
      $("quality").append(el("span", { className: "range", role: "group", "aria-label": q }, `${q} `,
        el("input", { type: "number", step: "any", id: `q-${q}-min`, "aria-label": `least ${q}` }), " – ",
        el("input", { type: "number", step: "any", id: `q-${q}-max`, "aria-label": `most ${q}` })));
    }
  }

  const shown = new Map();
  let at = 0, columns = 1, wide = 1, high = 1, later = 0;
  const moves = () => $("moving").checked;

  function drop(key) {
    const cell = shown.get(key);
    shown.delete(key);
    cell.querySelector("video")?.removeAttribute("src");
    cell.querySelector("video")?.load();
    cell.remove();
  }

  function draw() {
    const grid = $("grid");
    columns = Math.max(1, Math.floor(grid.clientWidth / 152));
    wide = grid.clientWidth / columns;
    high = scores ? 258 : 226;
    $("rows").style.height = `${Math.ceil(order.length / columns) * high}px`;
    const first = Math.max(0, Math.floor(grid.scrollTop / high)) * columns;
    const last = Math.min(order.length, Math.ceil((grid.scrollTop + grid.clientHeight) / high) * columns);
    for (const key of [...shown.keys()]) if (key < first || key >= last) drop(key);
    for (let k = first; k < last; k++) {
      if (!shown.has(k)) shown.set(k, $("rows").appendChild(cell(k)));
      shown.get(k).style.transform = `translate(${(k % columns) * wide}px, ${Math.floor(k / columns) * high}px)`;
      shown.get(k).style.width = `${wide}px`;
    }
    clearTimeout(later);
    // What is only scrolled past need not be read.
    later = setTimeout(() => $("rows").querySelectorAll("video:not([src]), canvas").forEach(start), 90);
  }

  function start(own) {
    if (own.strip) return own.strip.src || (own.strip.src = film(own.clip));
    own.src = film(own.clip);
    if (moves()) own.play().catch(() => {});
  }

  // Draw one frame of a strip, which may be reduced: each pixel of it stands for so many of the clip.
  function turn(own, frame) {
    const { strip, clip: i } = own, high = strip.naturalHeight / Math.ceil(C.frames[i] / step(i));
    let k = 1;
    if (!high) return; // not loaded, or bad
    while (Math.ceil(side(i) / k) > Math.max(strip.naturalWidth, high)) k++;
    Object.assign(own.getContext("2d"), { imageSmoothingEnabled: false }).drawImage(strip, 0, Math.floor(frame / step(i)) * high, strip.naturalWidth, high, 0, 0, (strip.naturalWidth * k * own.width) / C.width[i], (high * k * own.height) / C.height[i]);
  }

  const lacking = (i) => el("div", { className: "none" }, C.path[i] ? `this browser does not play it (${head.codec})` : `no picture: ${head.reasons[C.reason[i]] ?? "it is not cut"}`);

  function picture(i, room, failed = () => {}) {
    if (!film(i)) return lacking(i);
    const f = scale(i, room), size = { width: Math.max(1, Math.round(C.width[i] * f)), height: Math.max(1, Math.round(C.height[i] * f)) };
    const hidden = { ...size, tabIndex: -1, ariaHidden: "true" }, strip = kind(i) === "webp" && new Image();
    const own = strip ? el("canvas", hidden) : el("video", { ...hidden, muted: true, loop: true, playsInline: true, preload: "auto" });
    Object.assign(own, { clip: i, strip });
    (strip || own).onerror = () => { own.replaceWith(lacking(i)); failed(); };
    if (strip) strip.onload = () => turn(own, 0);
    return own;
  }

  function cell(k) {
    const i = order[k];
    const worst = wrong(i, checked().length === 1 ? checked()[0] : null);
    const marks = [];
    if (C.held[i]) marks.push(`${C.held[i]} held`);
    if (C.damaged[i]) marks.push(`${C.damaged[i]} damaged`);
    marks.push(...new Set(C.found[i].map(([kind]) => kind).filter((kind) => kind !== "held")));
    const ariaLabel = [labels(i).join(", "), name(i), `${C.width[i]} by ${C.height[i]} pixels, ${C.frames[i]} frames`, ...marks].join("; ");
    const made = el("button", { type: "button", className: "clip", tabIndex: k === at ? 0 : -1, ariaLabel, onclick: () => open(i), onfocus: () => move(k, false) },
      el("span", { className: "film" }, picture(i, BOX)),
      el("span", { className: "labels" }, labels(i).join(", ")),
      worst ? el("span", { className: "bad" }, `${worst.score.toFixed(2)} ${worst.truth ? "for its" : "for"} ${worst.label}`) : "",
      el("span", { className: "dim" }, `${name(i)} · ${C.frames[i]} frames`),
      el("span", { className: "dim" }, `${C.width[i]}×${C.height[i]} pixels ${film(i) ? factor(scale(i, BOX)) : ""}`),
      el("span", { className: "marks" }, marks.join(", ")));
    made.onmouseenter = () => made.querySelector("video")?.play().catch(() => {});
    return made;
  }

  function move(k, focus = true) {
    if (!order.length) return;
    shown.get(at)?.setAttribute("tabindex", "-1");
    at = Math.min(Math.max(k, 0), order.length - 1);
    const grid = $("grid"), top = Math.floor(at / columns) * high;
    if (top < grid.scrollTop) grid.scrollTop = top;
    if (top + high > grid.scrollTop + grid.clientHeight) grid.scrollTop = top + high - grid.clientHeight;
    draw();
    shown.get(at)?.setAttribute("tabindex", "0");
    if (focus) shown.get(at)?.focus({ preventScroll: true });
  }

  const browsers = (event) => event.altKey || event.ctrlKey || event.metaKey; // its own keys

  function gridKeys(event) {
    const page = Math.max(1, Math.floor($("grid").clientHeight / high)) * columns;
    const by = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity }[event.key];
    if (by === undefined || browsers(event)) return;
    event.preventDefault();
    move(at + by);
  }

  let now = null; // the clip that is open, with its video's data, film, frame

  async function open(i) {
    shut();
    now = { i, frame: 0, of: null, timer: 0, close: now?.close ?? false };
    const mine = now;
    $("panel-title").textContent = `${labels(i).join(", ")} – ${name(i)}`;
    $("panel-body").replaceChildren(el("p", {}, "Loading …"));
    if (!$("panel").open) $("panel").showModal();
    history.replaceState(null, "", `#${C.id[i]}`);
    const failed = (e) => { if (now === mine) $("panel-body").replaceChildren(el("p", { className: "bad" }, e.message)); };
    mine.of = await load(`video-${C.video[i]}`).catch(failed);
    if (now === mine && mine.of) show();
  }

  const shut = () => { clearInterval(now?.timer); now?.film?.pause(); };

  function show() {
    const mine = now, { i, of } = now, v = video(i), told = of.clips[C.id[i]];
    const last = Math.floor((C.frames[i] - 1) / step(i)) * step(i);
    Object.assign(now, { told, last, xs: spread(told.x), ys: spread(told.y) });
    const room = Math.max(64, Math.min(448, document.documentElement.clientWidth - 48));
    const shows = () => (now.film || now.strip ? `${C.film[i] === 1 ? "The clip itself" : "A coarser preview" + (step(i) > 1 ? `, one frame in ${step(i)}` : "")}, ${factor(scale(i, room))}. ` : C.path[i] && `${head.unplayed} `);
    const failed = () => {
      mine.film = mine.strip = null;
      if (now === mine) [$("shown").textContent, $("play").textContent] = [shows(), mine.timer ? "Pause" : "Play"];
    };
    const moving = picture(i, room, failed);
    if (film(i)) now[kind(i) === "webp" ? "strip" : "film"] = moving;
    const bar = el("input", { type: "range", id: "seek", min: 0, max: last, step: step(i), value: 0, ariaLabel: "Frame" });
    const canvas = el("canvas", { id: "source-frame", role: "img" });
    canvas.ariaLabel = `The window of ${C.width[i]} by ${C.height[i]} pixels in the picture of ${v.width} by ${v.height}, with the boxes of all actors`;
    const button = (id, text, label, act) => el("button", { type: "button", id, ariaLabel: label, title: label, onclick: act }, text);
    const close = el("input", { type: "checkbox", id: "close-up", checked: now.close, onchange: () => { now.close = close.checked; paint(); } });
    $("panel-body").replaceChildren(
      el("div", { className: "two" },
        el("div", {},
          el("div", { className: "film large" }, moving),
          el("div", { className: "controls" },
            button("back", `−${step(i)}`, "Step back (left arrow)", () => seek(now.frame - step(i))),
            button("play", "Play", "Play or pause (space)", play),
            button("forth", `+${step(i)}`, "Step on (right arrow)", () => seek(now.frame + step(i))),
            bar, el("output", { id: "frame" })),
          el("p", { className: "dim" }, el("span", { id: "shown" }, shows()),
            C.path[i] ? el("a", { href: address(C.path[i]), id: "mp4" }, C.path[i]) : "")),
        facts(i, told)),
      el("h3", {}, "In its source"),
      el("label", {}, close, " close up"),
      canvas,
      el("p", { className: "dim" }, legend(v)),
      el("h3", {}, "Its track in time"), el("div", { id: "line" }),
      el("p", {}, `Begins at frame ${count(C.start[i])}: ${told.why[0]}. Ends at ${count(C.start[i] + C.frames[i])}: ${told.why[1]}.`),
      ...twins(i), ...errors(i), records(i, told));
    bar.oninput = () => seek(+bar.value);
    prepare(v);
    timeline();
    follow();
  }

  const spread = (runs) => runs.flatMap((v, k) => (k % 2 ? [] : Array(runs[k + 1]).fill(v)));

  function legend(v) {
    const back = v.still ? `The picture behind is frame ${count(v.still[0])} of the video, reduced; the clip's own pixels lie in the window. ` : "Of the source there is no picture here. ";
    return `${back}White: the window and its path. Orange: the clip's own actors. Blue: others with labels. Grey: others.`;
  }

  function facts(i, told) {
    const v = video(i), list = el("dl", {});
    const tell = (term, ...what) => list.append(el("dt", {}, term), el("dd", {}, ...what));
    tell("clip", C.id[i]);
    if (C.released[i]) tell("released id", C.released[i]);
    tell("source", `${v.source} ${v.id} (${v.set})`);
    tell("camera", `${v.camera || "unknown"}${v.place ? `, ${v.place}` : ""}`);
    tell("frames", `${count(C.start[i])} to ${count(C.start[i] + C.frames[i] - 1)}, ${C.frames[i]} in all, at ${C.fps[i] || "30"} a second`);
    tell("window", `${C.width[i]}×${C.height[i]} pixels`);
    tell("labels", labels(i).join(", "));
    tell("held", `${C.held[i]} of ${C.frames[i]} frames${C.damaged[i] ? `, ${C.damaged[i]} damaged` : ""}`);
    if (C.reason[i]) tell("no file", `${C.reason[i]}: ${head.reasons[C.reason[i]]}`);
    for (const q of head.quality) if (C[q][i] !== null) tell(q, q === "infrared" ? infrared(i) : String(C[q][i]));
    const kinds = new Set(C.found[i].map(([kind]) => kind));
    tell("complete", kinds.has("incomplete") ? "no: a label is missing" : "yes: it carries the labels of all that are seen in it");
    for (const [kind, detail] of C.found[i]) tell(kind, detail);
    return list;
  }

  function twins(i) {
    return C.found[i].filter(([, , other]) => place.has(other)).map(([, detail, other]) => {
      const twin = place.get(other), films = [i, twin].map((k) => picture(k, 192));
      films.filter((one) => "clip" in one).forEach(start);
      return el("section", { className: "twins" }, el("h3", {}, "Nearly the same"), el("p", {}, detail),
        ...[i, twin].map((k, n) => el("figure", {}, films[n], el("figcaption", {}, `${name(k)}: ${labels(k).join(", ")}`))),
        el("button", { type: "button", onclick: () => open(twin) }, "Open the other"));
    });
  }

  function errors(i) {
    const own = scores?.get(C.id[i]);
    if (!own) return [];
    const rows = head.classes.map((label, c) => [label, own.truth[c], own.scores[c]]).filter(([, t, s]) => t || s >= 0.1).sort((a, b) => Math.abs(b[1] - b[2]) - Math.abs(a[1] - a[2]));
    return [el("h3", {}, "Scores"), table(["class", "label", "score"], rows.map(([l, t, s]) => [l, t ? "yes" : "no", s.toFixed(3)]))];
  }

  function table(header, rows) {
    const line = (tag, cells) => el("tr", {}, ...cells.map((c) => el(tag, { className: "text" }, String(c ?? ""))));
    return el("div", { className: "scroll" }, el("table", {}, el("thead", {}, line("th", header)), el("tbody", {}, ...rows.map((r) => line("td", r)))));
  }

  function records(i, told) {
    const mine = new Set([...told.own, ...told.near]);
    const own = now.of.activities.filter((a) => mine.has(a.id));
    const actors = new Set(own.flatMap((a) => a.actors));
    const about = (record) => [...[C.id[i]].map((x) => `clip ${x}`), ...[...mine].map((x) => `activity ${x}`), ...[...actors].map((x) => `actor ${x}`), `segment ${told.segment}`]
      .some((x) => record === x || (record ?? "").startsWith(`${x} `));
    const issues = now.of.issues.filter((issue) => about(issue[4]));
    const where = (file, line) => (file ? `${file}${line ? `:${line}` : ""}` : "");
    return el("section", {}, el("h3", {}, "The records behind it"),
      table(["activity", "name", "labels", "frames", "part", "file and line"], own.map((a) => [a.id, a.name, a.labels.join(", ") || "none", `${a.start}–${a.end - 1}`, told.own.includes(a.id) ? "its own" : "a neighbour", where(a.file, a.line)])),
      issues.length ? table(["stage", "reason", "action", "count", "record", "file and line", "detail"], issues.map(([s, r, a, n, rec, f, l, d]) => [s, r, a, n, rec, where(f, l), d])) : el("p", { className: "dim" }, "No issue concerns it."));
  }

  function follow() {
    const { film: own, strip, i } = now, mine = now;
    tick(0);
    if (strip) {
      strip.strip.onload = () => now === mine && tick(now.frame);
      start(strip);
      return moves() && play();
    }
    if (!own) return;
    const seen = (_, meta) => {
      if (now !== mine) return;
      tick(Math.round(meta.mediaTime * rate(i)));
      own.requestVideoFrameCallback(seen);
    };
    own.requestVideoFrameCallback(seen);
    own.onplay = own.onpause = () => { if (now === mine) $("play").textContent = own.paused ? "Play" : "Pause"; };
    own.onloadeddata = () => now === mine && paint();
    start(own);
  }

  function play() {
    if (now.film) return now.film.paused ? now.film.play() : now.film.pause();
    $("play").textContent = now.timer ? "Play" : "Pause";
    clearInterval(now.timer);
    now.timer = now.timer ? 0 : setInterval(() => tick(now.frame < now.last ? now.frame + step(now.i) : 0), (1000 * step(now.i)) / rate(now.i));
  }

  function seek(frame) {
    const to = Math.min(Math.max(frame, 0), now.last);
    if (now.timer) play(); // which is a pause
    now.film?.pause();
    if (now.film) now.film.currentTime = (to + step(now.i) / 2) / rate(now.i);
    tick(to);
  }

  function tick(frame) {
    now.frame = Math.min(frame, C.frames[now.i] - 1);
    const said = `frame ${now.frame} of ${C.frames[now.i]}, ${count(C.start[now.i] + now.frame)} of the source`;
    Object.assign($("seek"), { value: now.frame, ariaValueText: said });
    // What plays is not read aloud, frame upon frame; what is stepped is.
    Object.assign($("frame"), { ariaLive: now.timer || now.film?.paused === false ? "off" : "polite", textContent: said });
    if (now.strip) turn(now.strip, now.frame);
    paint();
    now.mark?.setAttribute("x", now.toX(C.start[now.i] + now.frame));
  }

  // The box of an actor at a frame, straight between two that are known; null in a gap.
  function boxAt(actor, t) {
    const run = actor.runs.find((r) => r[0] <= t && t <= r[r.length - 5]);
    if (!run) return null;
    let a = 0;
    while (a + 5 < run.length && run[a + 5] <= t) a += 5;
    const b = Math.min(a + 5, run.length - 5);
    const part = b > a ? (t - run[a]) / (run[b] - run[a]) : 0;
    return [1, 2, 3, 4].map((k) => run[a + k] + part * (run[b + k] - run[a + k]));
  }

  function prepare(v) {
    const mine = now;
    now.who = new Map();
    for (const a of now.of.activities) for (const actor of a.actors) now.who.set(actor, [...(now.who.get(actor) ?? []), a]);
    if (!v.still) return;
    const back = el("img", { src: address(v.still[1]) });
    back.onload = () => { mine.back = back; if (now === mine) paint(); };
  }

  function paint() {
    const canvas = $("source-frame"), v = video(now.i), { i, frame, told } = now;
    if (!canvas) return;
    const w = C.width[i], h = C.height[i], x = now.xs[frame], y = now.ys[frame], t = C.start[i] + frame;
    const room = canvas.parentElement.clientWidth;
    const view = now.close ? [x - 2 * w, y - h, 5 * w, 3 * h] : [0, 0, v.width, v.height];
    const css = Math.min(room, 760), dense = window.devicePixelRatio || 1, k = (css / view[2]) * dense;
    const size = [Math.round(css * dense), Math.round(css * dense * (view[3] / view[2]))];
    if (canvas.width !== size[0] || canvas.height !== size[1]) [canvas.width, canvas.height] = size;
    canvas.style.width = `${css}px`;
    const pen = canvas.getContext("2d");
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.fillStyle = "#2a2f35";
    pen.fillRect(0, 0, canvas.width, canvas.height);
    pen.setTransform(k, 0, 0, k, -view[0] * k, -view[1] * k);
    pen.imageSmoothingEnabled = !now.close;
    pen.globalAlpha = 0.75;
    if (now.back) pen.drawImage(now.back, 0, 0, v.width, v.height);
    pen.globalAlpha = 1;
    pen.imageSmoothingEnabled = false;
    if (now.film?.readyState >= 2 || now.strip?.strip.naturalWidth) pen.drawImage(now.film ?? now.strip, x, y, w, h);
    const line = (colour, thick) => { pen.strokeStyle = colour; pen.lineWidth = (thick * dense) / k; };
    line("#ffffffb0", 1);
    pen.strokeRect(0, 0, v.width, v.height);
    pen.beginPath();
    now.xs.forEach((px, n) => pen.lineTo(px + w / 2, now.ys[n] + h / 2));
    pen.stroke();
    const mine = new Set(told.own), near = new Set(told.near), names = [];
    for (const actor of now.of.actors) {
      const box = boxAt(actor, t);
      if (!box) continue;
      const doing = (now.who.get(actor.id) ?? []).filter((a) => a.start <= t && t < a.end);
      const own = doing.some((a) => mine.has(a.id)), said = [...new Set(doing.flatMap((a) => a.labels))].join(", ");
      line(own ? "#e69f00" : said ? "#56b4e9" : "#9aa0a6", own ? 2 : 1.25);
      pen.strokeRect(box[0], box[1], box[2] - box[0], box[3] - box[1]);
      if (said && !own) names.push({ said, box, first: doing.some((a) => near.has(a.id)) ? 0 : 1 });
    }
    line("#ffffff", 2);
    pen.strokeRect(x, y, w, h);
    write(pen, names, dense / k, view, [x, y, x + w, y + h]);
  }

  // Names beside their boxes, the neighbours' first; none over another or over the window.
  function write(pen, names, px, view, window) {
    const taken = [];
    pen.font = `${12 * px}px system-ui, sans-serif`;
    const inside = (b) => b[2] > view[0] && b[0] < view[0] + view[2] && b[3] > view[1] && b[1] < view[1] + view[3];
    for (const { said, box } of names.filter((n) => inside(n.box)).sort((a, b) => a.first - b.first)) {
      const wide = pen.measureText(said).width, left = Math.min(box[0], view[0] + view[2] - wide - 2 * px);
      for (const base of [box[1] - 4 * px, box[3] + 12 * px]) {
        const own = [left, base - 11 * px, left + wide, base + 2 * px];
        if ([window, ...taken].some((o) => own[0] < o[2] && o[0] < own[2] && own[1] < o[3] && o[1] < own[3])) continue;
        taken.push(own);
        Object.assign(pen, { strokeStyle: "#000c", lineWidth: 3 * px, fillStyle: "#b5dff7" });
        pen.strokeText(said, left, base);
        pen.fillText(said, left, base);
        break;
      }
    }
  }

  function timeline() {
    const { i, of, told } = now, holder = $("line");
    const mine = new Set(told.own), near = new Set(told.near);
    const segments = of.segments.filter((s) => s.id === told.segment || s.activities.some((a) => mine.has(a)));
    const linked = new Set(segments.map((s) => s.id));
    const others = Object.entries(of.clips).filter(([id, c]) => id === C.id[i] || (c.segment !== null && linked.has(c.segment)));
    const bars = of.activities.filter((a) => mine.has(a.id) || near.has(a.id));
    const ends = [C.start[i], C.start[i] + C.frames[i], ...bars.filter((a) => mine.has(a.id)).flatMap((a) => [a.start, a.end]), ...segments.flatMap((s) => [s.start, s.end])];
    const [t0, t1] = [Math.min(...ends), Math.max(...ends)];
    const wide = Math.max(240, holder.clientWidth), left = wide < 500 ? 0 : 170, row = left ? 20 : 34;
    const x = (now.toX = (t) => left + ((Math.min(Math.max(t, t0), t1) - t0) / Math.max(1, t1 - t0)) * (wide - left - 2));
    const rows = bars.length + 2, made = svg("svg", { width: wide, height: rows * row + 20, role: "img" }, `Activities, segments and clips from frame ${t0} to ${t1}`);
    const text = (px, py, said, kind = "") => made.append(svg("text", { x: px, y: py, class: kind }, "", said));
    const bar = (n, a, b, kind, title) => made.append(svg("rect", { x: x(a), y: n * row + (left ? 3 : 17), width: Math.max(1, x(b) - x(a) - 1), height: 14, class: kind }, title));
    const short = (said) => (left && said.length > 24 ? `${said.slice(0, 23)}…` : said);
    bars.forEach((a, n) => {
      text(0, n * row + 14, short(a.labels.join(", ") || a.name), "name");
      bar(n, a.start, a.end, mine.has(a.id) ? "own" : "near", `${a.name} (${a.id}), frames ${a.start} to ${a.end - 1}`);
    });
    text(0, bars.length * row + 14, "segments", "name");
    for (const s of segments) {
      bar(bars.length, s.start, s.end, s.id === told.segment ? "segment now" : "segment", `segment ${s.id}: ${s.labels.join(" + ")}, frames ${s.start} to ${s.end - 1}\nbegins: ${s.why[0]}\nends: ${s.why[1]}`);
      for (const [a, b, why] of s.lost) bar(bars.length + 1, a, b, "lost", `frames ${a} to ${b - 1} are in no clip – ${why}`);
    }
    text(0, (bars.length + 1) * row + 14, "clips", "name");
    for (const [id, c] of others) {
      const k = place.get(id);
      bar(bars.length + 1, C.start[k], C.start[k] + C.frames[k], id === C.id[i] ? "clip now" : "clip", `${name(k)}, frames ${C.start[k]} to ${C.start[k] + C.frames[k] - 1}\nbegins: ${c.why[0]}\nends: ${c.why[1]}`);
    }
    text(left, rows * row + 15, count(t0));
    text(wide, rows * row + 15, count(t1), "end");
    now.mark = svg("rect", { x: x(C.start[i]), y: 0, width: 1.5, height: rows * row, class: "mark" });
    made.append(now.mark);
    const losses = segments.flatMap((s) => s.lost.map(([a, b, why]) => `Frames ${count(a)} to ${count(b - 1)} are in no clip – ${why}`));
    const cuts = [...segments.map((s) => [`segment ${s.id}`, s.start, s.end, s.why]), ...others.map(([id, c]) => [`clip ${name(place.get(id))}`, C.start[place.get(id)], C.start[place.get(id)] + C.frames[place.get(id)], c.why])];
    holder.replaceChildren(made, ...losses.map((l) => el("p", { className: "dim" }, l)), el("details", {}, el("summary", {}, "Where each segment and clip is cut, and why"),
      table(["", "frames", "begins", "ends"], cuts.map(([what, a, b, why]) => [what, `${count(a)}–${count(b - 1)}`, ...why]))));
  }

  function panelKeys(event) {
    if (event.target.matches("input[type=range]") && event.key.startsWith("Arrow")) return;
    const near = (by) => { const k = order.indexOf(now.i) + by; if (k >= 0 && k < order.length) { move(k, false); open(order[k]); } };
    const acts = { ArrowLeft: () => seek(now.frame - step(now.i)), ArrowRight: () => seek(now.frame + step(now.i)), n: () => near(1), p: () => near(-1) };
    if (event.key === " " && !event.target.matches("button, input, a, summary")) acts[" "] = play;
    if (!now?.told || !(event.key in acts) || browsers(event)) return;
    event.preventDefault();
    acts[event.key]();
  }

  async function begin() {
    head = await load("head");
    const parts = await Promise.all(Array.from({ length: head.chunks }, (_, k) => load(`clips-${k}`)));
    for (const column of Object.keys(parts[0] ?? { id: 0, found: 0 })) C[column] = parts.flatMap((p) => p[column]);
    C.id ??= [];
    C.id.forEach((id, i) => place.set(id, i));
    const own = scored && (await load("scores", scored));
    if (own) scores = new Map(own.clip_id.map((id, k) => [id, { truth: own.truth[k], scores: own.scores[k] }]));
    fill();
    $("filters").onsubmit = (event) => event.preventDefault();
    $("filters").oninput = () => requestAnimationFrame(apply);
    $("filters").onreset = () => setTimeout(apply);
    $("grid").onscroll = () => requestAnimationFrame(draw);
    $("grid").onkeydown = gridKeys;
    $("moving").checked = !matchMedia("(prefers-reduced-motion: reduce)").matches;
    $("moving").onchange = () => { [...shown.keys()].forEach(drop); draw(); };
    const turned = (one) => turn(one, Math.floor((performance.now() / 1000) * rate(one.clip)) % C.frames[one.clip]);
    setInterval(() => document.querySelectorAll(moves() ? ".clip canvas, .twins canvas" : ".clip:hover canvas").forEach(turned), 50);
    new ResizeObserver(() => { draw(); if ($("panel").open && now?.told) { timeline(); paint(); } }).observe($("grid"));
    $("panel").onkeydown = panelKeys;
    $("panel").onclose = () => { if ($("panel").open) return; shut(); history.replaceState(null, "", location.pathname + location.search); $("panel-body").replaceChildren(); now = null; if (shown.get(at)) shown.get(at).focus({ preventScroll: true }); };
    $("close").onclick = () => $("panel").close();
    $("before").onclick = () => panelKeys(new KeyboardEvent("keydown", { key: "p" }));
    $("after").onclick = () => panelKeys(new KeyboardEvent("keydown", { key: "n" }));
    apply();
    document.body.dataset.ready = "yes";
    const asked = place.get(location.hash.slice(1));
    if (asked !== undefined) open(asked);
  }

  begin().catch((e) => { $("told").textContent = e.message; });
})();
