// What several parts of the page need.

const clock = (seconds) => `${Math.floor(seconds / 60)}:${(seconds % 60).toFixed(1).padStart(4, "0")}`;
const byId = (name) => document.getElementById(name);

// An element with its attributes (null leaves one out) and its children, text or elements.
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  return fill(element, attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) if (value !== null) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

// A key that is meant for the page: not one that is typed into a field, nor part of a browser's own shortcut.
function isShortcut(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return false;
  if (event.target.closest("input:not([type=range]):not([type=checkbox]), textarea, select")) return false;
  return event.key !== " " || !event.target.closest("button, summary, [type=checkbox]");
}

// Without scripts the page is the plain table and the browser's own players.
for (const element of document.querySelectorAll(".scripted")) element.hidden = false;
