"""Whether a page looks right, told from its structure and styles, so that it holds with any font and any version of the browser: nothing
overlaps, nothing is cut off, nothing scrolls sideways, text has contrast, and what one can use or look at has a name.

A picture is not compared: one of the same run says nothing, and one that is kept breaks with each font. What a regression of the looks does
to a person (covered, cut off, unreadable, unnamed) is looked for instead.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from browser import NARROW, WIDE, settle, tab

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

LOOK = """() => {
  const faults = [];
  const main = document.querySelector('[data-testid=stMain]');
  const seen = element => {
    const box = element.getBoundingClientRect(), style = getComputedStyle(element);
    return box.width > 1 && box.height > 1 && style.visibility !== 'hidden' && style.display !== 'none' && Number(style.opacity) > 0.05
      && element.checkVisibility();
  };
  const words = element => (element.innerText || element.getAttribute('aria-label') || element.dataset.testid || '').trim().slice(0, 60);

  // sideways
  if (document.documentElement.scrollWidth > innerWidth) faults.push(`the page is ${document.documentElement.scrollWidth} px wide`);
  if (main.scrollWidth > main.clientWidth + 1) faults.push(`its main part is ${main.scrollWidth} of ${main.clientWidth} px wide`);

  // covered
  const elements = [...main.querySelectorAll('[data-testid=stElementContainer]')].filter(seen);
  const boxes = elements.map(element => element.getBoundingClientRect());
  for (let i = 0; i < elements.length; i++)
    for (let j = i + 1; j < elements.length; j++) {
      if (elements[i].contains(elements[j])) continue;
      const width = Math.min(boxes[i].right, boxes[j].right) - Math.max(boxes[i].left, boxes[j].left);
      const height = Math.min(boxes[i].bottom, boxes[j].bottom) - Math.max(boxes[i].top, boxes[j].top);
      if (width > 2 && height > 2) faults.push(`'${words(elements[i])}' and '${words(elements[j])}' overlap by ${width.toFixed()} x ${height.toFixed()} px`);
    }

  // cut off
  const whole = ['stMetricValue', 'stMetricLabel', 'stHeading', 'stBadge', 'stCaptionContainer'].map(name => `[data-testid=${name}]`);
  for (const element of main.querySelectorAll([...whole, 'button p', 'label p', 'a p'].join()))
    if (seen(element))
      for (const part of [element, ...element.querySelectorAll('p, div, span')])
        if (part.scrollWidth > part.clientWidth + 1 && part.clientWidth > 0 && getComputedStyle(part).overflowX !== 'visible')
          { faults.push(`'${words(element)}' is cut off`); break; }

  // contrast, WCAG 2.2 AA (1.4.3)
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgba = color => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = (top, below) => [0, 1, 2].map(i => top[i] * top[3] + below[i] * (1 - top[3]));
  const behind = element => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) {
      const color = rgba(getComputedStyle(at).backgroundColor);
      if (color[3] > 0) layers.push(color);
      if (color[3] === 1) break;
    }
    return layers.reverse().reduce((below, layer) => over(layer, below), rgba(getComputedStyle(document.querySelector('.stApp')).backgroundColor).slice(0, 3));
  };
  const light = color => {
    const [r, g, b] = color.map(value => value / 255).map(value => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const walker = document.createTreeWalker(main, NodeFilter.SHOW_TEXT);
  const told = new Set();
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !seen(element) || element.closest('svg, canvas, pre, code, [data-testid=stSliderThumbValue], [disabled], [aria-disabled=true], [data-stale=true]')) continue;
    const style = getComputedStyle(element), ground = behind(element);
    const ink = rgba(style.color);
    for (let at = element; at; at = at.parentElement) ink[3] *= Number(getComputedStyle(at).opacity);
    if (ink[3] < 0.05) continue;
    const [a, b] = [light(over(ink, ground)), light(ground)];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const size = parseFloat(style.fontSize), large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    const kind = `${style.color} with opacity ${ink[3].toFixed(2)} on ${ground.map(Math.round)}`;
    if (ratio < (large ? 3 : 4.5) - 0.005 && !told.has(kind)) {
      told.add(kind);
      faults.push(`'${words(element)}' has a contrast of ${ratio.toFixed(2)} (${kind})`);
    }
  }

  // names
  for (const element of main.querySelectorAll('button, a[href], input, select, textarea')) {
    if (!seen(element) || element.type === 'hidden' || element.closest('[data-testid=stDataFrame], .modebar, [data-testid=stElementToolbar]')) continue;
    const labelled = element.labels?.length || element.getAttribute('aria-label') || element.getAttribute('aria-labelledby') || element.title;
    if (!labelled && !element.innerText.trim() && !element.querySelector('img[alt], svg[aria-label], title'))
      faults.push(`a ${element.tagName.toLowerCase()} has no name: ${element.outerHTML.slice(0, 120)}`);
  }
  const titles = [...main.querySelectorAll('h1')].filter(seen).length;
  if (titles !== 1) faults.push(`it has ${titles} titles`);

  // failures
  if (document.querySelector('[data-testid=stException]')) faults.push('it shows a trace');
  if (main.innerText.includes('This part of the page failed')) faults.push('a part of it failed');
  return faults;
}"""


@dataclass(frozen=True)
class State:
    """A page in a state that has a name: its path and query, and the window it is looked at in."""

    name: str
    path: str


LOOKS = {"wide-light": (WIDE, False), "wide-dark": (WIDE, True), "narrow-light": (NARROW, False), "narrow-dark": (NARROW, True)}


def faults_of(page: "Page") -> list[str]:
    """What is wrong with the looks of a page that has been drawn."""
    return list(page.evaluate(LOOK))


def walk(browser: "Browser", url: str, states: "list[State]", look: str) -> dict[str, list[str]]:
    """Look at each state, in one tab whose console stays clean; the faults of those that have any, by name."""
    from playwright.sync_api import TimeoutError as NotInTime

    size, dark = LOOKS[look]
    found = {}
    with tab(browser, size=size, dark=dark, timeout_s=90) as page:
        for state in states:
            page.goto(f"{url}{state.path}")
            page.locator("h1").first.wait_for()
            try:
                settle(page)
            except NotInTime as error:
                raise AssertionError(f"{state.name} does not come to rest") from error
            if faults := faults_of(page):
                found[state.name] = faults
    return found


def page_states() -> "list[State]":
    """Every page of the navigation, as its address alone shows it."""
    from app.navigation import entries

    return [State(entry.name, f"/{entry.name if number else ''}") for number, entry in enumerate(entries())]
