// Axes: where a value lies, and which values get a tick.

// Maps values to pixels, linearly or (values above 0 only) by their logarithm, with some room at both ends.
function makeAxis(values, from, to, logarithmic, room) {
  const map = logarithmic ? Math.log : (value) => value;
  let low = map(Math.min(...values));
  let high = map(Math.max(...values));
  const margin = (high - low) * room || Math.abs(high) * 0.1 || 1;
  [low, high] = [low - margin, high + margin];
  const place = (value) => from + ((map(value) - low) / (high - low)) * (to - from);
  const ends = logarithmic ? [Math.exp(low), Math.exp(high)] : [low, high];
  return { place, ticks: logarithmic ? logarithmicTicks(...ends) : linearTicks(...ends, Math.abs(to - from) / 60) };
}

const spansDecade = (values) => Math.min(...values) > 0 && Math.max(...values) / Math.min(...values) > 10;

// Round values, about as many as wanted.
function linearTicks(low, high, wanted) {
  const rough = (high - low) / Math.max(wanted, 2);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((factor) => factor * power >= rough) * power;
  // The ends count in spite of rounding.
  const [first, last] = [Math.ceil(low / step - 1e-9), Math.floor(high / step + 1e-9)];
  return Array.from({ length: last - first + 1 }, (_, n) => (first + n) * step);
}

// 1, 2 and 5 of each decade; powers of ten alone where that would be many.
function logarithmicTicks(low, high) {
  const factors = high / low > 1e4 ? [1] : [1, 2, 5];
  const ticks = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power += 1)
    for (const factor of factors) ticks.push(factor * 10 ** power);
  return ticks.filter((tick) => tick >= low && tick <= high);
}

// Free of the remainders of floating point; thousands are grouped.
const tickText = (value) => Number(value.toPrecision(10)).toLocaleString("en", { maximumSignificantDigits: 6 }).replace("-", "−");
