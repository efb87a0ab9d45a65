// The blind comparison: its settings, its trials (nothing else is on the page meanwhile), and its results.

const setup = byId("ab");
const trialView = byId("trial");
const title = document.title;
let sitting = null; // the state that ab_sheet.js keeps
let pair = null; // the player of the trial's two clips
let trials = [];
let shelved = []; // the page's other elements while a sitting is on

const record = () => (sitting.records[sitting.at] ??= newRecord());
const say = (text) => (byId("trial-said").textContent = text);

function start() {
  const systems = [...setup.querySelectorAll("[name=system]:checked")].map(({ value }) => Number(value));
  const count = byId("ab-count").valueAsNumber;
  const seed = byId("ab-seed").value.trim();
  let problem = "";
  if (!pairsOf(systems).length) problem = "Choose at least two systems.";
  else if (!(Number.isInteger(count) && count >= 1 && count <= 500)) problem = "The number of trials goes from 1 to 500.";
  else if (!seed) problem = "Give a seed: any number or word.";
  byId("ab-problem").textContent = problem;
  if (problem) return;
  const session = [...crypto.getRandomValues(new Uint32Array(2))].map((n) => n.toString(16).padStart(8, "0")).join("");
  sitting = { session, seed, systems, count, at: 0, done: false, matched: canSetVolume(), records: [] };
  begin();
}

// What could tell which clip is which leaves the document; begins at trial `sitting.at`.
function begin() {
  for (const player of players) player.stop();
  shelved = [...document.body.children].filter((element) => element !== trialView);
  for (const element of shelved) element.remove();
  document.title = "Blind comparison";
  trialView.hidden = false;
  trials = drawTrials(sitting.seed, sitting.systems, sitting.count);
  byId("trial-kept").hidden = keep(sitting);
  byId("trial-loudness").hidden = sitting.matched;
  openTrial();
}

function openTrial() {
  if (pair) pair.close();
  const trial = trials[sitting.at];
  pair = makePairPlayer(trial, showPlace, () => {
    pair.stop();
    Object.assign(record(), { answer: "failed", time: new Date().toISOString() });
    say("A clip of this trial cannot be played; go on to the next one.");
    showAnswer();
  });
  Object.assign(pair, { heard: record().heard, seconds: record().seconds });
  byId("trial-name").textContent = `Trial ${sitting.at + 1} of ${sitting.count}`;
  byId("trial-progress").style.width = `${(100 * sitting.at) / sitting.count}%`;
  byId("trial-caption").textContent = comparison.prompts[trial.prompt].caption;
  byId("trial-place").max = pair.length;
  byId("trial-comment").value = record().comment;
  byId("trial-next").textContent = sitting.at + 1 < sitting.count ? "Next" : "Finish";
  say(byId("trial-name").textContent);
  showPlace();
  showAnswer();
  scrollTo(0, 0);
  trialView.focus({ preventScroll: true });
}

function showPlace() {
  for (const side of ["A", "B"])
    byId(`trial-${side}`).setAttribute("aria-pressed", String(pair.playing && pair.side === side));
  byId("trial-place").value = pair.position;
  byId("trial-place").setAttribute("aria-valuetext", `${pair.position.toFixed(1)} seconds`);
  byId("trial-clock").textContent = `${clock(pair.position)} / ${clock(pair.length)}`;
  if (record().heard.length < 2 && pair.heard.length === 2) say("You have heard both; which do you prefer?");
  Object.assign(record(), { heard: pair.heard, seconds: pair.seconds });
  trialView.classList.toggle("heard", pair.heard.length === 2);
}

function showAnswer() {
  for (const button of trialView.querySelectorAll("[data-answer]"))
    button.setAttribute("aria-pressed", String(button.dataset.answer === record().answer));
  byId("trial-next").disabled = !record().answer;
  keep(sitting);
}

// A side's own button also stops it, as the space bar does.
function playSide(side, toggle) {
  if (pair.playing && pair.side === side) {
    if (!toggle) return;
    pair.stop();
    say("Stopped");
  } else {
    pair.play(side);
    say(`Playing ${side}`);
  }
}

function answer(choice) {
  if (record().answer === "failed") return;
  if (pair.heard.length < 2) return say("Listen to both A and B first.");
  Object.assign(record(), { answer: choice, time: new Date().toISOString() });
  say(choice === "none" ? "Answer: no preference" : `Answer: ${choice}`);
  showAnswer();
}

function next() {
  if (!record().answer) return say("Answer first: A, B or no preference.");
  pair.stop();
  if (sitting.at + 1 === sitting.count) return finish();
  sitting.at += 1;
  keep(sitting);
  openTrial();
}

function finish() {
  pair.close();
  pair = null;
  sitting.done = true;
  keep(sitting);
  trialView.hidden = true;
  document.body.prepend(...shelved);
  document.title = title;
  showResults();
  byId("ab-results").scrollIntoView();
  byId("ab-results").focus({ preventScroll: true });
}

function showResults() {
  const count = answered(sitting).length;
  const percent = (share) => `${Math.round(100 * share)} %`;
  const lines = tally(sitting).map(({ system, wins, losses, ties, interval }) => {
    const share = wins + losses ? `${percent(wins / (wins + losses))} [${interval.map(percent).join(", ")}]` : "–";
    return make("tr", {}, make("th", { scope: "row" }, comparison.systems[system].label), ...[wins, losses, ties, share].map((cell) => make("td", {}, String(cell))));
  });
  byId("ab-tally").replaceChildren(...lines);
  byId("ab-said").textContent = `${count} of ${sitting.count} trials answered, seed ${sitting.seed}.`;
  byId("ab-sheet").disabled = !count;
  byId("ab-settings").hidden = true;
  byId("ab-results").hidden = false;
}

function download() {
  const address = URL.createObjectURL(new Blob([sheetText(sitting)], { type: "text/csv" }));
  make("a", { href: address, download: `answers-${comparison.audio}-${sitting.session}.csv` }).click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}

// Ready for another sitting, with the seed of the address (#ab=SEED) or a fresh one.
function showSettings() {
  forget();
  sitting = null;
  const given = /^#ab=(.+)$/.exec(location.hash);
  let seed = String(crypto.getRandomValues(new Uint32Array(1))[0] % 1000000);
  try {
    if (given) seed = decodeURIComponent(given[1]);
  } catch {
    seed = given[1];
  }
  byId("ab-seed").value = seed;
  byId("ab-settings").hidden = false;
  byId("ab-results").hidden = true;
  if (given) setup.scrollIntoView();
}
