// A sitting's answers: kept in this browser, counted, and written as a sheet.

// state: session, seed, systems (numbers), count, at (the trial now), done, matched, and records, one a trial.
const STORE = `musicbench-ab-${comparison && comparison.audio}`;

function keep(state) {
  try {
    localStorage.setItem(STORE, JSON.stringify(state));
    return true;
  } catch {
    return false; // private windows and full disks: the sitting lasts as long as the tab
  }
}

function recall() {
  try {
    const state = JSON.parse(localStorage.getItem(STORE));
    return state && Array.isArray(state.records) && state.systems.every((n) => comparison.systems[n]) ? state : null;
  } catch {
    return null;
  }
}

function forget() {
  try {
    localStorage.removeItem(STORE);
  } catch {
    // Nothing was kept either.
  }
}

const newRecord = () => ({ heard: "", answer: "", comment: "", seconds: 0, time: "" });

// Answered trials with their systems: {trial, prompt, a, b, record}.
function answered(state) {
  return drawTrials(state.seed, state.systems, state.count)
    .map((drawn, n) => ({ ...drawn, trial: n + 1, record: state.records[n] }))
    .filter(({ record }) => record && record.answer);
}

// Wins, losses and ties of each system, and the share of wins among the answers that prefer one.
function tally(state) {
  return state.systems.map((system) => {
    const own = answered(state).filter(({ a, b }) => a === system || b === system);
    const count = (side) => own.filter((one) => one.record.answer === side && one[side.toLowerCase()] === system).length;
    const decided = own.filter(({ record }) => record.answer === "A" || record.answer === "B").length;
    const wins = count("A") + count("B");
    const ties = own.filter(({ record }) => record.answer === "none").length;
    return { system, wins, losses: decided - wins, ties, interval: wilson(wins, decided) };
  });
}

// Wilson's 95 % interval of a share (1927); all of 0 to 1 without a count.
function wilson(wins, count) {
  if (!count) return [0, 1];
  const z = 1.959964;
  const share = wins / count;
  const centre = share + (z * z) / (2 * count);
  const reach = z * Math.sqrt((share * (1 - share)) / count + (z * z) / (4 * count * count));
  const scale = 1 + (z * z) / count;
  return [Math.max(0, (centre - reach) / scale), Math.min(1, (centre + reach) / scale)];
}

// CRC-32, as zip files have it, of text in UTF-8: eight hex digits.
function crc32(text) {
  let crc = ~0;
  for (const byte of new TextEncoder().encode(text)) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (0xedb88320 & -(crc & 1));
  }
  return (~crc >>> 0).toString(16).padStart(8, "0");
}

// The sheet as CSV text, a line an answered trial; its columns are those that `musicbench answers` reads.
function sheetText(state) {
  const lines = answered(state);
  const loudness = (prompt, system) => comparison.prompts[prompt].clips[system].loudness;
  const rows = lines.map(({ trial, prompt, a, b, record }) => ({
    title: comparison.title,
    table: comparison.audio,
    session: state.session,
    seed: state.seed,
    answers: lines.length,
    trial,
    prompt: comparison.prompts[prompt].name,
    system_a: comparison.systems[a].row,
    system_b: comparison.systems[b].row,
    heard: record.heard,
    answer: record.answer,
    seconds: record.seconds.toFixed(1),
    matched: state.matched && canMatch(loudness(prompt, a), loudness(prompt, b)) ? "yes" : "no",
    comment: record.comment,
    time: record.time,
  }));
  const quoted = (value) => `"${String(value).replaceAll('"', '""')}"`;
  const columns = comparison.sheet.slice(0, -1); // and the checksum of what stands in them
  const checked = (cells) => [...cells, crc32(cells.join("\n"))];
  const cells = [comparison.sheet, ...rows.map((row) => checked(columns.map((column) => row[column])))];
  return cells.map((line) => `${line.map(quoted).join()}\n`).join("");
}
