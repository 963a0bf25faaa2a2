"""Chromium, driven through the pages of a live server as a person would use them.

    browser.py URL TOKEN LINK SCENARIO [DIRECTORY]

Prints what it measured, and ends with 1 where something is not as it should be; a screenshot of the page as it was
then is put into DIRECTORY.
"""

import json
import os
import sys
import time
import traceback
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import expect, sync_playwright

WATCH = """
window.violations = [];
document.addEventListener('securitypolicyviolation', (event) =>
  window.violations.push(`${event.violatedDirective} ${event.blockedURI} ${event.sample}`));
window.shifts = [];
new PerformanceObserver((list) => { for (const entry of list.getEntries())
  if (!entry.hadRecentInput) window.shifts.push({ value: entry.value, at: entry.startTime,
    what: entry.sources.map((source) => source.node?.nodeName + '#' + source.node?.id + '.' + source.node?.className) }) })
  .observe({ type: 'layout-shift', buffered: true });
"""


class Site:
    """A server, and browsers that visit it."""

    def __init__(self, url, token, link, directory, chromium):
        self.url, self.token, self.link, self.directory, self.chromium = url, token, link, directory, chromium
        self.data = Path(os.environ.get("MARTLET_DATA_DIR", f"{directory}/data"))
        self.page = None

    @contextmanager
    def visit(self, path="/", width=1280, height=800, scheme="light", signed_in=True, checks=True, **options):
        """A fresh browser at a page. Afterwards: nothing was asked of another host, no policy broken, no error."""
        context = self.chromium.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, base_url=self.url, **options)
        context.add_init_script(WATCH)
        page = self.page = context.new_page()
        page.set_default_timeout(30_000)
        page.foreign, page.errors = [], []
        host = urlsplit(self.url).netloc
        page.on("request", lambda request: None if urlsplit(request.url).netloc == host or
                urlsplit(request.url).scheme in ("data", "blob", "about") else page.foreign.append(request.url))
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        page.on("console", lambda message: page.errors.append(message.text)
                if message.type == "error" and "Failed to load resource" not in message.text else None)
        if signed_in:
            page.goto("/login")
            page.fill("#token", self.token)
            page.click("main button")
            page.wait_for_url(self.url + "/")
            page.wait_for_load_state("load")
        if path != "/" or not signed_in:
            page.goto(path)
        yield page
        if checks:
            assert not page.foreign, f"asked of other hosts: {page.foreign}"
            assert not page.errors, f"errors in the page: {page.errors}"
            violations = page.evaluate("window.violations")
            assert not violations, f"policy broken: {violations}"
        context.close()
        self.page = None

    def call(self, method, path, body=None, token=None):
        """The API, as a program calls it. Returns its JSON; None where there is none."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method, headers={
            "Authorization": f"Bearer {token or self.token}", "Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as response:
            text = response.read()
        return json.loads(text) if text else None

    def vm_until(self, state, seconds=60):
        """Waits until the user's VM is in a state; `None` is without one."""
        deadline = time.monotonic() + seconds
        while True:
            vm = self.call("GET", "/v1/vm")["vm"]
            if (vm or {}).get("state") == state:
                return vm
            assert time.monotonic() < deadline, f"the VM did not become {state}: {vm}"
            time.sleep(0.1)


def write_code(page, language, code):
    page.select_option("#language", language)
    page.fill("#code", code)


def run_code(page, language, code):
    write_code(page, language, code)
    page.focus("#code")
    page.keyboard.press("Control+Enter")


def finished(page, text="exit 0", seconds=60):
    expect(page.locator("#exit")).to_contain_text(text, timeout=seconds * 1000)


def shift(page, since):
    """The layout shift since a moment of `performance.now()`, and what moved."""
    shifts = [entry for entry in page.evaluate("window.shifts") if entry["at"] >= since]
    return sum(entry["value"] for entry in shifts), shifts


def main():
    url, token, link, scenario = sys.argv[1:5]
    directory = sys.argv[5] if len(sys.argv) > 5 else "."
    import scenarios
    import terminals

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        site = Site(url, token, link, directory, chromium)
        try:
            next(getattr(module, scenario) for module in (scenarios, terminals) if hasattr(module, scenario))(site)
        except BaseException:
            traceback.print_exc()
            if site.page:
                try:
                    site.page.screenshot(path=f"{directory}/{scenario}.png")
                    print(f"at {site.page.url}: {site.page.evaluate('document.body.innerText')[:2000]}", file=sys.stderr)
                except Exception:
                    pass
            sys.exit(1)
        finally:
            chromium.close()


if __name__ == "__main__":
    main()
