// The players of the prompts: one plays at a time, and switching to another goes on at the same place.

const players = []; // of all prompts
let current = null; // the player that was used last

for (const section of document.querySelectorAll(".prompt")) {
  const prompt = { section, position: 0, players: [] };
  for (const cell of section.querySelectorAll(".clip")) {
    const audio = cell.querySelector("audio");
    // A cell without audio keeps its number, so that a key means the same system in every prompt.
    prompt.players.push(audio && connect(cell, audio, prompt));
  }
}

function connect(cell, audio, prompt) {
  const [button, slider, head, time] = ["button", "input", ".head", "output"].map((name) => cell.querySelector(name));
  const player = { audio, prompt, play, stop, show };
  audio.controls = false;
  for (const element of [button, slider, time]) element.hidden = false;

  async function play() {
    for (const other of players) if (other !== player) other.stop();
    current = player;
    const length = audio.duration || Number(slider.max);
    audio.currentTime = prompt.position < length - 0.05 ? prompt.position : 0;
    try {
      await audio.play();
    } catch (error) {
      // Stopped by the next player before it could begin.
      if (error.name !== "AbortError") time.textContent = "cannot play";
    }
  }

  function stop() {
    if (audio.paused) return;
    // Pictures are not drawn in a hidden tab, so the place that they show may be an old one.
    move(audio.currentTime);
    audio.pause();
  }

  function show(seconds) {
    slider.value = seconds;
    head.hidden = seconds === 0;
    head.style.left = `${(100 * seconds) / slider.max}%`;
    time.textContent = clock(seconds);
    slider.setAttribute("aria-valuetext", `${seconds.toFixed(1)} seconds`);
  }

  function move(seconds) {
    prompt.position = seconds;
    for (const other of prompt.players) if (other) other.show(seconds);
  }

  function follow() {
    if (audio.paused) return;
    move(audio.currentTime);
    requestAnimationFrame(follow);
  }

  button.addEventListener("click", () => (audio.paused ? play() : stop()));
  slider.addEventListener("input", () => {
    const seconds = Number(slider.value);
    move(seconds);
    const playing = prompt.players.find((other) => other && !other.audio.paused);
    (playing || player).audio.currentTime = seconds;
    if (!playing) current = player;
  });
  audio.addEventListener("play", () => {
    cell.classList.add("playing");
    button.setAttribute("aria-pressed", "true");
    follow();
  });
  audio.addEventListener("pause", () => {
    cell.classList.remove("playing");
    button.setAttribute("aria-pressed", "false");
  });
  audio.addEventListener("ended", () => move(0));
  audio.addEventListener("error", () => (time.textContent = "cannot load"));
  players.push(player);
  return player;
}

// The prompt in use, or else the first that is in view.
function activePrompt() {
  if (current) return current.prompt;
  const seen = players.find((player) => player.prompt.section.getBoundingClientRect().bottom > 0);
  return seen && seen.prompt;
}

document.addEventListener("keydown", (event) => {
  const prompt = activePrompt();
  if (!prompt || !prompt.section.isConnected || !isShortcut(event)) return;
  if (event.key >= "1" && event.key <= "9") {
    const player = prompt.players[Number(event.key) - 1];
    if (player) player.play();
  } else if (event.key === " ") {
    const player = current || prompt.players.find(Boolean);
    if (player.audio.paused) player.play();
    else player.stop();
    event.preventDefault();
  }
});
