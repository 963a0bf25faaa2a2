"""What holds of every page: a function each over the table in pages.py."""

import time
from contextlib import contextmanager

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from pages import PAGES, WIDTHS
from world import clear, furnish

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@contextmanager
def furnished(site):
    world = furnish(site)
    try:
        yield world
    finally:
        clear(site)


def see(site, world, page, **options):
    return site.visit(world.path(page), signed_in=page.signed_in, **options)


def accessible_in_light(site):
    accessible(site, "light")


def accessible_in_dark(site):
    accessible(site, "dark")


def accessible(site, scheme):
    """axe finds nothing on any page, wide or narrow; nothing is wider than the screen."""
    with furnished(site) as world:
        for each in PAGES:
            with see(site, world, each, scheme=scheme) as page:
                page.wait_for_selector(each.shown)
                for width in WIDTHS:
                    page.set_viewport_size({"width": width, "height": 800})
                    report(page, f"{each.name} {width} {scheme}", each.part)
        for name, path, press in dialogs(world):
            with site.visit(path, scheme=scheme) as page:
                press(page)
                expect(page.get_by_role("dialog")).to_be_visible()
                page.wait_for_timeout(300)
                report(page, f"{name} {scheme}")
        print(f"axe, {scheme}: {len(PAGES)} pages at {len(WIDTHS)} widths and {len(dialogs(world))} dialogs, 0 violations")


def dialogs(world):
    """What opens over pages: a name, the page, and what opens it."""
    row = lambda page, text: page.locator("tbody tr").filter(has_text=text).first
    return [
        ("a new environment", "/my-vm", lambda page: page.get_by_role("button", name="New environment").click()),
        ("an environment", "/my-vm", lambda page: row(page, world.vm).locator("button.row").click()),
        ("the question before destroying", "/my-vm", lambda page: row(page, world.vm).get_by_role("button", name="Destroy").click()),
        ("a VM", f"/admin/vms?search={world.vm}", lambda page: row(page, world.vm).locator("button.row").click()),
        ("a user", "/admin/users", lambda page: row(page, world.user["email"]).locator("button.row").click()),
        ("a new user", "/admin/users", lambda page: page.get_by_role("button", name="New user").click()),
        ("a job", "/admin/queues?queue=vm-control&state=failed", lambda page: row(page, "hostile").locator("button.row").click()),
        ("a new host", "/admin/hosts", lambda page: page.get_by_role("button", name="Add a host").click()),
    ]


def report(page, name, part=()):
    context = {"include": [[each] for each in part]} if part else None
    results = Axe().run(page, context=context, options={"runOnly": RULES})
    problems = [
        f"{violation['id']}: {violation['help']}: " + "; ".join(
            f"{node['html'][:120]} ({node.get('failureSummary', '')[:160]})" for node in violation["nodes"][:3])
        for violation in results.response["violations"]]
    assert not problems, f"{name}:\n" + "\n".join(problems)
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0, f"{name} is {wide} pixels too wide"


# What Tab should come to, in this order: all that is there to be used, a group of radio buttons once.
STOPS = """() => [...document.querySelectorAll('a[href], button, input, select, textarea, summary, [tabindex="0"]')].filter((each) =>
    !each.disabled && each.tabIndex >= 0 && each.type !== 'hidden' && each.checkVisibility({ visibilityProperty: true })
    && (each.type !== 'radio' || each.checked))"""
AT = f"""() => {{
    const at = document.activeElement
    const stops = ({STOPS})()
    const seen = (element) => {{
        const style = element && getComputedStyle(element)
        return style && (style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2 || style.boxShadow.includes('inset'))
    }}
    const box = at.getBoundingClientRect()
    return {{
        place: stops.indexOf(at), count: stops.length, isBody: at === document.body, isCode: at.id === 'code',
        name: at.id || at.getAttribute('aria-label') || at.textContent.trim().slice(0, 40) || at.tagName,
        isMarked: seen(at) || seen(at.closest('.editor')) || seen(at.closest('label')) || seen(document.querySelector(`label[for="${{at.id}}"]`)),
        isInSight: box.bottom > 0 && box.top < innerHeight,
    }}
}}"""


def tabbing(site):
    """By Tab alone one comes to everything, in the order in which it is read, sees where one is, and is caught nowhere."""
    with furnished(site) as world:
        for each in PAGES:
            if each.name in ("docs", "terminal"):
                continue  # two hundred links of one list; a Tab that is typed into a shell
            with see(site, world, each) as page:
                page.wait_for_selector(each.shown)
                page.wait_for_timeout(500)
                page.evaluate("() => { document.body.tabIndex = -1; document.body.focus(); document.body.removeAttribute('tabindex') }")
                last, seen = -1, []
                for _ in range(150):
                    page.keyboard.press("Tab")
                    at = page.evaluate(AT)
                    if at["isBody"]:
                        break
                    seen.append(at["name"])
                    assert at["place"] == last + 1, f"{each.name}: after {seen[-2:-1]} comes {at}"
                    assert at["isMarked"], f"{each.name}: nothing shows that {at['name']} has the focus"
                    assert at["isInSight"], f"{each.name}: {at['name']} has the focus out of sight"
                    last = at["place"]
                    if at["isCode"]:
                        page.keyboard.press("Escape")
                    if last == 100:
                        break
                else:
                    raise AssertionError(f"{each.name}: Tab ends nowhere: {seen}")
                assert last == at["count"] - 1 or last == 100, f"{each.name}: Tab came to {last + 1} of {at['count']}: {seen}"
                print(f"{each.name}: {len(seen)} stops")


def names(site):
    """Names, errors and logs that are HTML or obeyed by terminals do nothing on any page, and are shown."""
    with furnished(site) as world:
        def inert(page, name, is_shown):
            text = page.evaluate("document.body.innerText")
            assert page.evaluate("window.owned") is None, f"{name}: something ran"
            assert page.locator("main img, main iframe, main script:not([src]), dialog img").count() == 0, name
            assert "owned" not in page.title(), page.title()
            assert page.locator("a[href^=javascript]").count() == 0, name
            odd = [hex(ord(each)) for each in text if ord(each) < 32 and each not in "\n\t" or 0x7F <= ord(each) < 0xA0 or each in "\u202e\u202d\u2066"]
            assert not odd, f"{name} shows characters that terminals obey: {odd}"
            assert not is_shown or "<img src=x" in text, f"{name} does not show it at all: {text}"

        for each in PAGES:
            for width in (1280, 390):
                with see(site, world, each, width=width) as page:
                    page.wait_for_selector(each.shown)
                    page.wait_for_timeout(400)
                    inert(page, each.name, each.shows_names)
        for name, path, press in dialogs(world):
            with site.visit(path) as page:
                press(page)
                dialog = page.get_by_role("dialog")
                expect(dialog).to_be_visible()
                inert(page, name, False)
                if not name.startswith("a new"):
                    expect(dialog).to_contain_text("<img src=x")
        # A failed job is removed with others that were chosen.
        with site.visit("/admin/queues") as page:
            row = page.locator("#rows tr").filter(has_text="hostile")
            expect(row).to_have_count(1)  # of both queues the one with failures is shown
            row.get_by_role("checkbox").check()
            page.locator("#bulk").get_by_role("button", name="Remove").click()
            page.get_by_role("dialog").get_by_role("button", name="Remove").click()
            expect(row).to_have_count(0)


def slow_line(site):
    """Each page is there to be read while its scripts are still on their way, whole soon after on a slow line, and small."""
    with furnished(site) as world:
        for each in PAGES:
            with see_nothing(site, each) as page:
                held = []
                page.route("**/*.js", lambda route: held.append(route))
                page.goto(world.path(each), wait_until="commit")
                expect(page.locator(each.first).first).to_be_visible(timeout=60_000)
                await_paint(page)
                assert page.locator("main").inner_text().strip(), f"{each.name} is blank without its scripts"
                for route in held:
                    route.abort()
            with see_nothing(site, each) as page:
                line = page.context.new_cdp_session(page)
                line.send("Network.enable")
                line.send("Network.emulateNetworkConditions", {
                    "offline": False, "latency": 300, "downloadThroughput": 50 * 1024, "uploadThroughput": 20 * 1024})
                page.goto(world.path(each), wait_until="commit")
                page.wait_for_selector(each.shown, timeout=60_000)
                await_paint(page)
                page.wait_for_load_state("load")
                painted, whole, size = page.evaluate("""() => [
                    performance.getEntriesByName('first-contentful-paint')[0]?.startTime, performance.now(),
                    [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]
                        .reduce((sum, entry) => sum + entry.transferSize, 0)]""")
                print(f"{each.name}: at 50 KB/s and 300 ms painted after {(painted or 0) / 1000:.1f} s, whole after {whole / 1000:.1f} s; {size / 1024:.0f} KB")
                most = 512 if each.name == "terminal" else 300  # with xterm.js, which no other page loads
                assert 0 < size < most * 1024, f"{each.name} is {size} bytes"
                assert whole < 60_000, f"{each.name} took {whole} ms"  # alone on a machine: four seconds


def await_paint(page, seconds=60):
    deadline = time.monotonic() + seconds
    while not page.evaluate("performance.getEntriesByName('first-contentful-paint').length"):
        assert time.monotonic() < deadline, f"{page.url} shows nothing"
        time.sleep(0.05)


@contextmanager
def see_nothing(site, page):
    """A browser that keeps nothing of what it fetched before, before it goes anywhere."""
    with site.visit(None, signed_in=page.signed_in, checks=False) as tab:
        yield tab
        assert not tab.foreign, f"asked of other hosts: {tab.foreign}"
