// Plays the two clips of a trial, one at a time, from one place, equally loud and equally long.

// The louder one is turned down to the other, at most so far that a broken clip leaves its neighbour audible.
// A silent clip has no loudness to match.
function matchedVolumes(one, other) {
  if (one === null || other === null) return [1, 1];
  return [one, other].map((own) => 10 ** (Math.max(Math.min(one, other) - own, -comparison.attenuation) / 20));
}

// Whether these volumes make them equally loud.
function canMatch(one, other) {
  return one !== null && other !== null && Math.abs(one - other) <= comparison.attenuation;
}

// Some browsers (of telephones) leave loudness to the buttons of the device.
function canSetVolume() {
  const probe = new Audio();
  probe.volume = 0.5;
  return probe.volume === 0.5;
}

// `changed` is called whenever the place, the side or the state of playing changes, `failed` when a clip does not play.
function makePairPlayer({ prompt, a, b }, changed, failed) {
  const clips = [a, b].map((system) => comparison.prompts[prompt].clips[system]);
  const volumes = matchedVolumes(clips[0].loudness, clips[1].loudness);
  // A longer clip is cut: its length would tell the systems apart.
  const length = Math.min(...clips.map(({ seconds }) => seconds));
  const player = { sides: {}, side: "A", position: 0, length, seconds: 0, heard: "", playing: false };
  let timer = 0;
  clips.forEach(({ address }, n) => {
    // Out of the document, where no address can be read.
    const audio = new Audio(address);
    audio.preload = "auto";
    audio.volume = volumes[n];
    audio.addEventListener("error", failed);
    player.sides["AB"[n]] = audio;
  });

  player.play = async (side) => {
    player.stop();
    player.side = side;
    const audio = player.sides[side];
    audio.currentTime = player.position < length - 0.05 ? player.position : 0;
    player.position = audio.currentTime;
    player.playing = true;
    timer = setInterval(follow, 50);
    changed();
    try {
      await audio.play();
    } catch (error) {
      // Stopped by the other side before it could begin.
      if (error.name === "AbortError") return;
      player.stop();
      // Some browsers want another click before anything sounds.
      if (error.name !== "NotAllowedError") failed();
    }
  };

  player.stop = () => {
    if (!player.playing) return;
    follow();
    halt();
    changed();
  };

  player.move = (seconds) => {
    player.position = seconds;
    player.sides[player.side].currentTime = seconds;
    changed();
  };

  player.close = () => {
    halt();
    for (const audio of Object.values(player.sides)) {
      audio.removeEventListener("error", failed);
      audio.removeAttribute("src");
      audio.load();
    }
  };

  function halt() {
    clearInterval(timer);
    player.playing = false;
    for (const audio of Object.values(player.sides)) audio.pause();
  }

  function follow() {
    if (!player.playing) return;
    const place = player.sides[player.side].currentTime;
    player.seconds += Math.max(0, place - player.position);
    player.position = place;
    if (place > 0 && !player.heard.includes(player.side)) player.heard += player.side;
    if (place >= length - 0.01 || player.sides[player.side].ended) {
      halt();
      player.position = 0;
    }
    changed();
  }

  return player;
}
