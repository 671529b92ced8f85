"use strict";
// Plays the sounds of one group together, all muted but one, so that switching keeps the position to the sample block.
class Player {
  // tracks: [{id, audio}]; onEnd is called when the sound that is heard has ended.
  constructor(tracks, onEnd) {
    this.sounds = new Map();
    this.current = tracks[0].id;
    this.playing = false;
    for (const track of tracks) {
      const audio = new Audio(track.audio);
      audio.preload = "auto";
      audio.addEventListener("ended", () => {
        if (this.playing && audio === this.heard) { this.pause(); this.seek(0); onEnd(); }
      });
      this.sounds.set(track.id, audio);
    }
  }

  get heard() { return this.sounds.get(this.current); }
  get position() { return this.heard.currentTime; }

  async play() {
    const start = this.position, all = [...this.sounds.values()];
    this.playing = true;
    await Promise.all(all.map(Player.ready));
    if (!this.playing) return;
    for (const audio of all) {
      audio.muted = audio !== this.heard;
      if (Math.abs(audio.currentTime - start) > 0.001) audio.currentTime = start;
    }
    await Promise.all(all.map((audio) => audio.play().catch((error) => {
      if (error.name !== "AbortError") throw error; // a pause that came before the start
    })));
    this.align();
  }

  pause() {
    this.playing = false;
    for (const audio of this.sounds.values()) audio.pause();
    this.align();
  }

  seek(seconds) {
    for (const audio of this.sounds.values()) audio.currentTime = seconds;
  }

  select(id) {
    const before = this.heard;
    this.current = id;
    if (this.heard === before) return;
    if (Math.abs(this.heard.currentTime - before.currentTime) > 0.02) this.heard.currentTime = before.currentTime;
    before.muted = true;
    this.heard.muted = false;
  }

  // Sounds that started late catch up with the one that is heard.
  align() {
    const position = this.position;
    for (const audio of this.sounds.values()) {
      if (audio !== this.heard && Math.abs(audio.currentTime - position) > 0.02) audio.currentTime = position;
    }
  }

  // Browsers allow only so many open sounds.
  close() {
    this.pause();
    for (const audio of this.sounds.values()) { audio.removeAttribute("src"); audio.load(); }
  }

  static ready(audio) {
    if (audio.readyState >= 2) return Promise.resolve();
    return new Promise((resolve, reject) => {
      audio.addEventListener("canplay", resolve, { once: true });
      audio.addEventListener("error", () => reject(new Error("cannot play " + audio.src)), { once: true });
    });
  }
}
