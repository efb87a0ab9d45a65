// The blind comparison's buttons and keys; goes on with a sitting that a reload interrupted.

function connectTrial() {
  for (const side of ["A", "B"]) byId(`trial-${side}`).addEventListener("click", () => playSide(side, true));
  for (const button of trialView.querySelectorAll("[data-answer]"))
    button.addEventListener("click", () => answer(button.dataset.answer));
  byId("trial-place").addEventListener("input", (event) => pair.move(Number(event.target.value)));
  byId("trial-comment").addEventListener("input", (event) => {
    record().comment = event.target.value;
    keep(sitting);
  });
  byId("trial-next").addEventListener("click", next);
  byId("trial-end").addEventListener("click", () => {
    pair.stop();
    if (confirm("End here and show what is preferred so far?")) finish();
  });
  trialView.addEventListener("click", (event) => {
    // After a click the keys mean the trial again, and space does not press the same button once more.
    if (event.detail && event.target.closest("button") && pair) trialView.focus({ preventScroll: true });
  });
}

const TRIAL_KEYS = {
  a: () => playSide("A", false),
  b: () => playSide("B", false),
  " ": () => playSide(pair.side, true),
  1: () => answer("A"),
  2: () => answer("B"),
  3: () => answer("none"),
  n: next,
};

if (comparison) {
  connectTrial();
  document.addEventListener("keydown", (event) => {
    const act = TRIAL_KEYS[event.key.toLowerCase()];
    if (!pair || !act || event.repeat || !isShortcut(event)) return;
    event.preventDefault();
    act();
  });
  // A tab that is closed or reloaded remembers how long was listened.
  addEventListener("pagehide", () => pair && keep(sitting));
  byId("ab-start").addEventListener("click", start);
  byId("ab-sheet").addEventListener("click", download);
  byId("ab-again").addEventListener("click", showSettings);
  sitting = recall();
  if (!sitting) showSettings();
  else if (sitting.done) showResults();
  else begin();
}
