"use strict";
const manifest = JSON.parse(document.getElementById("manifest").textContent);
const page = { player: null, clip: null, group: null };

function say(text) { document.getElementById("status").textContent = text; }
function sectionOf(clip) { return document.getElementById(clip.key); }
function find(trackId) {
  for (const clip of manifest.clips) for (const group of clip.groups) for (const track of group.tracks) {
    if (track.id === trackId) return { clip, group, track };
  }
  return null;
}

// Make a sound the one that is heard; a sound of another source takes over position and play.
async function choose(trackId, start) {
  const { clip, group, track } = find(trackId);
  const wasPlaying = page.player && page.player.playing, sameClip = page.clip === clip;
  if (page.group !== group) {
    const position = sameClip ? page.player.position : Number(sectionOf(clip).querySelector(".seek").value);
    if (page.player) page.player.close();
    if (page.clip && !sameClip) show(false);
    Object.assign(page, { clip, group, player: new Player(group.tracks, () => show(true)) });
    page.player.current = trackId;
    page.player.seek(position);
  }
  page.player.select(trackId);
  show(true);
  say(track.label + ", " + group.source);
  if (start && !page.player.playing || wasPlaying && !page.player.playing) await play();
}

async function play() {
  abx.stop();
  const playing = page.player.play();
  show(true);
  try { await playing; } catch (error) { say(String(error.message)); page.player.pause(); }
  show(true);
}

function pause() { page.player.pause(); show(true); }
function toggle() { return page.player && page.player.playing ? pause() : page.player ? play() : choose(manifest.clips[0].groups[0].tracks[0].id, true); }

function seek(seconds) {
  if (!page.player) return;
  page.player.seek(Math.min(Math.max(0, seconds), page.clip.seconds - 0.01));
  show(true);
}

// Bring the buttons, the slider and the play heads of the clip in hand up to date.
function show(active) {
  const section = sectionOf(page.clip), playing = active && page.player.playing;
  section.classList.toggle("active", active);
  for (const button of section.querySelectorAll(".track")) {
    button.setAttribute("aria-pressed", String(active && button.dataset.track === page.player.current));
  }
  section.querySelector(".play span").textContent = playing ? "❚❚" : "▶";
  const track = active ? find(page.player.current) : null;
  section.querySelector(".now").textContent = track ? track.track.label + " · " + track.group.source : "";
  if (active) showPosition(section);
}

function showPosition(section) {
  const position = page.player.position, share = 100 * position / page.clip.seconds;
  section.querySelector(".seek").value = position;
  section.querySelector(".time").textContent = position.toFixed(1) + " / " + page.clip.seconds.toFixed(1) + " s";
  for (const head of section.querySelectorAll(".head")) head.style.left = share + "%";
}

function step(by) {
  if (!page.player) return;
  const ids = page.group.tracks.map((track) => track.id);
  choose(ids[(ids.indexOf(page.player.current) + by + ids.length) % ids.length], false);
}

function stepGroup(by) {
  if (!page.player) return;
  const groups = page.clip.groups, place = page.group.tracks.findIndex((track) => track.id === page.player.current);
  const next = groups[(groups.indexOf(page.group) + by + groups.length) % groups.length];
  choose(next.tracks[Math.min(place, next.tracks.length - 1)].id, false);
}

document.addEventListener("click", (event) => {
  const track = event.target.closest(".track"), button = event.target.closest("[data-action=play]");
  if (track) {
    const picture = event.target.closest(".picture");
    choose(track.dataset.track, true);
    if (picture && event.detail > 0) {
      const box = picture.getBoundingClientRect();
      seek((event.clientX - box.left) / box.width * page.clip.seconds);
    }
  } else if (button) {
    const clip = manifest.clips.find((item) => item.key === button.closest(".clip").dataset.clip);
    if (page.clip === clip) toggle(); else choose(clip.groups[0].tracks[0].id, true);
  }
});

document.addEventListener("input", (event) => {
  if (!event.target.classList.contains("seek")) return;
  if (page.clip && page.clip.key === event.target.closest(".clip").dataset.clip) seek(Number(event.target.value));
});

const KEYS = {
  " ": toggle, ArrowUp: () => step(-1), ArrowDown: () => step(1), "[": () => stepGroup(-1), "]": () => stepGroup(1),
  ArrowLeft: () => seek(page.player ? page.player.position - 1 : 0), ArrowRight: () => seek(page.player ? page.player.position + 1 : 0),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, summary")) return;
  if (event.key === " " && event.target.closest("button, a") && !event.target.closest(".track")) return;
  if (abx.key(event)) { event.preventDefault(); return; }
  const number = "123456789".indexOf(event.key);
  if (KEYS[event.key]) { KEYS[event.key](); event.preventDefault(); }
  else if (event.key.length === 1 && number >= 0 && page.group && page.group.tracks[number]) choose(page.group.tracks[number].id, false);
});
document.addEventListener("keyup", (event) => {
  if (event.key === " " && event.target.closest(".track")) event.preventDefault(); // else the browser clicks it
});

document.getElementById("theme").addEventListener("click", () => {
  const root = document.documentElement;
  root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
});

(function frame() {
  if (page.player && page.player.playing) showPosition(sectionOf(page.clip));
  requestAnimationFrame(frame);
})();
