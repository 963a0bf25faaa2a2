"""Takes a picture of every page, wide and narrow, light and dark, into a directory.

    screenshots.py DIRECTORY [--martlet PROGRAM] [--only NAME]

Starts a Martlet of its own, which needs root, fills it, and takes the pictures twice: with what everyday life leaves
(`NAME-WIDTH-SCHEME.png`), and of an account that has nothing yet (`NAME-empty-WIDTH-SCHEME.png`). What was too wide, or
too small for a finger, is printed.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import sync_playwright

from browser import Site
from everywhere import dialogs
from pages import PAGES, WIDTHS
from world import clear, furnish

# What fingers cannot hit (WCAG 2.2, 2.5.8: 24 by 24 pixels; those in a line of text are let be) and text that is cut
# without an ellipsis saying so.
LOOK = """() => {
    const found = []
    const name = (each) => each.id ? '#' + each.id : each.tagName.toLowerCase() + '.' + each.className + ' ' + each.textContent.trim().slice(0, 30)
    const root = document.documentElement
    if (root.scrollWidth > root.clientWidth) {
        found.push(`${root.scrollWidth - root.clientWidth} pixels too wide: ` + [...document.querySelectorAll('main *')].filter((each) =>
            each.getBoundingClientRect().right > root.clientWidth + 1 && !each.closest('.table-wrap, .stream, .tabs, .exit, nav, .editor')).slice(0, 3).map(name))
    }
    for (const each of document.querySelectorAll('a, button, input, select, textarea, summary')) {
        const box = each.getBoundingClientRect()
        if (!box.width || !box.height || each.classList.contains('visually-hidden') || each.classList.contains('skip')) continue
        const inLine = each.tagName === 'A' && getComputedStyle(each).display === 'inline'
        if (!inLine && Math.min(box.width, box.height) < 24 && each.type !== 'checkbox' && each.type !== 'radio') {
            found.push(`${name(each)} is ${box.width.toFixed(0)} by ${box.height.toFixed(0)}`)
        }
    }
    for (const each of document.querySelectorAll('main *, header *')) {
        const style = getComputedStyle(each)
        if (each.closest('svg, .visually-hidden, thead') || style.overflowX !== 'hidden' || style.textOverflow === 'ellipsis' || each.closest('.editor')) continue
        if (each.scrollWidth > each.clientWidth + 1 && each.clientWidth) found.push(`${name(each)} is cut`)
    }
    return found
}"""


@contextmanager
def martlet(program):
    directory = tempfile.mkdtemp(prefix="martlet-pages-")
    os.chmod(directory, 0o711)
    with open(f"{directory}/up-1.jsonl", "wb") as output, open(f"{directory}/up-1.log", "wb") as log:
        process = subprocess.Popen(
            [program, "up", "--port", "0", "--data-dir", f"{directory}/data", "--json", "--log-format", "json"], stdout=output,
            stderr=log, env={**os.environ, "XDG_CONFIG_HOME": f"{directory}/config", "MARTLET_RATE_LIMITS": "off"})
    try:
        deadline = time.monotonic() + 120
        while '"event":"ready"' not in Path(f"{directory}/up-1.jsonl").read_text():
            if process.poll() is not None or time.monotonic() > deadline:
                sys.exit("martlet up did not become ready:\n" + Path(f"{directory}/up-1.log").read_text()[-2000:])
            time.sleep(0.1)
        yield directory
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        shutil.rmtree(directory, ignore_errors=True)


def clip(tab, width):
    """As long as the page, within reason."""
    return {"x": 0, "y": 0, "width": width, "height": min(2400, tab.evaluate("document.documentElement.scrollHeight"))}


def take(site, page, path, name, into):
    for width, scheme in [(width, scheme) for width in WIDTHS for scheme in ("light", "dark")]:
        with site.visit(path, width=width, scheme=scheme, signed_in=page.signed_in, height=800 if width > 500 else 844) as tab:
            try:
                tab.wait_for_selector(page.shown, timeout=3_000)
            except Exception:
                pass
            if name == "terminal":  # with something in colours
                tab.keyboard.type("clear; ls --color=always -la / | head -12\n")
                tab.wait_for_timeout(800)
            tab.wait_for_timeout(350)
            tab.screenshot(path=f"{into}/{name}-{width}-{scheme}.png", full_page=True, clip=clip(tab, width))
            if scheme == "light":
                for line in tab.evaluate(LOOK):
                    print(f"{name} {width}: {line}", flush=True)


def take_dialog(site, path, press, name, into):
    for width, scheme in [(1280, "light"), (390, "dark")]:
        with site.visit(path, width=width, scheme=scheme, height=844) as tab:
            press(tab)
            tab.wait_for_selector("dialog[open]")
            tab.wait_for_timeout(350)
            tab.screenshot(path=f"{into}/{name}-{width}-{scheme}.png")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("directory")
    root = Path(__file__).resolve().parents[3]
    parser.add_argument("--martlet", default=str(root / ".build/debug/martlet"))
    parser.add_argument("--at", metavar="DIRECTORY", help="where a martlet that is to be used instead was started")
    parser.add_argument("--only", action="append", metavar="NAME")
    options = parser.parse_args()
    into = Path(options.directory)
    into.mkdir(parents=True, exist_ok=True)
    with (martlet(options.martlet) if not options.at else open_at(options.at)) as directory, sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        token = json.loads(Path(f"{directory}/config/martlet/credentials.json").read_text())["token"]
        site = Site("", token, "", directory, chromium)
        site.url = site.ready()["url"]
        site.data = Path(directory) / "data"
        pages = [page for page in PAGES if not options.only or page.name in options.only]
        fresh = site.call("POST", "/v1/admin/users", {"name": f"new-{time.time_ns()}", "role": "admin"})["user"]
        other = site.call("POST", f"/v1/admin/users/{fresh['id']}/tokens", {"name": "browser", "scopes": ["user", "admin"]})["token"]
        site.token = other
        for page in pages:
            if page.signed_in and "{" not in page.path and (not page.is_for_admins or not options.at):
                take(site, page, page.path, f"{page.name}-empty", into)
        site.token = token
        world = furnish(site)
        for page in pages:
            take(site, page, world.path(page), page.name, into)
        if not options.only:
            for name, path, press in dialogs(world):
                take_dialog(site, path, press, name.replace(" ", "-"), into)
        clear(site)
        chromium.close()


@contextmanager
def open_at(directory):
    yield directory


if __name__ == "__main__":
    main()
