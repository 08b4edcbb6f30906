#!/usr/bin/env python3
"""The page of a comparison in a headless browser: light and dark, on a desk and on a phone.

    comparison_page_test.py AMEND_TESTS [FOLDER]     FOLDER: where screenshots and the page are kept

The test program AMEND_TESTS writes the example page. Chromium is spoken to over its pipe, which needs no package.
AMEND_BROWSER names the browser when it is not on the path. Exit code 77: there is none.
"""

import base64
import fcntl
import json
import os
import pathlib
import select
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree

SECONDS = 120  # for everything the browser does
VIEWS = [("light", 1200), ("dark", 1200), ("light", 390), ("dark", 390), ("light", 768), ("light", 360)]

# What is wrong with the page as it is shown, and its colours.
LOOK = """(() => {
  const wrong = [];
  const width = document.documentElement.scrollWidth;
  if (width > window.innerWidth) wrong.push(`it is ${width} wide on a screen of ${window.innerWidth}`);

  const channels = colour => (colour.match(/[\\d.]+/g) || []).map(Number);
  const luminance = colour => {
    const [r, g, b] = channels(colour).map(v => v / 255).map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const behind = element => {
    for (; element; element = element.parentElement) {
      const colour = getComputedStyle(element).backgroundColor, [, , , alpha = 1] = channels(colour);
      if (alpha > 0) return colour;
    }
    return 'rgb(255, 255, 255)';
  };
  const opacity = element => element ? Number(getComputedStyle(element).opacity) * opacity(element.parentElement) : 1;
  let texts = 0, least = 21;
  for (const element of document.querySelectorAll('body *')) {
    if (!element.getClientRects().length || element.closest('script, title, desc')) continue;
    if (![...element.childNodes].some(node => node.nodeType === 3 && node.data.trim())) continue;
    const colour = getComputedStyle(element)[element.namespaceURI.endsWith('svg') ? 'fill' : 'color'];
    const [light, dark] = [luminance(colour), luminance(behind(element))].sort((a, b) => b - a);
    const contrast = (light + .05) / (dark + .05);
    ++texts;
    least = Math.min(least, contrast);
    if (contrast < 4.5 || opacity(element) < 1)
      wrong.push(`"${element.textContent.slice(0, 40)}" has a contrast of ${contrast.toFixed(2)}`);
  }

  for (const svg of document.querySelectorAll('svg.plot')) {
    const frame = svg.closest('.frame').getBoundingClientRect();
    const shown = [...svg.querySelectorAll('text')].filter(text => text.getClientRects().length);
    const boxes = shown.map(text => [text, text.getBoundingClientRect()]);
    for (const [text, box] of boxes) {
      const size = parseFloat(getComputedStyle(text).fontSize) * svg.getScreenCTM().a;
      if (size < 9.5) wrong.push(`${svg.querySelector('title').textContent}: letters of ${size.toFixed(1)} pixels`);
      if (box.left < frame.left - 1 || box.right > frame.right + 1 || box.top < frame.top - 1 || box.bottom > frame.bottom + 1)
        wrong.push(`${svg.querySelector('title').textContent}: "${text.textContent}" is cut off`);
    }
    for (let i = 0; i < boxes.length; ++i)
      for (let j = i + 1; j < boxes.length; ++j) {
        const [a, b] = [boxes[i][1], boxes[j][1]];
        const across = Math.min(a.right, b.right) - Math.max(a.left, b.left);
        const down = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
        // Boxes of letters are taller than the letters.
        if (across > 1 && down > .35 * Math.min(a.height, b.height))
          wrong.push(`${svg.querySelector('title').textContent}: "${boxes[i][0].textContent}" covers "${boxes[j][0].textContent}"`);
      }
  }

  let level = 1;
  for (const heading of document.querySelectorAll('h1, h2, h3, h4')) {
    const own = Number(heading.tagName[1]);
    if (own > level + 1) wrong.push(`heading "${heading.textContent}" leaves out a level`);
    level = own;
  }
  const paint = name => getComputedStyle(document.querySelector(name));
  return {wrong, texts, least, plots: document.querySelectorAll('svg.plot').length,
          colours: [paint('body').backgroundColor, paint('body').color, paint('.c1').color]};
})()"""

# Hides a method by its button and shows it again.
PRESS = """(() => {
  const button = document.querySelector('.legend li[data-method=m1] button');
  const hidden = () => [...document.querySelectorAll('#table-1 .curves .m1')].filter(part => part.style.display === 'none').length;
  const others = () => [...document.querySelectorAll('.curves .m2, #table-2 .m1')].filter(part => part.style.display === 'none').length;
  button.click();
  const after = [hidden(), others(), button.getAttribute('aria-pressed')];
  button.click();
  return [...after, hidden(), button.getAttribute('aria-pressed')];
})()"""


class Browser:
    def __init__(self, program, folder):
        to_browser, from_browser = os.pipe(), os.pipe()
        # Above the numbers 3 and 4, which the browser reads and writes.
        read_end = fcntl.fcntl(to_browser[0], fcntl.F_DUPFD, 10)
        write_end = fcntl.fcntl(from_browser[1], fcntl.F_DUPFD, 10)

        def connect():
            os.dup2(read_end, 3)
            os.dup2(write_end, 4)

        arguments = [program, "--headless=new", "--remote-debugging-pipe", f"--user-data-dir={folder}", "--disable-gpu",
                     "--no-first-run", "--disable-dev-shm-usage", "--hide-scrollbars", "--disable-background-networking"]
        if os.geteuid() == 0:
            arguments.append("--no-sandbox")
        self.process = subprocess.Popen(arguments, pass_fds=(3, 4), preexec_fn=connect, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for end in (*to_browser[:1], *from_browser[1:], read_end, write_end):
            os.close(end)
        self.output, self.input = to_browser[1], from_browser[0]
        self.buffer, self.next_id, self.events = b"", 0, []
        self.session, self.deadline = None, time.monotonic() + SECONDS

    def message(self):
        while b"\0" not in self.buffer:
            left = self.deadline - time.monotonic()
            if left <= 0 or not select.select([self.input], [], [], left)[0]:
                raise SystemExit(f"the browser did not answer within {SECONDS} s")
            part = os.read(self.input, 1 << 20)
            if not part:
                raise SystemExit("the browser ended")
            self.buffer += part
        text, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(text)

    def call(self, method, **parameters):
        self.next_id += 1
        request = {"id": self.next_id, "method": method, "params": parameters}
        if self.session:
            request["sessionId"] = self.session
        data = json.dumps(request).encode() + b"\0"
        while data:
            data = data[os.write(self.output, data):]
        while True:
            answer = self.message()
            if answer.get("id") == self.next_id:
                if "error" in answer:
                    raise SystemExit(f"{method}: {answer['error']['message']}")
                return answer["result"]
            self.events.append(answer)

    def wait_for(self, event):
        while not any(seen.get("method") == event for seen in self.events):
            self.events.append(self.message())

    def evaluate(self, expression):
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        if "exceptionDetails" in result:
            raise SystemExit(result["exceptionDetails"]["exception"]["description"])
        return result["result"]["value"]

    def open(self, page, scheme, width):
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 500)
        self.events.clear()
        self.call("Page.navigate", url=page.as_uri())
        self.wait_for("Page.loadEventFired")

    def complaints(self, page):
        """What the console said, and what was fetched beside the page."""
        for event in self.events:
            parameters = event.get("params", {})
            if event.get("method") == "Runtime.consoleAPICalled":
                yield "console: " + " ".join(str(value.get("value")) for value in parameters["args"])
            elif event.get("method") == "Runtime.exceptionThrown":
                yield "script: " + parameters["exceptionDetails"]["text"]
            elif event.get("method") == "Log.entryAdded":
                yield "log: " + parameters["entry"]["text"]
            elif event.get("method") == "Network.requestWillBeSent":
                url = parameters["request"]["url"]
                if url != page.as_uri() and not url.startswith("data:"):
                    yield "it fetches " + url

    def screenshot(self, file):
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=True,
                         clip={"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1})
        file.write_bytes(base64.b64decode(shot["data"]))

    def close(self):
        os.close(self.output)
        os.close(self.input)
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def looks(browser, page, keep):
    browser.session = browser.call("Target.attachToTarget", flatten=True, targetId=browser.call(
        "Target.createTarget", url="about:blank")["targetId"])["sessionId"]
    for domain in ("Page", "Runtime", "Log", "Network"):
        browser.call(domain + ".enable")
    wrong, colours = [], {}
    for scheme, width in VIEWS:
        browser.open(page, scheme, width)
        look = browser.evaluate(LOOK)
        if look["texts"] < 100 or look["plots"] < 10:
            wrong.append(f"only {look['texts']} texts and {look['plots']} plots were found")
        if keep:
            browser.screenshot(keep / f"{scheme}-{width}.png")
        pressed = browser.evaluate(PRESS)
        if not (pressed[0] > 0 and pressed[1:] == [0, "false", 0, "true"]):
            wrong.append(f"a legend's button does not hide its method alone: {pressed}")
        wrong += [f"{scheme}, {width} wide: {text}" for text in look["wrong"] + list(browser.complaints(page))]
        colours[scheme] = look["colours"]
        print(f"{scheme}, {width} wide: {look['texts']} texts, least contrast {look['least']:.2f}")
    if any(light == dark for light, dark in zip(colours["light"], colours["dark"])):
        wrong.append(f"light and dark share colours: {colours}")
    if keep:
        (keep / "print.pdf").write_bytes(base64.b64decode(browser.call("Page.printToPDF", printBackground=True)["data"]))
    return wrong


def main():
    keep = pathlib.Path(sys.argv[2]) if len(sys.argv) > 2 else None
    names = [os.environ.get("AMEND_BROWSER", ""), "chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]
    program = next((found for found in map(shutil.which, filter(None, names)) if found), None)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        page = pathlib.Path(folder) / "page.html"
        subprocess.run([sys.argv[1], "writes the example page to AMEND_PAGE"], check=True, stdout=subprocess.DEVNULL,
                       env={**os.environ, "AMEND_PAGE": str(page)})
        xml.etree.ElementTree.parse(page)  # throws unless the page is well-formed
        if keep:
            keep.mkdir(parents=True, exist_ok=True)
            shutil.copy(page, keep)
        if not program:
            print("skipped: there is no browser (Debian: apt-get install chromium; or AMEND_BROWSER)")
            return 77
        browser = Browser(program, pathlib.Path(folder) / "profile")
        try:
            wrong = looks(browser, page, keep)
        finally:
            browser.close()
    for text in wrong[:40]:
        print("wrong:", text)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
