// A bar for each minute of the last hour: what was completed, and on top of it what failed.

import { count, find, make } from "../dom.js";

const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 60, STEP = 10, WIDTH = 8;

function draw(tag, attributes, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

const minuteOf = (time) => new Date(time).toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit" });

export function showThroughput(minutes) {
  const most = Math.max(1, ...minutes.map(({ completed, failed }) => completed + failed));
  const sum = (key) => minutes.reduce((total, minute) => total + minute[key], 0);
  const tall = (number) => (number ? Math.max(1.5, (number / most) * HEIGHT) : 0);
  const bars = minutes.map(({ at, completed, failed }, index) => {
    const good = tall(completed), bad = tall(failed), x = index * STEP;
    return draw("g", {},
      draw("title", {}, `${minuteOf(at)}: ${completed} completed, ${failed} failed`),
      draw("rect", { class: "hit", x, y: 0, width: STEP, height: HEIGHT }),
      draw("rect", { class: "good", x: x + 1, y: HEIGHT - good, width: WIDTH, height: good }),
      draw("rect", { class: "bad", x: x + 1, y: Math.max(0, HEIGHT - good - bad), width: WIDTH, height: bad }));
  });
  const said = `Pictures per minute in the last hour: ${count(sum("completed"), "picture")} completed, ${sum("failed")} failed, at most ${most} in a minute.`;
  find("#throughput").replaceChildren(
    draw("svg", { viewBox: `0 0 ${Math.max(1, minutes.length) * STEP} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": said }, ...bars),
    make("figcaption", { className: "hint number" },
      make("span", {}, "1 h ago"),
      make("span", {}, `${sum("completed").toLocaleString("en")} completed, ${sum("failed").toLocaleString("en")} failed`),
      make("span", {}, "now")));
}
