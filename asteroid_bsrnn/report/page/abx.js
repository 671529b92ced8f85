"use strict";
// Blind test: trials are a function of the seed alone.
const abx = (function () {
  const element = (id) => document.getElementById("abx-" + id);
  const COLUMNS = ["seed", "trial", "clip", "source", "a", "b", "x", "answer", "correct", "listens_a", "listens_b", "listens_x", "seconds"];
  let trials = [], at = -1, answers = [], player = null, seed = 0, heard = {}, shown = 0;

  // A small generator of random numbers with 32 bits of state (mulberry32).
  function random(state) {
    return function () {
      state = (state + 0x6d2b79f5) | 0;
      let t = Math.imul(state ^ (state >>> 15), 1 | state);
      t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
      return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    };
  }

  function shuffle(list, draw) {
    for (let i = list.length - 1; i > 0; i--) {
      const j = Math.floor(draw() * (i + 1));
      [list[i], list[j]] = [list[j], list[i]];
    }
    return list;
  }

  // All pairs of sounds of one source that may be compared; copies of references are none.
  function pairs(withReferences) {
    const found = [];
    for (const clip of manifest.clips) for (const group of clip.groups) {
      const sounds = group.tracks.filter((track) => !track.copy && (track.kind === "estimate" || withReferences && track.kind === "reference"));
      sounds.forEach((one, i) => sounds.slice(i + 1).forEach((two) => found.push({ clip, group, one, two })));
    }
    return found;
  }

  function makeTrials(seed, count, withReferences) {
    const draw = random(seed), all = pairs(withReferences), made = [];
    let pool = [];
    while (made.length < count && all.length) {
      if (!pool.length) pool = shuffle([...all], draw);
      const pair = pool.pop(), [a, b] = draw() < 0.5 ? [pair.one, pair.two] : [pair.two, pair.one];
      made.push({ clip: pair.clip, group: pair.group, a, b, x: draw() < 0.5 ? "a" : "b" });
    }
    return made;
  }

  function start() {
    seed = Math.trunc(Number(element("seed").value)) || 0;
    trials = makeTrials(seed, Math.max(1, Math.trunc(Number(element("count").value)) || 1), element("references").checked);
    at = -1;
    answers = [];
    element("export").disabled = true;
    element("result").textContent = trials.length ? "" : "There is no pair of sounds to compare: a blind test needs two systems, or references.";
    next();
  }

  function next() {
    if (player) player.close();
    player = null;
    at += 1;
    heard = { a: 0, b: 0, x: 0 };
    shown = performance.now();
    element("trial").hidden = at >= trials.length;
    if (at >= trials.length) return finish();
    const trial = trials[at];
    element("progress").textContent = "Trial " + (at + 1) + " of " + trials.length;
    player = new Player([{ id: "a", audio: trial.a.audio }, { id: "b", audio: trial.b.audio }, { id: "x", audio: trial[trial.x].audio }], showSounds);
    showSounds();
  }

  async function listen(name) {
    if (!player) return;
    if (page.player && page.player.playing) pause();
    heard[name] += 1;
    player.select(name);
    showSounds();
    if (!player.playing) await player.play().catch((error) => say(String(error.message)));
    showSounds();
  }

  function showSounds() {
    for (const button of document.querySelectorAll(".abx-sound")) {
      button.setAttribute("aria-pressed", String(Boolean(player && player.playing && player.current === button.dataset.sound)));
    }
  }

  function answer(name) {
    if (!player) return;
    const trial = trials[at];
    answers.push({ seed, trial: at + 1, clip: trial.clip.name, source: trial.group.source, a: trial.a.label, b: trial.b.label, x: trial.x,
      answer: name, correct: Number(name === trial.x), listens_a: heard.a, listens_b: heard.b, listens_x: heard.x,
      seconds: ((performance.now() - shown) / 1000).toFixed(1) });
    element("export").disabled = false;
    next();
  }

  // Probability of at least this many right answers by guessing.
  function chance(right, count) {
    let term = Math.pow(0.5, count), sum = 0;
    for (let k = 0; k <= count; k++) {
      if (k >= right) sum += term;
      term = term * (count - k) / (k + 1);
    }
    return Math.min(1, sum);
  }

  function finish() {
    if (!trials.length) return;
    const right = answers.reduce((sum, row) => sum + row.correct, 0), rows = answers.map((row) =>
      [row.trial, row.clip, row.source, row.a, row.b, row.x.toUpperCase(), row.answer.toUpperCase(), row.correct ? "right" : "wrong"]);
    const result = element("result"), line = document.createElement("p"), table = document.createElement("table");
    line.textContent = right + " of " + answers.length + " right. Guessing would do as well with a probability of " + chance(right, answers.length).toPrecision(2) + ".";
    for (const cells of [["Trial", "Clip", "Source", "A", "B", "X was", "Answer", ""], ...rows]) {
      const row = table.insertRow();
      for (const cell of cells) row.insertCell().textContent = cell;
    }
    result.replaceChildren(line, table);
  }

  function csv() {
    const quote = (value) => /[",\n]/.test(String(value)) ? '"' + String(value).replace(/"/g, '""') + '"' : String(value);
    return [COLUMNS, ...answers.map((row) => COLUMNS.map((name) => row[name]))].map((row) => row.map(quote).join(",")).join("\n") + "\n";
  }

  function save() {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([csv()], { type: "text/csv" }));
    link.download = "abx_seed_" + seed + ".csv";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }

  function stop() { if (player) { player.pause(); showSounds(); } }

  // Keys of the blind test, while one is running; true when the key was used.
  function key(event) {
    const name = event.key.toLowerCase();
    if (!player || !["a", "b", "x"].includes(name)) return false;
    if (event.shiftKey && name !== "x") answer(name); else listen(name);
    return true;
  }

  element("start").addEventListener("click", start);
  element("stop").addEventListener("click", stop);
  element("export").addEventListener("click", save);
  for (const button of document.querySelectorAll(".abx-sound")) button.addEventListener("click", () => listen(button.dataset.sound));
  for (const button of document.querySelectorAll(".abx-answer")) button.addEventListener("click", () => answer(button.dataset.answer));
  return { makeTrials, start, stop, key, csv, get player() { return player; }, get trials() { return trials; }, get answers() { return answers; } };
})();
