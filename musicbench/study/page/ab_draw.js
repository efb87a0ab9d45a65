// Which clips the trials of a blind comparison play: the same seed, systems and number of trials give the same ones.

// Uniform numbers from 0 to below 1: Marsaglia's xorshift of 32 bits (2003), begun from an FNV-1a hash of the seed.
function makeGenerator(seed) {
  let state = 0x811c9dc5;
  for (const character of seed) state = Math.imul(state ^ character.codePointAt(0), 0x01000193);
  if (state === 0) state = 1;
  const next = () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
  // Seeds that are alike begin alike.
  for (let n = 0; n < 32; n += 1) next();
  return next;
}

// Pairs of systems (by number) that share a prompt, with these prompts.
function pairsOf(systems) {
  const shared = (one, other) =>
    comparison.prompts.flatMap(({ clips }, prompt) => (clips[one] && clips[other] ? [prompt] : []));
  return systems
    .flatMap((one, n) => systems.slice(n + 1).map((other) => ({ one, other, prompts: shared(one, other) })))
    .filter(({ prompts }) => prompts.length);
}

// Trials {prompt, a, b}. Each choice takes what had the fewest turns, and chance decides among equals: numbers of
// trials of any two pairs differ by at most one, and so do a pair's two orders.
function drawTrials(seed, systems, count) {
  const random = makeGenerator(seed);
  const turns = new Map();
  const had = (...what) => turns.get(what.join()) || 0;
  const take = (...what) => turns.set(what.join(), had(...what) + 1);
  const choose = (options, ...costs) => {
    for (const cost of costs) {
      const least = Math.min(...options.map(cost));
      options = options.filter((option) => cost(option) === least);
    }
    return options[Math.floor(random() * options.length)];
  };
  const pairs = pairsOf(systems);
  const trials = [];
  for (let trial = 0; trial < count; trial += 1) {
    const pair = choose(
      pairs,
      ({ one, other }) => had("pair", one, other),
      ({ one, other }) => Math.max(had("system", one), had("system", other)),
      ({ one, other }) => had("system", one) + had("system", other),
    );
    const { one, other } = pair;
    const prompt = choose(
      pair.prompts,
      (option) => had("pair", one, other, option),
      (option) => had("prompt", option),
    );
    const [a, b] = choose(
      [[one, other], [other, one]],
      ([a, b]) => had("order", a, b),
      ([a]) => had("a", a) - had("system", a) / 2,
    );
    for (const what of [["pair", one, other], ["pair", one, other, prompt], ["prompt", prompt]]) take(...what);
    for (const what of [["system", one], ["system", other], ["order", a, b], ["a", a]]) take(...what);
    trials.push({ prompt, a, b });
  }
  return trials;
}
